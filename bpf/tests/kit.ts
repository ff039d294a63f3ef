// A node's datapath without a node: objects loaded into a private bpffs, tables written by hand, packets by test runs.
// bpf/ is not a package, so the packages it uses are reached by path, here and nowhere else in this folder.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as dp from '../../packages/contracts/datapath/src/index.ts';
import { type BpfMap, type BpfObject, ensureBpffs, openObject, Ring, skBuffContext } from '../../packages/edges/bpf/src/index.ts';
import { family, IP } from './names.ts';
import { mac } from './packet.ts';

export * as bpf from '../../packages/edges/bpf/src/index.ts';
export * as netlink from '../../packages/edges/netlink/src/index.ts';
export { dp };

const BUILD = fileURLToPath(new URL('../build/', import.meta.url));
export const build = (): void => void execFileSync('make', ['-s', '-C', fileURLToPath(new URL('..', import.meta.url))]);

export const VERDICT = { ok: 0, drop: 2, redirect: 7 } as const;

const SMALL = {
  flow4: 65536,
  flow6: 65536,
  nat4: 65536,
  nat6: 65536,
  lb_sock: 1024,
  lb_affinity: 1024,
  counters: 16384,
  policy: 65536,
  events: 1 << 20,
} as const;

export interface LabOptions {
  readonly objects?: readonly string[];
  readonly maxEntries?: Partial<Record<string, number>>;
}

export interface PodSpec {
  readonly ifindex: number;
  readonly identity: number;
  readonly id: number;
  readonly ips: readonly string[];
  readonly mac: string;
  readonly hostMac: string;
  /** `EndpointFlag`. */
  readonly flags?: number;
}

export interface PolicyRow {
  readonly direction: 'ingress' | 'egress';
  readonly peer?: number;
  readonly proto?: number;
  readonly port?: number;
  readonly plen?: number;
  readonly verdict?: 'allow' | 'deny' | 'redirect' | 'pass';
  readonly rule?: number;
  /** Order inside a tier, lower is stronger. */
  readonly priority?: number;
}

export type Lab = ReturnType<typeof createLab>;
type Find = (name: string) => BpfMap;
type Put = <K, V>(t: dp.KernelTable<K, V>, key: K, value: V) => void;

const PRECEDENCE = { deny: 255, pass: 3, redirect: 2, allow: 1 } as const;
const isClass = (peer = 0): boolean => peer >>> 24 === 2;

function prefixKey(prefix: string): dp.IpcacheKey {
  const [ip = '', bits = ''] = prefix.split('/');
  return { prefixlen: 32 + Number(bits), family: family(ip), addr: IP.table(ip) };
}

/** Node, pods, addresses. */
function addressWriters(put: Put) {
  return {
    config: (c: Partial<dp.NodeConfig>): void => {
      const none = (n: number): Uint8Array => new Uint8Array(n);
      const rest = {
        ifindexVxlan: 0,
        ifindexHost: 0,
        ifindexNet: 0,
        ifindexNetdev: 0,
        flags: 0,
        vxlanPort: 8472,
        eventSample: 0,
        dropSample: 0,
        netnsCookie: 0n,
      };
      const addresses = { nodeIp4: none(4), routerIp4: none(4), nodeIp6: none(16), routerIp6: none(16), macHost: none(6), macNet: none(6) };
      put(dp.tables.node_config, 0, {
        ...addresses,
        ...rest,
        snatMin: 20000,
        snatMax: 29999,
        nodePortMin: 30000,
        nodePortMax: 32767,
        pathMtu: 0,
        ...c,
      });
    },
    pod: (p: PodSpec): void => {
      const v4 = p.ips.find((ip) => family(ip) === 4);
      const v6 = p.ips.find((ip) => family(ip) === 6);
      const common = { identity: p.identity, id: p.id, flags: p.flags ?? 0, mac: mac(p.mac), hostMac: mac(p.hostMac) };
      for (const ip of p.ips) put(dp.tables.endpoint, { addr: IP.table(ip), family: family(ip) }, { ...common, ifindex: p.ifindex });
      const ip4 = v4 === undefined ? new Uint8Array(4) : IP(v4);
      put(dp.tables.endpoint_if, { ifindex: p.ifindex }, { ...common, ip4, ip6: v6 === undefined ? new Uint8Array(16) : IP(v6) });
    },
    host: (ip: string): void =>
      put(
        dp.tables.endpoint,
        { addr: IP.table(ip), family: family(ip) },
        { ifindex: 0, identity: 1, id: 0, flags: dp.EndpointFlag.host, mac: new Uint8Array(6), hostMac: new Uint8Array(6) },
      ),
    ipcache: (prefix: string, identity: number, tunnel?: string): void => {
      const none = { tunnelFamily: 0, tunnel: new Uint8Array(16) };
      const end = tunnel === undefined ? none : { tunnelFamily: family(tunnel), tunnel: IP.table(tunnel) };
      put(dp.tables.ipcache, prefixKey(prefix), { identity, flags: 0, ...end });
    },
  };
}

