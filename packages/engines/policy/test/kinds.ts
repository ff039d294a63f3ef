// Random objects of all policy kinds: NetworkPolicy, the admin policies, host policies, and the two of arbitraries.ts.

import fc from 'fast-check';
import { modeAnnotation, type PolicyObject } from '../src/index.ts';
import { policyArb } from './arbitraries.ts';

const podSelectorArb = fc.constantFrom<object>(
  {},
  { matchLabels: { app: 'a' } },
  { matchExpressions: [{ key: 'app', operator: 'In', values: ['b', 'c'] }] },
  { matchExpressions: [{ key: 'tier', operator: 'DoesNotExist' }] },
);
const namespaceSelectorArb = fc.constantFrom<object>(
  {},
  { matchLabels: { team: 'blog' } },
  { matchExpressions: [{ key: 'team', operator: 'NotIn', values: ['blog'] }] },
  { matchLabels: { 'kubernetes.io/metadata.name': 'shop' } },
);
const nodeSelectorArb = fc.constantFrom<object>(
  {},
  { matchLabels: { zone: 'a' } },
  { matchExpressions: [{ key: 'role', operator: 'Exists' }] },
);
const networks = [
  '10.0.0.0/8',
  '10.1.0.0/16',
  '10.1.0.2/32',
  '192.168.0.0/16',
  '192.168.0.2/32',
  '0.0.0.0/0',
  'fd00::/8',
  '203.0.113.9/32',
];
const ipBlocks: readonly object[] = [
  { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] },
  { cidr: '0.0.0.0/0', except: ['192.168.0.0/16', '10.9.9.0/24'] },
  { cidr: '10.1.0.0/16', except: ['10.1.0.2/32'] },
  { cidr: '192.168.0.1/32' },
  { cidr: 'fd00::/8', except: ['fd01::/64'] },
];

const metadata = (name: string, shadow: boolean, namespace?: string): PolicyObject['metadata'] => ({
  name,
  ...(namespace === undefined ? {} : { namespace }),
  ...(shadow ? { annotations: { [modeAnnotation]: 'shadow' } } : {}),
});
const shadowArb = fc.constantFrom(false, false, false, true);

const knpPortArb = fc.constantFrom<object>(
  { port: 80 },
  { port: 'web', protocol: 'TCP' },
  { protocol: 'UDP' },
  { port: 1024, endPort: 8100, protocol: 'TCP' },
);
const knpPeerArb = fc.oneof(
  podSelectorArb.map((podSelector) => ({ podSelector })),
  namespaceSelectorArb.map((namespaceSelector) => ({ namespaceSelector })),
  fc.record({ podSelector: podSelectorArb, namespaceSelector: namespaceSelectorArb }),
  fc.constantFrom(...ipBlocks).map((ipBlock) => ({ ipBlock })),
);
const knpRuleArb = (field: 'from' | 'to'): fc.Arbitrary<object> =>
  fc.record({ [field]: fc.array(knpPeerArb, { maxLength: 2 }), ports: fc.array(knpPortArb, { maxLength: 2 }) }, { requiredKeys: [] });

export const networkPolicyArb = (name: string): fc.Arbitrary<PolicyObject> =>
  fc
    .tuple(
      fc.record(
        {
          podSelector: podSelectorArb,
          policyTypes: fc.subarray(['Ingress', 'Egress']),
          ingress: fc.array(knpRuleArb('from'), { maxLength: 2 }),
          egress: fc.array(knpRuleArb('to'), { maxLength: 2 }),
        },
        { requiredKeys: ['podSelector'] },
      ),
      fc.constantFrom('shop', 'blog'),
      shadowArb,
    )
    .map(([spec, namespace, shadow]) => ({ kind: 'NetworkPolicy', metadata: metadata(name, shadow, namespace), spec }));

const adminPodsArb = fc.oneof(
  namespaceSelectorArb.map((namespaces) => ({ namespaces })),
  fc.record({ namespaceSelector: namespaceSelectorArb, podSelector: podSelectorArb }).map((p) => ({ pods: p })),
);
const adminEgressPeerArb = fc.oneof(
  adminPodsArb,
  nodeSelectorArb.map((nodes) => ({ nodes })),
  fc.subarray(networks, { minLength: 1, maxLength: 2 }).map((list) => ({ networks: list })),
);
const adminPortArb = fc.constantFrom<object>(
  { portNumber: { protocol: 'TCP', port: 80 } },
  { portRange: { protocol: 'TCP', start: 1024, end: 8100 } },
  { portNumber: { protocol: 'UDP', port: 53 } },
);

