// Policy objects that are nearly right: valid ones of every kind, broken in a few random places. Used by the admission tests.
import type { SeededRandom } from '@axoneme/testkit';

type Json = Record<string, unknown>;

export interface Sample {
  readonly group: string;
  readonly kind: string;
  readonly object: Json;
}

const cilium = (kind: string, spec: Json): Sample => ({
  group: 'cilium.io',
  kind,
  object: {
    apiVersion: 'cilium.io/v2',
    kind,
    metadata: {
      name: 'p',
      ...(kind === 'CiliumNetworkPolicy' ? { namespace: 'shop' } : {}),
      uid: 'u',
      generation: 1,
      annotations: { 'policy.axoneme.io/mode': 'shadow' },
    },
    spec,
  },
});

const tiered = (kind: string, spec: Json, version = 'v1alpha1'): Sample => ({
  group: 'policy.networking.k8s.io',
  kind,
  object: { apiVersion: `policy.networking.k8s.io/${version}`, kind, metadata: { name: 'default', uid: 'u', generation: 1 }, spec },
});

const web = { matchLabels: { app: 'web' } };
const ports = [{ ports: [{ port: '80', protocol: 'TCP' }, { port: 'web' }, { port: '1000', endPort: 2000, protocol: 'UDP' }] }];
const rule = { action: 'Deny', name: 'r', from: [{ namespaces: {} }], ports: [{ portNumber: { protocol: 'TCP', port: 80 } }] };

export const samples: readonly Sample[] = [
  cilium('CiliumNetworkPolicy', {
    endpointSelector: web,
    ingress: [{ fromEndpoints: [{ matchLabels: { app: 'client' } }], toPorts: ports }, {}],
    egress: [{ toCIDRSet: [{ cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] }] }, { toFQDNs: [{ matchName: 'example.com' }] }],
    egressDeny: [{ toEntities: ['world'] }],
  }),
  cilium('CiliumNetworkPolicy', {
    endpointSelector: { matchExpressions: [{ key: 'app', operator: 'In', values: ['web', 'idle'] }] },
    ingress: [{ icmps: [{ fields: [{ family: 'IPv4', type: 8 }] }], fromEntities: ['cluster'] }],
    enableDefaultDeny: { ingress: false },
    description: 'pings',
  }),
  cilium('CiliumNetworkPolicy', {
    endpointSelector: {},
    ingress: [
      {
        toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ method: 'GET', path: '/' }] } }],
        authentication: { mode: 'required' },
      },
    ],
  }),
  cilium('CiliumClusterwideNetworkPolicy', {
    endpointSelector: web,
    egress: [{ toServices: [{ k8sService: { serviceName: 's', namespace: 'n' } }] }],
  }),
  cilium('CiliumClusterwideNetworkPolicy', {
    nodeSelector: {},
    ingress: [{ fromEntities: ['cluster'], toPorts: [{ ports: [{ port: '22' }] }] }],
  }),
  {
    group: 'networking.k8s.io',
    kind: 'NetworkPolicy',
    object: {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'n', namespace: 'shop', uid: 'u', generation: 1 },
      spec: {
        podSelector: web,
        policyTypes: ['Ingress', 'Egress'],
        ingress: [
          {
            from: [{ podSelector: {}, namespaceSelector: {} }, { ipBlock: { cidr: '10.0.0.0/8', except: ['10.0.0.0/24'] } }],
            ports: [{ port: 80 }],
          },
        ],
        egress: [{ ports: [{ port: 'web', protocol: 'TCP' }] }],
      },
    },
  },
  tiered('AdminNetworkPolicy', { priority: 5, subject: { namespaces: {} }, ingress: [rule] }),
  tiered('BaselineAdminNetworkPolicy', { subject: { pods: { namespaceSelector: {}, podSelector: web } }, ingress: [rule] }),
  tiered(
    'ClusterNetworkPolicy',
    { tier: 'Admin', priority: 5, subject: { namespaces: {} }, ingress: [{ action: 'Accept', name: 'r', from: [{ namespaces: {} }] }] },
    'v1alpha2',
  ),
];

const junk: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  70_000,
  1.5,
  1e300,
  '',
  'x',
  '0',
  '70000',
  '80',
  'TCP',
  'SCTP',
  'ICMP',
  '10.0.0.0/33',
  '10.0.0.1/8',
  '::/0',
  'fd00::/8',
  '10.0.0.0/8',
  'all',
  'world',
  'everyone',
  'In',
  'DoesNotExist',
  'a'.repeat(300),
  '\u0000\ud800',
  '__proto__',
  [],
  {},
  [null],
  [[]],
  [{}],
  ['x', 1],
  { a: 1 },
  { matchLabels: { app: 1 } },
  { matchLabels: null },
  { matchExpressions: [{}] },
  { cidr: 'x' },
  { port: {} },
];
const names = [
  'spec',
  'specs',
  'ingress',
  'egress',
  'ingressDeny',
  'egressDeny',
  'endpointSelector',
  'nodeSelector',
  'podSelector',
  'subject',
  'fromEndpoints',
  'toEndpoints',
  'fromCIDR',
  'toCIDRSet',
  'fromEntities',
  'toPorts',
  'icmps',
  'port',
  'endPort',
  'protocol',
  'ports',
  'rules',
  'from',
  'to',
  'ipBlock',
  'action',
  'tier',
  'priority',
  'toFQDNs',
  'toGroups',
  'toNodes',
  'fromRequires',
  'enableDefaultDeny',
  'policyTypes',
  'metadata',
  'annotations',
  'namespace',
  'name',
  'labels',
  '__proto__',
  'constructor',
  'x',
];

/** All places of a document: the container and the key in it. */
function placesOf(value: unknown, out: [Json, string][] = []): [Json, string][] {
  if (typeof value !== 'object' || value === null) return out;
  for (const key of Object.keys(value)) {
    out.push([value as Json, key]);
    placesOf((value as Json)[key], out);
  }
  return out;
}

const copy = <T>(v: T): T => JSON.parse(JSON.stringify(v ?? null)) as T;

function breakOnce(r: SeededRandom, object: Json): void {
  const places = placesOf(object).filter(([, k]) => k !== 'kind' && k !== 'apiVersion');
  if (places.length === 0) return;
  const [at, key] = r.pick(places);
  const what = r.int(0, 5);
  if (what === 0) delete at[key];
  else if (what === 1) at[key] = copy(r.pick(junk));
  else if (what === 2) {
    const [from, name] = r.pick(places);
    at[key] = copy(from[name]);
  } else if (what === 3)
    Object.defineProperty(at, r.pick(names), { value: copy(r.pick(junk)), enumerable: true, configurable: true, writable: true });
  else if (what === 4) at[key] = [at[key], copy(at[key] ?? null)];
  else if (typeof at[key] === 'string') at[key] = `${String(at[key])}${r.pick(['', ' ', '/', '-', '9', '*', '\n', '"'])}`;
}

/** Nothing broken in one of eight; else up to four places. */
export function fuzzed(r: SeededRandom): Sample {
  const sample = copy(r.pick(samples));
  const times = r.int(0, 7) === 0 ? 0 : r.int(1, 4);
  for (let i = 0; i < times; i++) breakOnce(r, sample.object as Json);
  return sample;
}
