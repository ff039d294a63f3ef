// Who is compared by a plan: workloads, nodes and pieces of the address space, grouped where base and head treat them alike. Called by plan.ts.
import { type Cidr, cidrFamily, cidrOfIp, type IdentityId, type IpFamily, reservedIds } from '@axoneme/model';
import type { SubjectSet } from '../layer-plan.ts';
import { addressPieces } from './address-space.ts';
import type { SceneNode } from './scene.ts';
import { familiesIn, type PlanPod, type Side, subjectText } from './side.ts';

export type UnitKind = 'workload' | 'own-node' | 'node' | 'addresses';

/** How a unit looks in one state, for one address family. */
export interface UnitView {
  readonly peer: IdentityId;
  readonly cls: IdentityId | undefined;
  /** Undefined: nothing is enforced there. */
  readonly subject: SubjectSet | undefined;
}

export type Views = ReadonlyMap<IpFamily, UnitView>;

export interface Unit {
  readonly kind: UnitKind;
  readonly name: string;
  /** Of addresses. */
  readonly prefix?: Cidr | undefined;
  /** Undefined: it does not exist in that state. */
  readonly base: Views | undefined;
  readonly head: Views | undefined;
}

/** Units that nothing tells apart. */
export interface UnitClass extends Omit<Unit, 'name' | 'prefix'> {
  /** Ascending. */
  readonly names: readonly string[];
}

export function unitsOf(base: Side, head: Side): Unit[] {
  return [...podUnits(base, head), ...nodeUnits(base, head), ...addressUnits(base, head)];
}

export function classesOfUnits(units: readonly Unit[]): UnitClass[] {
  const groups = Map.groupBy(units, (u) => `${u.kind}\n${viewsText(u.base)}\n${viewsText(u.head)}`);
  return [...groups.values()].map((own) => {
    const { kind, base, head } = own[0]!;
    return { kind, base, head, names: own.map((u) => u.name).sort() };
  });
}

const viewText = (v: UnitView): string => `${v.peer} ${v.cls ?? 0} ${subjectText(v.subject)}`;
const viewsText = (v: Views | undefined): string =>
  v === undefined ? '-' : [...v].map(([f, view]) => `${f} ${viewText(view)}`).join('\n');

function podUnits(base: Side, head: Side): Unit[] {
  const before = byName(base);
  const after = byName(head);
  return [...new Set([...before.keys(), ...after.keys()])].map((name) => {
    const [b, h] = [before.get(name), after.get(name)];
    return { kind: 'workload', name, base: b && podViews(base, b), head: h && podViews(head, h) };
  });
}

const byName = (side: Side): Map<string, PlanPod> => new Map(side.state.pods.map((p) => [p.name, p]));

function podViews(side: Side, pod: PlanPod): Views {
  const peer = side.identityOf(pod.labels);
  const subject = side.subject(peer);
  const families = familiesIn(pod.addresses);
  return new Map(
    families.map((family) => {
      const address = pod.addresses.find((a) => (a.includes(':') ? 6 : 4) === family);
      return [family, { peer, cls: address === undefined ? side.unknownClass(family) : side.classOf(address), subject }] as const;
    }),
  );
}

/** A node is one thing to its own pods and another to all others. Without nodes in the input there is one of each, of which nothing is known. */
function nodeUnits(base: Side, head: Side): Unit[] {
  const before = new Map(base.state.nodes.map((n) => [n.name, n]));
  const after = new Map(head.state.nodes.map((n) => [n.name, n]));
  const names = new Set([...before.keys(), ...after.keys()]);
  const units = (kind: 'own-node' | 'node'): Unit[] =>
    names.size === 0
      ? [
          {
            kind,
            name: kind === 'node' ? 'other nodes' : 'own node',
            base: nodeViews(base, kind, undefined),
            head: nodeViews(head, kind, undefined),
          },
        ]
      : [...names].map((name) => {
          const [b, h] = [before.get(name), after.get(name)];
          return {
            kind,
            name: kind === 'node' ? `Node ${name}` : `own Node ${name}`,
            base: b && nodeViews(base, kind, b),
            head: h && nodeViews(head, kind, h),
          };
        });
  return [...units('own-node'), ...units('node')];
}

function nodeViews(side: Side, kind: 'own-node' | 'node', node: SceneNode | undefined): Views {
  const other = node?.apiServer === true ? reservedIds['kube-apiserver'] : reservedIds['remote-node'];
  const peer = kind === 'own-node' ? reservedIds.host : other;
  const subject = node === undefined ? undefined : side.hostSubject(node.name);
  return new Map(
    familiesIn(node?.addresses ?? []).map((family) => {
      const address = node?.addresses.find((a) => (a.includes(':') ? 6 : 4) === family);
      return [family, { peer, cls: address === undefined ? side.unknownClass(family) : side.classOf(address), subject }] as const;
    }),
  );
}

const everywhere = ['0.0.0.0/0', '::/0'] as Cidr[];

/** Cut along the prefixes of both states; an address of a pod or node is no address of the outside. */
function addressUnits(base: Side, head: Side): Unit[] {
  const own = new Set([base, head].flatMap((s) => [...s.state.pods, ...s.state.nodes].flatMap((p) => p.addresses.map(cidrOfIp))));
  return addressPieces(everywhere, [...base.prefixes, ...head.prefixes])
    .filter((p) => !own.has(p.cidr))
    .map(({ cidr, without }) => {
      const views = (side: Side): Views => new Map([[cidrFamily(cidr), { ...look(side, cidr), subject: undefined }]]);
      return { kind: 'addresses', name: addressName(cidr, without), prefix: cidr, base: views(base), head: views(head) };
    });
}

const look = (side: Side, cidr: Cidr): { readonly peer: IdentityId; readonly cls: IdentityId | undefined } => {
  const { peer, cls } = side.lookOf(cidr);
  return { peer, cls };
};

function addressName(cidr: Cidr, without: readonly Cidr[]): string {
  if (cidr === everywhere[0] || cidr === everywhere[1]) return cidr === everywhere[0] ? 'world (IPv4)' : 'world (IPv6)';
  return without.length === 0 ? cidr : `${cidr} (rest)`;
}

/** True if connections between the two make sense to ask about. */
export function areCompared(from: Pick<Unit, 'kind'>, to: Pick<Unit, 'kind'>): boolean {
  if (from.kind === 'own-node') return to.kind === 'workload';
  if (to.kind === 'own-node') return from.kind === 'workload';
  return !(from.kind === 'addresses' && to.kind === 'addresses');
}
