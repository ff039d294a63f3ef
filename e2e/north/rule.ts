// The matrix of Services, and the rule that says what every cell of it must show. The rule is written from docs/design/services.md
// ("What differs by node", "Clients outside the cluster"), and knows nothing of how packets travel.

export type Policy = 'Cluster' | 'Local';
export type Mode = 'snat' | 'dsr';
export type Family = 4 | 6;
export type Protocol = 'TCP' | 'UDP';
export type Kind = 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalIP' | 'HostPort';
/** Where a Service has its backends. `host`: they share their node's network. */
export type Place = 'both' | 'one' | 'host';

export interface Addresses {
  readonly ipv4: string;
  readonly ipv6: string;
}

export interface Backend extends Addresses {
  readonly name: string;
  readonly node: string;
  readonly hostNetwork: boolean;
}

export interface NodePlace extends Addresses {
  readonly name: string;
  /** Address of the node's router by family; empty without one. */
  readonly router4: string;
  readonly router6: string;
}

export interface Asker extends Addresses {
  readonly kind: 'pod' | 'node' | 'outside';
  readonly name: string;
  /** Empty outside. */
  readonly node: string;
}

export interface ServiceShape {
  readonly name: string;
  readonly place: Place;
  readonly external: Policy;
  readonly internal: Policy;
  readonly mode: Mode;
}

export interface Cell {
  readonly service: ServiceShape;
  readonly kind: Kind;
  readonly family: Family;
  readonly protocol: Protocol;
  readonly asker: Asker;
  /** The node whose address is asked, or which the world's route leads to; undefined: it does not matter. */
  readonly via: NodePlace | undefined;
}

/** Nothing: nobody answers. Otherwise each backend that must be seen, with the source addresses it may see. */
export type Expected = 'nothing' | ReadonlyMap<string, readonly string[]>;

export const ipOf = (p: Addresses, family: Family): string => (family === 4 ? p.ipv4 : p.ipv6);
const routerOf = (n: NodePlace, family: Family): string => (family === 4 ? n.router4 : n.router6) || ipOf(n, family);

export interface Ground {
  readonly nodes: readonly NodePlace[];
  backendsOf(service: ServiceShape): readonly Backend[];
}

export function expectedOf(g: Ground, c: Cell): Expected {
  const outside = c.asker.kind === 'outside';
  // a plain ClusterIP is for the cluster
  if (outside && c.kind === 'ClusterIP') return 'nothing';
  const all = g.backendsOf(c.service);
  const chosen = c.kind === 'HostPort' ? all.filter((b) => b.node === c.via?.name) : candidates(c, all, outside);
  if (chosen.length === 0) return 'nothing';
  return new Map(chosen.map((b) => [b.name, outside ? sourceOutside(c, b) : sourceInside(g, c)]));
}

/** Clients of the cluster are answered for by their own node, those outside by the node they come to. */
function candidates(c: Cell, all: readonly Backend[], outside: boolean): readonly Backend[] {
  const policy = outside ? c.service.external : c.service.internal;
  const here = outside ? c.via?.name : c.asker.node;
  return policy === 'Cluster' ? all : all.filter((b) => b.node === here);
}

/** Translated before the first packet: pods keep their address, a node has several. */
function sourceInside(g: Ground, c: Cell): readonly string[] {
  if (c.asker.kind === 'pod') return [ipOf(c.asker, c.family)];
  const node = g.nodes.find((n) => n.name === c.asker.node)!;
  return [ipOf(node, c.family), routerOf(node, c.family)];
}

function sourceOutside(c: Cell, b: Backend): readonly string[] {
  const own = ipOf(c.asker, c.family);
  if (b.node === c.via?.name) return [own];
  // towards a node's own address there is no option to read
  if (b.hostNetwork) return [ipOf(c.via!, c.family)];
  return [c.service.mode === 'dsr' ? own : routerOf(c.via!, c.family)];
}

export const cellText = (c: Cell): string => {
  const { service: s } = c;
  const by = c.via === undefined ? '' : ` by ${c.via.name}`;
  return `${c.asker.name} → ${s.name} ${c.kind} IPv${c.family} ${c.protocol}${by}`;
};