/** Subjects and their rows. */
function policyWriters(map: Find, put: Put) {
  return {
    /** Writes the rows of one layer of a subject under a handle made of both, with the masks and flags they need. */
    policy: (
      identity: number,
      flags: number,
      rows: readonly PolicyRow[] = [],
      denyRule: readonly [number, number] = [901, 902],
      layer: number = dp.Layer.normal,
    ): void => {
      const masks = { peer: [0, 0] as [number, number], any: [0, 0] as [number, number] };
      const handle = (BigInt(identity) << 8n) | BigInt(layer);
      const classes = rows.some((r) => isClass(r.peer)) ? dp.SubjectFlag.classes : 0;
      for (const old of [...map('policy').entries()]) {
        if (dp.policyKey.decode(old[0]).handle === handle) map('policy').delete(old[0]);
      }
      for (const row of rows) {
        const dir = row.direction === 'egress' ? 1 : 0;
        const plen = row.plen ?? (row.port === undefined ? 0 : 16);
        const proto = row.proto ?? 0;
        const bit = proto === 0 ? 0x80000000 : 2 ** plen;
        const mask = row.peer ? masks.peer : masks.any;
        mask[dir] = (mask[dir] | bit) >>> 0;
        const verdict = row.verdict ?? 'allow';
        const key = { handle, peer: row.peer ?? 0, proto, dirPlen: dp.dirPlen(row.direction, plen), port: row.port ?? 0 };
        put(dp.tables.policy, key, {
          precedence: (0xffffff - (row.priority ?? 0)) * 0x100 + PRECEDENCE[verdict],
          ruleId: row.rule ?? 1,
          proxyPort: 0,
          verdict: dp.Verdict[verdict],
          flags: 0,
        });
      }
      put(dp.tables.subject, { identity, layer }, { handle, denyRule, peerMask: masks.peer, anyMask: masks.any, flags: flags | classes });
    },
    forget: (identity: number, layer: number = dp.Layer.normal): void =>
      void map('subject').delete(dp.subjectKey.encode({ identity, layer })),
    addrClass: (prefix: string, cls: number): void => put(dp.tables.addr_class, prefixKey(prefix), { class: cls }),
    clearClasses: (): void => {
      for (const [key] of [...map('addr_class').entries()]) map('addr_class').delete(key);
    },
  };
}

