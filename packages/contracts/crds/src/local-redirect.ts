// CiliumLocalRedirectPolicy: traffic to an address or a Service goes to pods on the client's node. Structure only; whose address it may be is
// judged by the service engine.
import { z } from 'zod';
import { condition, namespacedMetadata } from './metadata.ts';
import { doc, exactlyOne, field, flag, list, maybe, patterned, text } from './schema-kit.ts';
import { selectorValue } from './selector.ts';

/** Every number from 1 to 65535, without leading zeros, and nothing else. */
export const portNumberPattern = '^([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$';

const port = z.strictObject({
  name: field(
    patterned('^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$', 63, 'is not a port name: letters, digits and -'),
    'Name that pairs a frontend port with a backend port; required where there are several ports.',
  ),
  port: doc(patterned(portNumberPattern, 5, 'is not a port: "1" to "65535"'), 'Port number, in quotes.'),
  protocol: doc(z.enum(['TCP', 'UDP'], { error: 'must be TCP or UDP' }), 'Protocol.'),
});
const ports = (description: string): z.ZodArray<typeof port> => doc(z.array(port), description);

const addressMatcher = z.strictObject({
  ip: doc(z.string(), 'IPv4 or IPv6 address. Addresses of Services, nodes and pods are refused.'),
  toPorts: ports('Ports of the address.'),
});

const serviceMatcher = z.strictObject({
  namespace: doc(z.string(), 'Namespace of the Service: that of the policy.'),
  serviceName: doc(z.string(), 'Name of a Service with a ClusterIP.'),
  toPorts: list(port, 'Ports of the Service; absent means all that pair with a port of the backend.'),
});

const redirectFrontend = exactlyOne(
  z.strictObject({
    addressMatcher: field(addressMatcher, 'Traffic to this address.'),
    serviceMatcher: field(serviceMatcher, 'Traffic to the ClusterIPs of this Service.'),
  }),
  ['addressMatcher', 'serviceMatcher'],
);

const redirectBackend = z.strictObject({
  localEndpointSelector: selectorValue('Pods in the namespace of the policy; ready ones on the node of the client are redirected to.'),
  toPorts: ports('Ports of the pods.'),
});

const spec = doc(
  z.strictObject({
    description: text('Free text.'),
    redirectBackend: doc(redirectBackend, 'Where traffic goes.'),
    redirectFrontend: doc(redirectFrontend, 'Which traffic.'),
    skipRedirectFromBackend: flag('What the pods themselves send goes where it would go without the policy.'),
  }),
  'The policy.',
);

const status = z.looseObject({
  ok: flag('The policy is in force, on every node that has a ready pod.'),
  conditions: list(condition, 'Whether the policy is in force, and if not why.', {
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['type'],
  }),
});

const body = { spec, status: field(status, 'What became of the policy; written by the operator.') };
export const localRedirectBody = doc(z.strictObject(body), "Traffic to an address or a Service goes to pods on the client's node.");
export const ciliumLocalRedirectPolicy = z.strictObject({
  apiVersion: maybe(z.literal('cilium.io/v2')),
  kind: maybe(z.literal('CiliumLocalRedirectPolicy')),
  metadata: namespacedMetadata,
  ...body,
});
export type CiliumLocalRedirectPolicy = z.infer<typeof ciliumLocalRedirectPolicy>;