const adminRulesArb = (direction: 'ingress' | 'egress', actions: readonly string[]): fc.Arbitrary<object[]> =>
  fc.array(
    fc.record(
      {
        action: fc.constantFrom(...actions),
        [direction === 'ingress' ? 'from' : 'to']: fc.array<object>(direction === 'ingress' ? adminPodsArb : adminEgressPeerArb, {
          minLength: 1,
          maxLength: 2,
        }),
        ports: fc.array(adminPortArb, { minLength: 1, maxLength: 2 }),
      },
      { requiredKeys: ['action', direction === 'ingress' ? 'from' : 'to'] },
    ),
    { maxLength: 3 },
  );

export const adminPolicyArb = (name: string): fc.Arbitrary<PolicyObject> =>
  fc
    .tuple(
      fc.record({
        priority: fc.constantFrom(0, 1, 50, 1000),
        subject: adminPodsArb,
        ingress: adminRulesArb('ingress', ['Allow', 'Deny', 'Pass']),
        egress: adminRulesArb('egress', ['Allow', 'Deny', 'Pass']),
      }),
      shadowArb,
    )
    .map(([spec, shadow]) => ({ kind: 'AdminNetworkPolicy', metadata: metadata(name, shadow), spec }));

export const baselinePolicyArb: fc.Arbitrary<PolicyObject> = fc
  .tuple(
    fc.record({
      subject: adminPodsArb,
      ingress: adminRulesArb('ingress', ['Allow', 'Deny']),
      egress: adminRulesArb('egress', ['Allow', 'Deny']),
    }),
    shadowArb,
  )
  .map(([spec, shadow]) => ({ kind: 'BaselineAdminNetworkPolicy', metadata: metadata('default', shadow), spec }));

const hostPeersArb = (side: 'from' | 'to'): fc.Arbitrary<object> =>
  fc.oneof(
    fc.constantFrom<object>({ [`${side}Entities`]: ['cluster'] }, { [`${side}Entities`]: ['world'] }, { [`${side}CIDR`]: ['10.0.0.0/8'] }),
    nodeSelectorArb.map((s) => ({ [`${side}Nodes`]: [s] })),
    podSelectorArb.map((s) => ({ [`${side}Endpoints`]: [s] })),
  );

export const hostPolicyArb = (name: string): fc.Arbitrary<PolicyObject> =>
  fc
    .tuple(
      nodeSelectorArb,
      fc.array(hostPeersArb('from'), { minLength: 1, maxLength: 2 }),
      fc.array(hostPeersArb('from'), { maxLength: 1 }),
      fc.array(hostPeersArb('to'), { maxLength: 2 }),
      shadowArb,
    )
    .map(([nodeSelector, ingress, ingressDeny, egress, shadow]) => ({
      kind: 'CiliumClusterwideNetworkPolicy',
      metadata: metadata(name, shadow),
      spec: { nodeSelector, ingress, ingressDeny, egress },
    }));

const shadowed = (name: string): fc.Arbitrary<PolicyObject> =>
  fc.tuple(policyArb(name), shadowArb).map(([o, shadow]) => ({ ...o, metadata: { ...o.metadata, ...metadata(name, shadow) } }));

/** Objects of every kind together, each with its own name. */
export const objectsArb: fc.Arbitrary<PolicyObject[]> = fc
  .tuple(
    fc.array(fc.constantFrom('cilium', 'cilium', 'knp', 'knp', 'admin', 'admin', 'host'), { minLength: 1, maxLength: 5 }).chain((kinds) =>
      fc.tuple(
        ...kinds.map((k, i) => {
          const name = `p${i}`;
          return k === 'knp'
            ? networkPolicyArb(name)
            : k === 'admin'
              ? adminPolicyArb(name)
              : k === 'host'
                ? hostPolicyArb(name)
                : shadowed(name);
        }),
      ),
    ),
    fc.option(baselinePolicyArb, { nil: undefined }),
  )
  .map(([list, baseline]) => (baseline === undefined ? list : [...list, baseline]));
