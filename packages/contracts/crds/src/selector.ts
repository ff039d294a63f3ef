// Label selectors as Kubernetes writes them. Keys may carry a label source (`k8s:app`).
import { z } from 'zod';
import { doc, field, list, maybe, patterned } from './schema-kit.ts';

const labelValue = doc(
  patterned(
    '^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$',
    63,
    'is not a label value: letters, digits, -, _ and . with a letter or digit at both ends',
  ),
  'Label value.',
  { pattern: '^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$' },
);

const requirement = z.strictObject({
  key: doc(z.string(), 'Label key.'),
  operator: doc(
    z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist'], { error: 'must be In, NotIn, Exists or DoesNotExist' }),
    'How the values are compared. NotIn and DoesNotExist also match what lacks the key.',
  ),
  values: list(z.string(), 'Values for In and NotIn.', { 'x-kubernetes-list-type': 'atomic' }),
});

export const labelSelector = z.strictObject({
  matchExpressions: list(requirement, 'Requirements, all of which must hold.', { 'x-kubernetes-list-type': 'atomic' }),
  matchLabels: field(z.record(z.string(), labelValue), 'Labels that must be there with this value.'),
});

/** A selector with its own description. `{}` selects everything in scope. */
export const selector = (description: string): z.ZodExactOptional<typeof labelSelector> => maybe(selectorValue(description));
export const selectorValue = (description: string): typeof labelSelector =>
  doc(labelSelector, description, { 'x-kubernetes-map-type': 'atomic' });
export type LabelSelector = z.infer<typeof labelSelector>;
