// A small cluster for tests: world, compiler, dispatcher, and nodes that apply what they are given in the order of the kernel tables.
import { applyOrder, type KeyOf, type Row, type TableName, tables as tableTraits, unpackRows, type ValueOf } from '@axoneme/datapath';
import { labelsToMap } from '@axoneme/model';
import { silentLog, unwrap } from '@axoneme/std';
import { type Compiled, createCompiler } from '../src/compile/compiler.ts';
import { createDispatcher } from '../src/compile/dispatch.ts';
import type { Decision } from '../src/compile/gates/gatekeeper.ts';
import { createGates, type Gates } from '../src/compile/gates/gates.ts';
import type { RowCounts } from '../src/compile/gates/row-counts.ts';
import type { Moment } from '../src/compile/numbers.ts';
import { type OperatorConfig, parseConfig } from '../src/config.ts';
import { projectCidrGroup, projectNode, projectPod, projectPolicy } from '../src/world/project.ts';
import { type PolicyKind, policyRowKey } from '../src/world/rows.ts';
import { createWorld, type World } from '../src/world/world.ts';

type Raw = Readonly<Record<string, unknown>>;
type Names = ReadonlyMap<string, string>;

export interface Lab {
  readonly world: World;
  readonly compiler: ReturnType<typeof createCompiler>;
  /** Desired artifacts by node, as given to the hub. */
  readonly given: ReadonlyMap<string, Names>;
  /** Without gates. */
  compile(at?: Moment): Compiled;
  /** With gates; what was refused is tried again. */
  decide(): Decision;
  readonly gates: Gates;
  readonly counts: RowCounts;
  node(name: string, index: number, labels?: Record<string, string>): void;
  /** A running pod in namespace shop; address 10.244.<node>.<index>. */
  pod(name: string, node: string, index: number, labels: Record<string, string>): void;
  /** Gives every pod an identity, 300 and up in the order of the pods. */
  identities(): Record<string, number>;
  policy(kind: PolicyKind, name: string, spec: object, more?: { generation?: number; annotations?: object; created?: string }): string;
  drop(kind: PolicyKind, name: string): void;
  group(name: string, cidrs: readonly string[], labels?: object): void;
  rows<N extends TableName>(artifact: string): Row<N>[];
}

export const labConfig = (more: object = {}): OperatorConfig => unwrap(parseConfig(more, {}));
const namespaced = (kind: PolicyKind): boolean => kind === 'CiliumNetworkPolicy' || kind === 'NetworkPolicy';
export const keyOfPolicy = (kind: PolicyKind, name: string): string => policyRowKey(kind, namespaced(kind) ? `shop/${name}` : name);

export function createHubModel() {
  const given = new Map<string, Map<string, string>>();
  const hub = {
    setDesired: (node: string, desired: Names) => void given.set(node, new Map(desired)),
    changeDesired: (node: string, changes: ReadonlyMap<string, string | null>) => {
      for (const [name, digest] of changes) {
        if (digest === null) given.get(node)!.delete(name);
        else given.get(node)!.set(name, digest);
      }
    },
    forget: (node: string) => void given.delete(node),
    status: () => [...given.keys()].map((node) => ({ node })),
    link: () => undefined,
  };
  return { given, hub };
}

export function nodeObject(name: string, index: number, labels: Record<string, string>): Raw {
  const addresses = [
    { type: 'InternalIP', address: `172.30.0.${index}` },
    { type: 'InternalIP', address: `fd00:30::${index}` },
  ];
  return { metadata: { name, uid: name, labels }, status: { addresses } };
}

export function addNode(w: World, name: string, index: number, labels: Record<string, string> = {}): void {
  w.set('nodes', name, projectNode(nodeObject(name, index, labels)));
  w.set('ciliumNodes', name, { name, podCidrs: [`10.244.${index}.0/24`, `fd00:10:244::${index}00/120`], createdMs: index });
}

export function addPod(w: World, name: string, node: string, index: number, labels: Record<string, string>): void {
  const n = node.slice(-1);
  const raw = {
    metadata: { namespace: 'shop', name, uid: `uid-${name}`, labels },
    spec: { nodeName: node, containers: [{ ports: [{ name: 'web', containerPort: 80 }] }] },
    status: {
      phase: 'Running',
      podIPs: [{ ip: `10.244.${n}.${index}` }, { ip: `fd00:10:244::${n}${index.toString(16).padStart(2, '0')}` }],
    },
  };
  w.set('pods', `shop/${name}`, projectPod(raw));
}

function copyWorld(from: World): World {
  const world = createWorld();
  for (const table of Object.keys(from.tables) as (keyof World['tables'])[])
    for (const [key, row] of from.tables[table]) world.set(table, key, row as never);
  return world;
}

