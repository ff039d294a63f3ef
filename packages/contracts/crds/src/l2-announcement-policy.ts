// CiliumL2AnnouncementPolicy: which nodes answer for which addresses of Services on their local network. Structure only; selectors and
// expressions are judged by the IPAM engine, which says so in the status.
import { z } from 'zod';
import { condition, metadata } from './metadata.ts';
import { doc, field, list, maybe, text } from './schema-kit.ts';
import { selector } from './selector.ts';

const spec = doc(
  z.strictObject({
    externalIPs: field(z.boolean(), 'Whether the externalIPs of the Services are announced.'),
    interfaces: list(
      text('Regular expression over names of devices.'),
      'Devices on which a node announces; absent means all that carry its traffic.',
    ),
    loadBalancerIPs: field(z.boolean(), 'Whether the load balancer addresses of the Services are announced.'),
    nodeSelector: selector('Nodes that may announce, by label; absent means all.'),
    serviceSelector: selector(
      'Services whose addresses are announced, by label and by the names io.kubernetes.service.namespace and io.kubernetes.service.name; absent means all.',
    ),
  }),
  'Which addresses, where.',
);

const status = z.looseObject({
  conditions: list(condition, 'What is wrong with the policy; a policy with any of them has no effect.', {
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['type'],
  }),
});

const body = { spec: maybe(spec), status: field(status, 'Written by the operator.') };
export const l2AnnouncementPolicyBody = doc(z.strictObject(body), 'Announces addresses of Services on the local network of nodes.');
export const ciliumL2AnnouncementPolicy = z.strictObject({
  apiVersion: maybe(z.literal('cilium.io/v2alpha1')),
  kind: maybe(z.literal('CiliumL2AnnouncementPolicy')),
  metadata,
  ...body,
});
export type CiliumL2AnnouncementPolicy = z.infer<typeof ciliumL2AnnouncementPolicy>;
