// The endpoints of this node on disk: which pod interface has which id, addresses and link. Written before an address becomes visible.
// Concurrent changes share one write. Called by the endpoint manager.
import { mkdirSync, readFileSync, renameSync } from 'node:fs';
import { canonicalJson, digestOf, fail, type Log, ok, type Result } from '@axoneme/std';
import { replaceFile } from '../store/durable.ts';
import { errnoOf } from '../store/errno.ts';

export interface Endpoint {
  /** 1 to 65535, stable while the endpoint lives. */
  readonly id: number;
  readonly containerId: string;
  readonly ifname: string;
  readonly netns: string;
  readonly namespace: string;
  readonly pod: string;
  readonly podUid: string;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly mac: string;
  readonly hostMac: string;
  readonly hostIfname: string;
  /** Host side; 0 until the pair exists. */
  readonly ifindex: number;
}

export const endpointKey = (containerId: string, ifname: string): string => `${containerId}/${ifname}`;

export interface Registry {
  get(key: string): Endpoint | undefined;
  all(): readonly Endpoint[];
  freeId(): Result<number>;
  /** Visible to `get` at once; resolves when it is on disk. Rejects with `agent/store-full` or `agent/store-failed`. */
  put(e: Endpoint): Promise<void>;
  remove(key: string): Promise<void>;
}

const idMax = 65535;

function load(dir: string, log: Log): Endpoint[] {
  const path = `${dir}/endpoints.json`;
  try {
    const [sum, body = ''] = readFileSync(path, 'utf8').split('\n');
    if (sum === digestOf(body)) return JSON.parse(body) as Endpoint[];
    log.error('endpoint file is damaged, starting without it', { path });
    renameSync(path, `${path}.damaged`);
  } catch (e) {
    if (errnoOf(e) !== 'ENOENT') throw e;
  }
  return [];
}

export function createRegistry(stateDir: string, log: Log): Registry {
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const byKey = new Map(load(stateDir, log).map((e) => [endpointKey(e.containerId, e.ifname), e]));
  const ids = new Set([...byKey.values()].map((e) => e.id));
  let lastId = Math.max(0, ...ids);
  let writing: Promise<void> | undefined;
  let next: Promise<void> | undefined;

  const write = (): Promise<void> => {
    const body = canonicalJson([...byKey.values()]);
    return replaceFile(stateDir, 'endpoints.json', `${digestOf(body)}\n${body}\n`);
  };
  /** Joins the write that has not started yet, so that any number of waiting changes cost one flush. */
  const save = (): Promise<void> => {
    next ??= (writing ?? Promise.resolve())
      .catch(() => undefined)
      .then(() => {
        writing = next;
        next = undefined;
        return write();
      });
    return next;
  };

  return {
    get: (key) => byKey.get(key),
    all: () => [...byKey.values()],
    freeId() {
      for (let tries = 0; tries < idMax; tries++) {
        lastId = (lastId % idMax) + 1;
        if (!ids.has(lastId)) return ok(lastId);
      }
      return fail({ code: 'agent/endpoints-exhausted', message: `this node has ${idMax} endpoints`, retry: 'later' });
    },
    async put(e) {
      const key = endpointKey(e.containerId, e.ifname);
      const before = byKey.get(key);
      byKey.set(key, e);
      ids.add(e.id);
      try {
        await save();
      } catch (error) {
        // nothing may be visible that is not on disk
        if (byKey.get(key) === e) {
          if (before) byKey.set(key, before);
          else byKey.delete(key);
        }
        if (!before) ids.delete(e.id);
        throw error;
      }
    },
    async remove(key) {
      const e = byKey.get(key);
      if (!e) return;
      byKey.delete(key);
      ids.delete(e.id);
      await save();
    },
  };
}
