// A node's tables in memory, for the service commands: two pods here and elsewhere, a node, Services of every kind.
import {
  addressKey,
  displayRows,
  ipcacheKeyOf,
  type KeyOf,
  LbFlag,
  NodeFlag,
  type TableName,
  tables,
  type ValueOf,
} from '@axoneme/datapath';
import { type Cidr, cidrOfIp, type IpAddr, ipBytes, ipFamily, type PortProtocol, protocolNumbers } from '@axoneme/model';
import type { ServiceBackend, ServiceFrontend, ServiceState } from '@axoneme/proto';
import { maglevTable } from '@axoneme/service';
import type { NodeRows } from '../src/service/node-rows.ts';

export const here = { node: '192.168.9.1', router: '10.0.1.254', pod: '10.0.1.1', pod2: '10.0.1.2' } as const;
export const there = { node: '192.168.9.2', pod: '10.0.2.1', pod2: '10.0.2.2' } as const;
export const outside = '198.51.100.7';

type Codecs = { key: { encode(k: unknown): Uint8Array; decode(b: Uint8Array): never }; value: { encode(v: unknown): Uint8Array } };
const codecs = (table: TableName): Codecs => tables[table] as unknown as Codecs;
const hex = (b: Uint8Array): string => Buffer.from(b).toString('hex');

export interface Rows extends NodeRows {
  put<N extends TableName>(table: N, key: KeyOf<N>, value: Partial<ValueOf<N>>): void;
  remove<N extends TableName>(table: N, key: KeyOf<N>): void;
  /** As an agent answers `lookup …`. */
  answer(question: string): string[];
}

const tries: readonly TableName[] = ['ipcache', 'lb_source'];

export function createRows(nowNs = 1_000_000_000_000n): Rows {
  const held = new Map<TableName, Map<string, { readonly key: Uint8Array; readonly value: Uint8Array }>>();
  const of = (t: TableName) => held.get(t) ?? held.set(t, new Map()).get(t)!;
  const bitsEqual = (a: Uint8Array, b: Uint8Array, bits: number): boolean => {
    for (let i = 0; i < bits; i++) if ((((a[i >> 3] ?? 0) ^ (b[i >> 3] ?? 0)) & (0x80 >> (i & 7))) !== 0) return false;
    return true;
  };
  /** The longest prefix wins, whatever it is of. */
  const search = (table: TableName, key: Uint8Array): Uint8Array | undefined => {
    if (!tries.includes(table)) return of(table).get(hex(key))?.value;
    const lengthOf = (k: Uint8Array): number => new DataView(k.buffer, k.byteOffset).getUint32(0, true);
    const fits = [...of(table).values()].filter((r) => bitsEqual(r.key.subarray(4), key.subarray(4), lengthOf(r.key)));
    return fits.sort((a, b) => lengthOf(b.key) - lengthOf(a.key))[0]?.value;
  };
  const rows: Rows = {
    put(table, key, value) {
      const k = codecs(table).key.encode(key);
      of(table).set(hex(k), {
        key: k,
        value: codecs(table).value.encode(typeof value === 'number' ? value : { ...zeros(table), ...value }),
      });
    },
    remove: (table, key) => void of(table).delete(hex(codecs(table).key.encode(key))),
    async find(table, keys) {
      return keys.map((k) => {
        const value = search(table, codecs(table).key.encode(k));
        return value === undefined
          ? undefined
          : (tables[table] as unknown as { value: { decode(b: Uint8Array): never } }).value.decode(value);
      });
    },
    async list(table) {
      const all = [...of(table).values()];
      return all.flatMap((r) => displayRows(table, r.key, r.value));
    },
    one: async (table, key) => (await rows.find(table, [key]))[0],
    nowNs: () => nowNs,
    answer(question) {
      const { table, keys } = JSON.parse(question) as { table: TableName; keys: string[] };
      const found = keys.flatMap((key) => {
        const value = search(table, Buffer.from(key, 'hex'));
        return value === undefined ? [] : [JSON.stringify({ key, value: hex(value) })];
      });
      return [JSON.stringify({ nowNs: String(nowNs) }), ...found];
    },
  };
  return rows;
}

/** All fields of a value, empty. */
function zeros(table: TableName): object {
  const { value } = tables[table] as unknown as { value: { size: number; decode(b: Uint8Array): object } };
  return value.decode(new Uint8Array(value.size));
}

export interface Facade {
  readonly at: string;
  readonly port: number;
  readonly protocol?: PortProtocol;
  readonly backends: readonly string[];
  readonly inside?: readonly string[];
  readonly flags: number;
  readonly maglev?: number;
  readonly affinityS?: number;
  readonly serviceId?: number;
}

let sets = 0n;

