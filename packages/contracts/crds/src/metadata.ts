// metadata of stored objects, and the status condition. The API server owns metadata; we read what we need and keep the rest.
import { z } from 'zod';
import { doc, maybe, text, whole } from './schema-kit.ts';

export const metadata = z.looseObject({
  name: z.string().min(1, { error: 'is required' }),
  namespace: maybe(z.string()),
  uid: maybe(z.string()),
  resourceVersion: maybe(z.string()),
  generation: maybe(z.number()),
  labels: maybe(z.record(z.string(), z.string())),
  annotations: maybe(z.record(z.string(), z.string())),
  finalizers: maybe(z.array(z.string())),
  creationTimestamp: maybe(z.string()),
  deletionTimestamp: maybe(z.string()),
});

/** For namespaced kinds. */
export const namespacedMetadata = metadata.extend({ namespace: z.string({ error: 'is required' }).min(1, { error: 'is required' }) });

export const condition = z.looseObject({
  type: doc(z.string(), 'What the condition is about.'),
  status: doc(z.string(), 'True, False or Unknown.'),
  reason: text('Reason in one word.'),
  message: text('Reason in words.'),
  lastTransitionTime: text('When the status last changed.', { format: 'date-time' }),
  observedGeneration: whole('Generation of the object that the condition is about.'),
});

export type Metadata = z.infer<typeof metadata>;
export type Condition = z.infer<typeof condition>;
