// Services, slices and nodes for tests, made by the readers from what an API server would hold.
import type { ObjectKey } from '@axoneme/model';
import {
  type NodeInput,
  readEndpointSlice,
  readService,
  type ServiceContent,
  type ServiceInput,
  type ServiceTable,
  type SliceInput,
} from '../src/index.ts';

export const key = (t: string): ObjectKey => t as ObjectKey;

export interface More {
  readonly name?: string;
  readonly created?: number;
  readonly labels?: object;
  readonly annotations?: object;
  readonly ingress?: readonly object[];
}

/** `name` may have a namespace; `shop` without. */
export function service(spec: object, more: More = {}): ServiceInput {
  const [namespace, name] = (more.name ?? 'shop/web').split('/');
  const metadata = {
    namespace,
    name,
    labels: more.labels,
    annotations: more.annotations,
    creationTimestamp: new Date(more.created ?? 1000).toISOString(),
  };
  return readService({ metadata, spec, status: { loadBalancer: { ingress: more.ingress } } });
}

export interface Pod {
  readonly ip: string;
  readonly node?: string;
  readonly zones?: readonly string[];
  readonly nodes?: readonly string[];
  readonly ready?: boolean;
  readonly serving?: boolean;
  readonly terminating?: boolean;
}

const named = (list: readonly string[] | undefined) => list?.map((name) => ({ name }));

export function slice(pods: readonly Pod[], more: { of?: string; name?: string; ports?: readonly object[] } = {}): SliceInput {
  const [namespace, of] = (more.of ?? 'shop/web').split('/');
  return readEndpointSlice({
    metadata: { namespace, name: more.name ?? `${of}-1`, labels: { 'kubernetes.io/service-name': of } },
    addressType: pods[0]?.ip.includes(':') === true ? 'IPv6' : 'IPv4',
    ports: more.ports ?? [{ name: '', protocol: 'TCP', port: 8080 }],
    endpoints: pods.map((p) => ({
      addresses: [p.ip],
      nodeName: p.node,
      conditions: { ready: p.ready, serving: p.serving, terminating: p.terminating },
      hints: { forZones: named(p.zones), forNodes: named(p.nodes) },
    })),
  })!;
}

export const node = (name: string, zone = '', more: Partial<NodeInput> = {}): NodeInput => ({
  name: name as never,
  zone,
  labels: { 'kubernetes.io/hostname': name },
  addresses: [],
  podCidrs: [],
  ...more,
});

const backends = (t: ServiceTable, set: bigint): string =>
  t.sets
    .get(set)
    ?.backends.map((b) => b.ip)
    .join(',') ?? '-';

/** `kind address:port/protocol backends inside | backends outside`, the second only where it differs. */
export function shown(t: ServiceTable, content: ServiceContent | undefined): string[] {
  return (content?.frontends ?? []).map((f) => {
    const [inside, outside] = [backends(t, f.setIn), backends(t, f.setOut)];
    return `${f.kind} ${f.ip}:${f.port}/${f.protocol} ${inside}${outside === inside ? '' : ` | ${outside}`}`;
  });
}

/** Everything of a table that can be compared. */
export function plain(t: ServiceTable, nodes: readonly NodeInput[]) {
  const facts = [...t.services].map(([k, s]) => [
    k,
    s.fullHash,
    s.frontends,
    s.sources,
    s.remarks,
    s.tables.map((x) => x.id),
    nodes.map((n) => [n.name, s.contentOf(n)]),
  ]);
  const ascending = (m: ReadonlyMap<unknown, unknown>) => [...m].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
  return {
    services: facts.sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
    hostPorts: ascending(t.hostPorts),
    sets: ascending(t.sets),
    tables: ascending(t.tables),
  };
}