export function createLab(config: OperatorConfig = labConfig(), given0?: World): Lab {
  const world = given0 === undefined ? createWorld() : copyWorld(given0);
  const compiler = createCompiler(config);
  const { given, hub } = createHubModel();
  const dispatcher = createDispatcher({ tables: world.tables, compiler, hub: () => hub as never });
  let decision: Decision | undefined;
  const gates = createGates(
    { compiler, dispatcher, tables: world.tables, reported: () => undefined, decision: () => decision, log: silentLog },
    config,
  );
  if (given0 === undefined) world.set('namespaces', 'shop', { name: 'shop', labels: { 'kubernetes.io/metadata.name': 'shop' } });
  return {
    world,
    compiler,
    given,
    compile(at) {
      const compiled = compiler.compile(world.tables, world.takeDirty(), at);
      dispatcher.stage(compiled);
      compiler.publish();
      dispatcher.publish({ revision: 1, epoch: 1 }, new Set());
      return compiled;
    },
    gates,
    counts: dispatcher.counts,
    decide() {
      const candidate = compiler.compile(world.tables, world.takeDirty());
      dispatcher.stage(candidate);
      decision = gates.gatekeeper.decide(candidate, true);
      compiler.publish();
      dispatcher.publish({ revision: 1, epoch: 1 }, decision.heldBack);
      return decision;
    },
    node: (name, index, labels) => addNode(world, name, index, labels),
    pod: (name, node, index, labels) => addPod(world, name, node, index, labels),
    identities() {
      const ids: Record<string, number> = {};
      compiler.podViews(world.tables).forEach((v, i) => {
        ids[v.row.name] = 300 + i;
        world.set('identities', String(300 + i), { id: 300 + i, labels: labelsToMap(v.labels), createdMs: 1 });
      });
      return ids;
    },
    policy(kind, name, spec, { generation = 1, annotations = {}, created } = {}) {
      const metadata = {
        ...(namespaced(kind) ? { namespace: 'shop' } : {}),
        ...(created === undefined ? {} : { creationTimestamp: created }),
        name,
        uid: `uid-${name}`,
        generation,
        annotations,
      };
      const key = keyOfPolicy(kind, name);
      world.set('policies', key, projectPolicy(kind, { metadata, spec }));
      return key;
    },
    drop: (kind, name) => world.remove('policies', keyOfPolicy(kind, name)),
    group: (name, externalCIDRs, labels = {}) =>
      world.set('cidrGroups', name, projectCidrGroup({ metadata: { name, uid: name, labels }, spec: { externalCIDRs } })),
    rows<N extends TableName>(artifact: string) {
      const body = compiler.artifacts.get(artifact)?.body;
      return body === undefined ? [] : unpackRows(body.table as N, body.keys, body.values);
    },
  };
}

/** Kernel tables of one node. `apply` calls `look` after every row that is written or deleted. */
export function createKernelModel(lab: Lab, node: string) {
  const held = new Map<string, { readonly table: string; readonly rows: ReadonlyMap<string, Uint8Array> }>();
  const kernel = new Map<TableName, Map<string, Uint8Array>>(applyOrder.map((t) => [t, new Map()]));
  const rowsOf = (name: string) => {
    const body = lab.compiler.artifacts.get(name)!.body;
    const t = tableTraits[body.table as TableName] as { key: { size: number }; value: { size: number } } | undefined;
    const rows = new Map<string, Uint8Array>();
    if (t !== undefined)
      for (let i = 0; i * t.key.size < body.keys.length; i++) {
        const key = Buffer.from(body.keys.subarray(i * t.key.size, (i + 1) * t.key.size)).toString('hex');
        rows.set(key, body.values.subarray(i * t.value.size, (i + 1) * t.value.size));
      }
    return { table: body.table, rows };
  };
  const isHeld = (table: string, key: string): boolean => [...held.values()].some((a) => a.table === table && a.rows.has(key));
  return {
    apply(look: () => void = () => undefined): void {
      const wanted = [...lab.given.get(node)!.keys()].filter((n) => lab.compiler.artifacts.has(n));
      const before = [...held.values()];
      const next = new Map(wanted.map((n) => [n, rowsOf(n)]));
      held.clear();
      for (const [n, a] of next) held.set(n, a);
      for (const table of applyOrder)
        for (const a of next.values())
          if (a.table === table)
            for (const [key, value] of a.rows) {
              kernel.get(table)!.set(key, value);
              look();
            }
      for (const table of [...applyOrder].reverse())
        for (const a of before)
          if (a.table === table)
            for (const key of a.rows.keys()) {
              if (isHeld(table, key)) continue;
              kernel.get(table)!.delete(key);
              look();
            }
    },
    rows<N extends TableName>(table: N): (readonly [KeyOf<N>, ValueOf<N>])[] {
      const t = tableTraits[table] as unknown as { key: { decode(b: Uint8Array): KeyOf<N> }; value: { decode(b: Uint8Array): ValueOf<N> } };
      return [...kernel.get(table)!].map(([k, v]) => [t.key.decode(Buffer.from(k, 'hex')), t.value.decode(v)] as const);
    },
  };
}
