// CiliumCIDRGroup: a named list of prefixes that policies refer to.
import { z } from 'zod';
import { metadata } from './metadata.ts';
import { cidr, doc, maybe } from './schema-kit.ts';

const spec = doc(
  z.strictObject({ externalCIDRs: doc(z.array(cidr), 'Prefixes outside the cluster; may be empty.') }),
  'Prefixes that share the name and the labels of the object.',
);

export const cidrGroupBody = doc(
  z.strictObject({ spec }),
  'Named list of prefixes for cidrGroupRef and cidrGroupSelector of network policies.',
);
export const ciliumCIDRGroup = z.strictObject({
  apiVersion: maybe(z.enum(['cilium.io/v2', 'cilium.io/v2alpha1'])),
  kind: maybe(z.literal('CiliumCIDRGroup')),
  metadata,
  spec,
});
export type CiliumCIDRGroup = z.infer<typeof ciliumCIDRGroup>;