/** What the programs left behind. */
function readers(map: Find) {
  let ring: Ring | undefined;
  return {
    /** Events since the last call. */
    events: (): dp.Event[] => {
      ring ??= new Ring(map('events'));
      const out: dp.Event[] = [];
      ring.drain((b, at) => void out.push(dp.event.decode(b, at)));
      return out;
    },
    counters: (): (dp.CounterKey & dp.CounterValue)[] =>
      [...map('counters').entries()].map(([k, v]) => {
        const parts = map('counters')
          .percpu(v)
          .map((c) => dp.counterValue.decode(c));
        const sum = (f: 'packets' | 'bytes'): bigint => parts.reduce((n, p) => n + p[f], 0n);
        return { ...dp.counterKey.decode(k), packets: sum('packets'), bytes: sum('bytes') };
      }),
    dropped: (reason: number, direction: 0 | 1): number => {
      const v = map('drops').lookup(dp.tables.drops.key.encode(reason * 2 + direction))!;
      return map('drops')
        .percpu(v)
        .reduce((n, c) => n + Number(dp.dropValue.decode(c).packets), 0);
    },
    flows: (v: 4 | 6): dp.FlowValue[] => [...map(v === 4 ? 'flow4' : 'flow6').entries()].map(([, value]) => dp.flowValue.decode(value)),
    /** The entry for source port → destination port, whatever the addresses. */
    flow: (v: 4 | 6, sport: number, dport: number): dp.FlowValue | undefined => {
      const codec = v === 4 ? dp.flow4Key : dp.flow6Key;
      const found = [...map(v === 4 ? 'flow4' : 'flow6').entries()].find(([k]) => {
        const key = codec.decode(k);
        return key.sport === sport && key.dport === dport;
      });
      return found === undefined ? undefined : dp.flowValue.decode(found[1]);
    },
    closeRing: (): void => ring?.close(),
  };
}

export function createLab(options: LabOptions = {}) {
  const root = `/tmp/axo-bpf-${process.pid}-${Math.random().toString(36).slice(2)}`;
  mkdirSync(root);
  ensureBpffs(root);
  const objects = new Map<string, BpfObject>();
  // every object holds all maps of maps.h, so all need the same sizes
  const sizes = Object.entries({ ...SMALL, ...options.maxEntries }).filter((e): e is [string, number] => e[1] !== undefined);
  for (const name of options.objects ?? ['pod', 'netdev', 'overlay', 'host']) {
    objects.set(name, openObject(`${BUILD}${name}.o`, { pinRoot: root, maxEntries: Object.fromEntries(sizes) }));
  }
  const first = [...objects.values()][0]!;
  const map: Find = (name) => [...objects.values()].find((o) => o.maps.has(name))?.map(name) ?? first.map(name);
  const put: Put = (t, key, value) => map(t.name).update(t.key.encode(key), t.value.encode(value));
  let generation = 0;
  const reading = readers(map);

  const lab = {
    root,
    objects,
    map,
    put,
    ...addressWriters(put),
    ...policyWriters(map, put),
    ...reading,
    program: (name: string) => {
      for (const o of objects.values()) if (o.programs.has(name)) return o.program(name);
      throw new TypeError(`no program ${name}`);
    },
    /** One packet through one program. A test run is on the loopback device, and what bears its address, zero, is for us. */
    run: (program: string, frame: Buffer, ifindex = 0) => {
      const ours = Buffer.from(frame).fill(0, 0, 6);
      const r = lab.program(program).testRun({ packet: ours, context: skBuffContext({ ingressIfindex: ifindex }) });
      if (r.packet.subarray(0, 6).equals(ours.subarray(0, 6))) frame.copy(r.packet, 0, 0, 6);
      return { verdict: r.verdict, packet: r.packet };
    },
    /** A frame that is for whom it says. */
    runAsIs: (program: string, frame: Buffer) => lab.program(program).testRun({ packet: frame, context: skBuffContext({}) }).verdict,
    /** A packet (of at least 96 bytes) that came through the tunnel from a node with an identity. Needs the object `floor`. */
    runFromOverlay: (frame: Buffer, vni: number, outer = '192.168.9.2') => {
      const state = Buffer.alloc(96 + 48);
      frame.copy(state, 0, 0, 96);
      state.writeUInt32LE(vni, 96 + 20);
      if (family(outer) === 4) state.writeUInt32LE(IP(outer).readUInt32BE(0), 96 + 28);
      else IP(outer).copy(state, 96 + 32);
      map('bench_state').update(Buffer.alloc(4), state);
      const fd = Buffer.alloc(4);
      fd.writeUInt32LE(lab.program('from_overlay').fd);
      map('wrapped').update(Buffer.alloc(4), fd);
      return lab.run('bench_wrap', frame);
    },
    bump: (): void => put(dp.tables.generation, 0, ++generation),
    close: (): void => {
      reading.closeRing();
      for (const o of objects.values()) o.close();
      execFileSync('umount', ['-l', root]);
      rmdirSync(root);
    },
  };
  return lab;
}