/** Frontend, slots and table; returns the set of clients outside. */
export function putFrontend(rows: Rows, f: Facade): bigint {
  const family = ipFamily(f.at as IpAddr);
  const putSet = (addresses: readonly string[]): bigint => {
    if (addresses.length === 0) return 0n;
    const set = ++sets;
    addresses.forEach((a, index) =>
      rows.put('lb_slot', { set, index }, { addr: ipBytes(a as IpAddr), port: 8080, family, backendId: 100 + index }),
    );
    return set;
  };
  const setOut = putSet(f.backends);
  const setIn = f.inside === undefined ? setOut : putSet(f.inside);
  const size = f.maglev ?? 0;
  if (size > 0) {
    const table = maglevTable(
      f.backends.map((ip) => ({ ip: ip as IpAddr, port: 8080, weight: 100 })),
      size as 251,
    );
    for (let chunk = 0; chunk * 512 < table.length; chunk++) {
      const slot = Array.from({ length: 512 }, (_, i) => table[chunk * 512 + i] ?? 0);
      rows.put('lb_maglev', { set: setOut, chunk }, { slot } as never);
    }
  }
  const key = {
    addr: ipBytes(f.at as IpAddr),
    port: f.port,
    proto: f.port === 0 ? 0 : protocolNumbers[f.protocol ?? 'TCP'],
    family,
  };
  rows.put('lb_frontend', key, {
    setOut,
    setIn,
    countOut: f.backends.length,
    countIn: (f.inside ?? f.backends).length,
    maglevSize: size,
    serviceId: f.serviceId ?? 7,
    affinityS: f.affinityS ?? 0,
    flags: f.flags,
  });
  return setOut;
}

export function createNode(flags: number = NodeFlag.tunnel): Rows {
  const rows = createRows();
  const v4 = (ip: string): Uint8Array => ipBytes(ip as IpAddr).subarray(0, 4);
  rows.put('node_config', 0, { flags, nodeIp4: v4(here.node), routerIp4: v4(here.router), netnsCookie: 77n });
  for (const [ip, host] of [
    [here.node, 1],
    [here.router, 1],
    [here.pod, 0],
    [here.pod2, 0],
  ] as const)
    rows.put('endpoint', addressKey(ip as IpAddr), { flags: host, identity: host === 1 ? 1 : 1001 });
  const cache = (cidr: string, identity: number): void =>
    rows.put('ipcache', ipcacheKeyOf(cidr as Cidr), {
      identity,
      tunnelFamily: (flags & NodeFlag.tunnel) === 0 ? 0 : 4,
      tunnel: (flags & NodeFlag.tunnel) === 0 ? new Uint8Array(16) : ipBytes(there.node as IpAddr),
    });
  cache(cidrOfIp(there.node as IpAddr), 6);
  cache('10.0.2.0/24', 99);
  cache(cidrOfIp(there.pod as IpAddr), 1002);
  return rows;
}

export const external = LbFlag.external | LbFlag.reject;

/** A Service as the operator tells of it, one frontend of which a node has. */
export function createShop(): { readonly node: Rows; readonly services: readonly ServiceState[]; readonly setText: string } {
  const node = createNode();
  const webSet = putFrontend(node, { at: '192.0.2.10', port: 80, backends: [here.pod, there.pod], flags: LbFlag.external, maglev: 251 });
  const setText = webSet.toString(16).padStart(16, '0');
  const frontend: ServiceFrontend = {
    kind: 'load-balancer',
    address: '192.0.2.10',
    port: 80,
    protocol: 'TCP',
    setOut: setText,
    setIn: setText,
    countOut: 2,
    countIn: 2,
    drainingOut: 0,
    drainingIn: 0,
    maglevSize: 251,
    affinitySeconds: 0,
    serviceId: 7,
    flags: LbFlag.external,
  };
  const backend: ServiceBackend = {
    address: here.pod,
    port: 8080,
    protocol: 'TCP',
    portName: 'http',
    node: 'w1',
    zone: 'a',
    state: 'active',
    weight: 100,
    pod: 'shop/web-1',
  };
  const web: ServiceState = {
    namespace: 'shop',
    name: 'web',
    type: 'LoadBalancer',
    frontends: [frontend, { ...frontend, kind: 'node-port', address: '0.0.0.0', port: 30080, affinitySeconds: 60, maglevSize: 0 }],
    backends: [backend, { ...backend, address: there.pod, node: 'w2', zone: 'b', pod: 'shop/web-2' }],
    states: { active: 2, 'not-ready': 1 },
    remarks: ['external IP refused: 10.0.0.1 is an address of a node'],
    externalLocal: true,
    internalLocal: false,
    healthCheckPort: 31_000,
    differs: true,
  };
  const services: ServiceState[] = [web, { ...web, name: 'idle', type: 'ClusterIP', frontends: [], backends: [], states: {}, remarks: [] }];
  return { node, services, setText };
}
