// CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy: one schema, two scopes.
import { z } from 'zod';
import { condition, metadata, namespacedMetadata } from './metadata.ts';
import { rule } from './policy-rules.ts';
import { doc, field, flag, list, maybe, text, textMap, texts, whole } from './schema-kit.ts';

const derivative = z.looseObject({
  annotations: textMap('Annotations of the derived policy.'),
  enforcing: flag('Whether it is enforced.'),
  error: text('What went wrong.'),
  lastUpdated: text('When this entry last changed.', { format: 'date-time' }),
  localPolicyRevision: whole('Revision that contains it.'),
  ok: flag('Whether it was taken over.'),
});

export const policyStatus = z.looseObject({
  conditions: list(
    condition,
    'Valid: the policy could be read. Supported: all of it is enforced. Enforced: every node that needs it has it.',
    {
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['type'],
    },
  ),
  derivativePolicies: field(z.record(z.string(), derivative), 'Policies derived from this one, by name.'),
  enforced: text('Nodes that enforce the current generation of all nodes that need it, for example 3/3.'),
  observedGeneration: whole('Generation of the object that the status is about.'),
  revision: whole('Revision of the compiled state that first contained this generation.'),
  pendingNodes: texts('Some of the nodes that do not enforce the current generation yet.'),
});

const body = {
  spec: field(rule, 'One rule.'),
  specs: list(rule, 'More rules; together with spec they are one policy.'),
  status: field(policyStatus, 'What became of the policy; written by the operator.'),
};

const head = <K extends string>(kind: K) => ({ apiVersion: maybe(z.literal('cilium.io/v2')), kind: maybe(z.literal(kind)) });

export const ciliumNetworkPolicy = z.strictObject({ ...head('CiliumNetworkPolicy'), metadata: namespacedMetadata, ...body });
export const ciliumClusterwideNetworkPolicy = z.strictObject({ ...head('CiliumClusterwideNetworkPolicy'), metadata, ...body });
/** What the API server validates; both kinds the same. */
export const policyBody = doc(z.strictObject(body), 'Network policy: who may talk to whom, for the pods or nodes it selects.');

export type CiliumNetworkPolicy = z.infer<typeof ciliumNetworkPolicy>;
export type CiliumClusterwideNetworkPolicy = z.infer<typeof ciliumClusterwideNetworkPolicy>;
export type PolicyStatus = z.infer<typeof policyStatus>;
