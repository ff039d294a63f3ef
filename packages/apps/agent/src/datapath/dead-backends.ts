// Ends connected UDP sockets whose backend left its set: a program that never looks again would talk to nobody for ever. In every network
// namespace of the node; its owner gets ECONNABORTED, connects again, and is given a backend that lives. Called by the datapath.
import type { BpfMap } from '@axoneme/bpf';
import { LbFlag, lbFrontendKey, lbFrontendValue, lbSlotKey, lbSlotValue, lbSockKey, lbSockValue } from '@axoneme/datapath';
import { destroyUdp, inNetns, listConnectedUdp, type NetlinkSocket, openSockDiag, otherNetns } from '@axoneme/netlink';
import type { Clock, Log, Timer } from '@axoneme/std';
import type { Table } from '../ports/tables.ts';

const udp = 17;
/** Programs that took the old set are done by then; commits that follow each other are looked at together. */
const settleMs = 50;
/** `lb_sock_key` starts with the cookie; what follows is the backend and the protocol. */
const cookieSize = 8;
const backendEnd = 28;
const anyAddress = new Uint8Array(16);

interface Backend {
  readonly addr: Uint8Array;
  readonly port: number;
  readonly family: number;
}

/** Backend and protocol as the keys of `lb_sock` have them. */
const backendText = (b: Backend): string =>
  Buffer.from(lbSockKey.encode({ cookie: 0n, addr: b.addr, port: b.port, family: b.family, proto: udp })).toString(
    'latin1',
    cookieSize,
    backendEnd,
  );

export interface DeadBackends {
  /** `lb_slot` whose removals are noticed. */
  follow(table: Table): Table;
  /** Looks now; returns how many sockets were ended. */
  run(): number;
}

type Wanted = Map<bigint, Set<string>>;
type Find = (name: string) => BpfMap | undefined;

/** Backends that clients of a frontend may keep: those of its set, also ones behind its count that drain. */
function createSets(map: Find) {
  const known = new Map<string, ReadonlySet<string>>();
  const read = (f: Backend): ReadonlySet<string> => {
    const key = (addr: Uint8Array): Buffer => Buffer.from(lbFrontendKey.encode({ addr, port: f.port, proto: udp, family: f.family }));
    const frontends = map('lb_frontend');
    const row = frontends?.lookup(key(f.addr)) ?? frontends?.lookup(key(anyAddress));
    const found = new Set<string>();
    if (row === undefined) return found;
    const { setIn, setOut, flags } = lbFrontendValue.decode(row);
    // pods of a local redirect may have the original backends
    for (const set of (flags & LbFlag.skipOwn) === 0 ? [setIn] : [setIn, setOut]) {
      for (let index = 0; ; index++) {
        const slot = map('lb_slot')?.lookup(Buffer.from(lbSlotKey.encode({ set, index })));
        if (slot === undefined) break;
        found.add(backendText(lbSlotValue.decode(slot)));
      }
    }
    return found;
  };
  return (frontend: Backend): ReadonlySet<string> => {
    const text = backendText(frontend);
    const set = known.get(text) ?? read(frontend);
    known.set(text, set);
    return set;
  };
}

/** Cookies of sockets that were given one of these backends and would not be given it again, with the backends in question. */
function orphans(map: Find, left: ReadonlySet<string>): Wanted {
  const found: Wanted = new Map();
  const backendsOf = createSets(map);
  const sockets = map('lb_sock');
  if (sockets === undefined) return found;
  for (const { keys, values, count } of sockets.dumpChunks()) {
    for (let row = 0; row < count; row++) {
      const at = row * sockets.keySize;
      const backend = keys.toString('latin1', at + cookieSize, at + backendEnd);
      if (!left.has(backend)) continue;
      if (backendsOf(lbSockValue.decode(values, row * sockets.valueSize)).has(backend)) continue;
      const { cookie } = lbSockKey.decode(keys, at);
      found.set(cookie, (found.get(cookie) ?? new Set()).add(backend));
    }
  }
  return found;
}

/** Ends those of one namespace; what was found is taken out of `wanted`. */
function endThose(socket: NetlinkSocket, wanted: Wanted, log: Log): number {
  const mine = listConnectedUdp(socket).filter((s) => wanted.get(s.cookie)?.has(backendText(s.remote)));
  const failures = destroyUdp(socket, mine);
  for (const s of mine) wanted.delete(s.cookie);
  if (failures.length > 0) log.error('sockets to removed backends could not be ended', { failures: failures.length, first: failures[0] });
  return mine.length - failures.length;
}

function endEverywhere(wanted: Wanted, log: Log): number {
  let ended = 0;
  const look = (open: () => NetlinkSocket): void => {
    const socket = open();
    try {
      ended += endThose(socket, wanted, log);
    } finally {
      socket.close();
    }
  };
  look(openSockDiag);
  for (const path of wanted.size > 0 ? otherNetns() : []) {
    if (wanted.size === 0) break;
    try {
      look(() => inNetns(path, openSockDiag));
    } catch (error) {
      // it may have gone meanwhile
      log.debug('a network namespace could not be looked into', { path, error });
    }
  }
  return ended;
}

export function createDeadBackends(map: Find, clock: Pick<Clock, 'after'>, log: Log): DeadBackends {
  let left = new Set<string>();
  let timer: Timer | undefined;
  const run = (): number => {
    timer?.cancel();
    timer = undefined;
    const backends = left;
    left = new Set();
    if (backends.size === 0) return 0;
    const wanted = orphans(map, backends);
    if (wanted.size === 0) return 0;
    const ended = endEverywhere(wanted, log);
    if (ended > 0) log.info('UDP sockets to removed backends ended', { sockets: ended });
    return ended;
  };
  const runSafely = (): void => {
    try {
      run();
    } catch (error) {
      log.error('sockets to removed backends could not be looked for', { error });
    }
  };
  return {
    run,
    follow: (table) => ({
      ...table,
      remove(keys) {
        const slots = map('lb_slot');
        for (let at = 0; slots !== undefined && at < keys.length; at += table.keySize) {
          const value = slots.lookup(keys.subarray(at, at + table.keySize));
          if (value !== undefined) left.add(backendText(lbSlotValue.decode(value)));
        }
        table.remove(keys);
        if (left.size > 0) timer ??= clock.after(settleMs, runSafely);
      },
    }),
  };
}
