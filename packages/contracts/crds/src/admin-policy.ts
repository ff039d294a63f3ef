// AdminNetworkPolicy and BaselineAdminNetworkPolicy (policy.networking.k8s.io/v1alpha1). Structure only; meaning is checked by the policy engine.
import { z } from 'zod';
import { egressPeer, ingressPeer, portNumber, priority, ruleName, subject } from './admin-peers.ts';
import { metadata } from './metadata.ts';
import { policyStatus } from './policy.ts';
import { doc, exactlyOne, field, maybe, text } from './schema-kit.ts';

const itemsMax = 100;
const many = <S extends z.ZodType>(item: S, min: number): z.ZodArray<S> =>
  z
    .array(item)
    .min(min, { error: 'is empty' })
    .max(itemsMax, { error: `has more than ${itemsMax} items` });

const protocol = field(z.enum(['TCP', 'UDP', 'SCTP'], { error: 'must be TCP, UDP or SCTP' }), 'Transport protocol; TCP if absent.', {
  default: 'TCP',
});
const port = exactlyOne(
  z.strictObject({
    portNumber: field(z.strictObject({ protocol, port: doc(portNumber, 'Number from 1 to 65535.') }), 'One port.'),
    portRange: field(
      z.strictObject({ protocol, start: doc(portNumber, 'First port.'), end: doc(portNumber, 'Last port, included; above start.') }),
      'Ports from start to end.',
    ),
    namedPort: text('Name of a container port; not together with nodes, networks or domainNames.'),
  }),
  ['portNumber', 'portRange', 'namedPort'],
);
const ports = field(many(port, 1), 'Destination ports; absent means every protocol and port.');

const admin = z.enum(['Allow', 'Deny', 'Pass'], { error: 'must be Allow, Deny or Pass' });
const baseline = z.enum(['Allow', 'Deny'], { error: 'must be Allow or Deny' });
const rules = <A extends z.ZodType>(action: A, means: string) => ({
  ingress: field(
    many(
      z.strictObject({ name: ruleName, action: doc(action, means), from: doc(many(ingressPeer, 1), 'Sources; any matches.'), ports }),
      0,
    ),
    'Rules for traffic towards the pods; the first that matches counts.',
  ),
  egress: field(
    many(
      z.strictObject({ name: ruleName, action: doc(action, means), to: doc(many(egressPeer, 1), 'Destinations; any matches.'), ports }),
      0,
    ),
    'Rules for traffic from the pods; the first that matches counts.',
  ),
});

const status = field(policyStatus, 'What became of the policy; written by the operator.');
const adminBody = {
  spec: doc(
    z.strictObject({
      priority,
      subject,
      ...rules(admin, 'Allow and Deny are final; Pass leaves the decision to network policies and the baseline.'),
    }),
    'Rules that no other policy overrides.',
  ),
  status,
};
const baselineBody = {
  spec: doc(
    z.strictObject({ subject, ...rules(baseline, 'What to do with the traffic.') }),
    'Rules for traffic no other policy decides about.',
  ),
  status,
};

export const adminPolicyBody = doc(z.strictObject(adminBody), 'Cluster-wide network policy that is asked before all others.');
export const baselinePolicyBody = doc(z.strictObject(baselineBody), 'Cluster-wide network policy that is asked after all others.', {
  'x-kubernetes-validations': [{ rule: "self.metadata.name == 'default'", message: 'a cluster has one, named default' }],
});

const head = <K extends string>(kind: K) => ({
  apiVersion: maybe(z.literal('policy.networking.k8s.io/v1alpha1')),
  kind: maybe(z.literal(kind)),
});
export const adminNetworkPolicy = z.strictObject({ ...head('AdminNetworkPolicy'), metadata, ...adminBody });
export const baselineAdminNetworkPolicy = z.strictObject({
  ...head('BaselineAdminNetworkPolicy'),
  metadata: metadata.extend({ name: z.literal('default', { error: 'must be default' }) }),
  ...baselineBody,
});
export type AdminNetworkPolicy = z.infer<typeof adminNetworkPolicy>;
export type BaselineAdminNetworkPolicy = z.infer<typeof baselineAdminNetworkPolicy>;
