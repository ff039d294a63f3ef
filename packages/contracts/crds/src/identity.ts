// CiliumIdentity: one number for one set of labels. The object's name is the number.
import { z } from 'zod';
import { metadata } from './metadata.ts';
import { doc, maybe } from './schema-kit.ts';

const labels = doc(
  z.record(z.string(), z.string()),
  'All labels of the identity: source:key and value. The name of the object is the number.',
);

export const identityBody = doc(
  z.looseObject({ 'security-labels': labels }),
  'Number for a set of security labels. Created and removed by the operator.',
);
export const ciliumIdentity = z.looseObject({
  apiVersion: maybe(z.literal('cilium.io/v2')),
  kind: maybe(z.literal('CiliumIdentity')),
  metadata: metadata.extend({ name: z.string().regex(/^[1-9][0-9]{0,9}$/, { error: 'is not a number' }) }),
  'security-labels': labels,
});

export type CiliumIdentity = z.infer<typeof ciliumIdentity>;
