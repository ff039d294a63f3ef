// Keeps Redis a mirror of what this operator knows, while it leads. Losing Redis loses nothing: everything comes from the world.
// Called by wiring.ts after compiles and on changes of leadership.
import { createMirror, type Entry, type Mirror, mirrorDefaults, type Records } from '@axoneme/kvstore';
import { type Clock, canonicalJson, type Health, type Log } from '@axoneme/std';
import type { Compiled } from '../compile/compiler.ts';
import type { OperatorConfig } from '../config.ts';
import type { Dirty, TableName, World } from '../world/world.ts';

export interface ClusterMirror {
  readonly name: string;
  /** Notes what a compile changed. */
  note(compiled: Compiled, dirty: Dirty, revision: number): void;
  /** Epoch while leading, undefined otherwise. */
  term(epoch: number | undefined): void;
  health(): Health;
}

export interface MirrorParts {
  readonly world: World;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Tables whose content is mirrored; policies are not. */
const MIRRORED: readonly TableName[] = [
  'pods',
  'namespaces',
  'identities',
  'endpoints',
  'nodes',
  'ciliumNodes',
  'services',
  'slices',
  'fleets',
  'downTargets',
];
const REDIS_SERVICE = 'axoneme-redis';
const REDIS_PORT = 6379;

/** Address of Redis: as configured, or of the Service beside the operator once it exists. */
function redisUrl(world: World, config: OperatorConfig): string | undefined {
  if (config.redisUrl !== '') return config.redisUrl;
  const service = world.tables.services.get(`${config.podNamespace}/${REDIS_SERVICE}`) as { spec?: { clusterIP?: string } } | undefined;
  const ip = service?.spec?.clusterIP;
  if (ip === undefined || ip === '' || ip === 'None') return undefined;
  return `redis://${ip.includes(':') ? `[${ip}]` : ip}:${REDIS_PORT}`;
}

function* entriesOf(world: World, compiled: Compiled, operatorId: string, at: Records['revision']): Generator<Entry> {
  for (const row of world.tables.identities.values()) yield ['identity', String(row.id), { labels: row.labels }];
  for (const p of compiled.pods) {
    if (p.identity !== 0) for (const ip of p.addresses) yield ['ip', ip, { identity: p.identity, node: p.view.row.node }];
  }
  for (const n of compiled.nodes) yield ['node', n.name, { addresses: [...n.addresses], podCidrs: [...n.podCidrs] }];
  for (const [key, s] of compiled.services) {
    const frontends = s.frontends.map((f) => `${f.ip} ${f.port}/${f.protocol}`);
    const backends = s.sets.flatMap((set) => set.backends.map((b) => `${b.ip} ${b.port}/${set.protocol}`));
    yield ['service', key, { digest: s.hash.toString(16), frontends, backends }];
  }
  yield ['revision', operatorId, at];
}

export function createClusterMirror(parts: MirrorParts, config: OperatorConfig): ClusterMirror {
  const { world, clock, log, signal } = parts;
  let mirror: Mirror | undefined;
  let epoch: number | undefined;
  let last: { compiled: Compiled; revision: number } | undefined;
  let held = new Map<string, { entry: Entry; text: string }>();
  const entries = (): Iterable<Entry> =>
    last === undefined ? [] : entriesOf(world, last.compiled, config.podName, { revision: last.revision, epoch: epoch ?? 0 });

  const open = (): Mirror | undefined => {
    if (mirror !== undefined || !config.redisEnabled || signal.aborted) return mirror;
    const url = redisUrl(world, config);
    if (url === undefined) return undefined;
    mirror = createMirror({ snapshot: entries, clock, log }, { ...mirrorDefaults, url, cluster: config.clusterName, name: config.podName });
    mirror.start(signal).catch((error: unknown) => log.error('mirror did not start', { error }));
    if (epoch !== undefined) mirror.lead(epoch);
    return mirror;
  };

  return {
    name: 'kvstore',
    note(compiled, dirty, revision) {
      last = { compiled, revision };
      const m = open();
      if (m === undefined || epoch === undefined) return;
      m.set('revision', config.podName, { revision, epoch });
      if (!MIRRORED.some((t) => dirty.has(t))) return;
      const next = new Map<string, { entry: Entry; text: string }>();
      for (const entry of entries()) next.set(`${entry[0]} ${entry[1]}`, { entry, text: canonicalJson(entry[2]) });
      for (const [key, e] of next) if (held.get(key)?.text !== e.text) m.set(e.entry[0], e.entry[1], e.entry[2] as never);
      for (const [key, e] of held) if (!next.has(key)) m.set(e.entry[0], e.entry[1], undefined);
      held = next;
    },
    term(next) {
      epoch = next;
      held = new Map();
      if (next === undefined) mirror?.yield();
      else {
        open()?.lead(next);
        mirror?.replaceAll();
      }
    },
    health() {
      if (!config.redisEnabled) return { state: 'ok' };
      if (mirror === undefined) return { state: 'degraded', reason: `Service ${config.podNamespace}/${REDIS_SERVICE} does not exist yet` };
      return mirror.health();
    },
  };
}
