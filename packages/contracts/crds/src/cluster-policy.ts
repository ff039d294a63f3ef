// ClusterNetworkPolicy (policy.networking.k8s.io/v1alpha2). Structure only; meaning is checked by the policy engine.
import { z } from 'zod';
import { egressPeer, ingressPeer, portNumber, priority, ruleName, subject } from './admin-peers.ts';
import { metadata } from './metadata.ts';
import { policyStatus } from './policy.ts';
import { doc, exactlyOne, field, maybe, text } from './schema-kit.ts';

const itemsMax = 25;
const many = <S extends z.ZodType>(item: S, min: number): z.ZodArray<S> =>
  z
    .array(item)
    .min(min, { error: 'is empty' })
    .max(itemsMax, { error: `has more than ${itemsMax} items` });

const range = doc(
  z
    .strictObject({ start: doc(portNumber, 'First port.'), end: doc(portNumber, 'Last port, included; above start.') })
    .refine((r) => r.start < r.end, { error: 'start must be below end' }),
  'Ports from start to end.',
  { 'x-kubernetes-validations': [{ rule: 'self.start < self.end', message: 'start must be below end' }] },
);
const destination = exactlyOne(z.strictObject({ number: field(portNumber, 'One port, from 1 to 65535.'), range: maybe(range) }), [
  'number',
  'range',
]);
const transport = z.strictObject({ destinationPort: doc(destination, 'Port or ports of the destination.') });
const protocol = exactlyOne(
  z.strictObject({
    tcp: field(transport, 'TCP to these ports.'),
    udp: field(transport, 'UDP to these ports.'),
    sctp: field(transport, 'SCTP to these ports.'),
    destinationNamedPort: text('Name of a container port; not together with nodes, networks or domainNames.'),
  }),
  ['tcp', 'udp', 'sctp', 'destinationNamedPort'],
);
const protocols = field(many(protocol, 1), 'Protocols and destination ports; absent means all.');
const action = doc(
  z.enum(['Accept', 'Deny', 'Pass'], { error: 'must be Accept, Deny or Pass' }),
  'Accept and Deny are final; Pass leaves the decision to the next tier.',
);

const body = {
  spec: doc(
    z.strictObject({
      tier: doc(
        z.enum(['Admin', 'Baseline'], { error: 'must be Admin or Baseline' }),
        'Admin: asked before all other policies. Baseline: asked after them.',
      ),
      priority,
      subject,
      ingress: field(
        many(z.strictObject({ name: ruleName, action, from: doc(many(ingressPeer, 1), 'Sources; any matches.'), protocols }), 0),
        'Rules for traffic towards the pods; the first that matches counts.',
      ),
      egress: field(
        many(z.strictObject({ name: ruleName, action, to: doc(many(egressPeer, 1), 'Destinations; any matches.'), protocols }), 0),
        'Rules for traffic from the pods; the first that matches counts.',
      ),
    }),
    'Tier, order and rules.',
  ),
  status: field(policyStatus, 'What became of the policy; written by the operator.'),
};

export const clusterPolicyBody = doc(z.strictObject(body), 'Cluster-wide network policy of the admin or the baseline tier.');
export const clusterNetworkPolicy = z.strictObject({
  apiVersion: maybe(z.literal('policy.networking.k8s.io/v1alpha2')),
  kind: maybe(z.literal('ClusterNetworkPolicy')),
  metadata,
  ...body,
});
export type ClusterNetworkPolicy = z.infer<typeof clusterNetworkPolicy>;
