// CiliumLoadBalancerIPPool: addresses that Services of type LoadBalancer are given. Structure only; ranges are judged by the IPAM engine.
import { z } from 'zod';
import { condition, metadata } from './metadata.ts';
import { doc, field, list, maybe, text } from './schema-kit.ts';
import { selector } from './selector.ts';

const block = z.strictObject({
  cidr: text('Prefix, address/bits; not together with start and stop.', { format: 'cidr' }),
  start: text('First address of a range.'),
  stop: text('Last address of a range; absent means the range is one address.'),
});

const spec = doc(
  z.strictObject({
    allowFirstLastIPs: field(
      z.enum(['Yes', 'No'], { error: 'must be Yes or No' }),
      'Whether the first and the last address of each prefix are given. Absent means Yes. Of no effect for prefixes of one or two addresses and for ranges.',
    ),
    blocks: list(block, 'Addresses of the pool.'),
    disabled: field(z.boolean(), 'No new addresses are given; those in use stay.', { default: false }),
    serviceSelector: selector(
      'Services that may have addresses of the pool, by label and by the names io.kubernetes.service.namespace and io.kubernetes.service.name; absent means all.',
    ),
  }),
  'The pool.',
);

const status = z.looseObject({
  conditions: list(condition, 'Conflict with an older pool, and how many addresses there are.', {
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['type'],
  }),
});

const body = { spec, status: field(status, 'What became of the pool; written by the operator.') };
export const loadBalancerPoolBody = doc(z.strictObject(body), 'Addresses for Services of type LoadBalancer.');
export const ciliumLoadBalancerIPPool = z.strictObject({
  apiVersion: maybe(z.enum(['cilium.io/v2', 'cilium.io/v2alpha1'])),
  kind: maybe(z.literal('CiliumLoadBalancerIPPool')),
  metadata,
  ...body,
});
export type CiliumLoadBalancerIPPool = z.infer<typeof ciliumLoadBalancerIPPool>;
