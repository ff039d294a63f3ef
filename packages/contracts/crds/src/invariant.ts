// ReachabilityInvariant: what must stay reachable, or unreachable, whatever policies say. Structure only; meaning is checked by the policy engine.
import { z } from 'zod';
import { condition, metadata } from './metadata.ts';
import { atLeastOne, cidr, doc, field, list, maybe, text, whole } from './schema-kit.ts';
import { selector } from './selector.ts';

const selectors = {
  namespaceSelector: selector('Labels of the namespaces; absent means every namespace.'),
  podSelector: selector('Labels of the pods; absent means every pod.'),
};
const pods = atLeastOne(z.strictObject(selectors), ['namespaceSelector', 'podSelector']);
const target = atLeastOne(
  z.strictObject({ ...selectors, cidr: field(cidr, 'Prefix, address/bits, instead of pods.', { format: 'cidr' }) }),
  ['namespaceSelector', 'podSelector', 'cidr'],
);

const port = z.strictObject({
  port: doc(z.int().min(1).max(65535), 'Number from 1 to 65535.'),
  protocol: field(z.enum(['TCP', 'UDP', 'SCTP'], { error: 'must be TCP, UDP or SCTP' }), 'Transport protocol; TCP if absent.', {
    default: 'TCP',
  }),
});

const spec = doc(
  z.strictObject({
    description: text('Free text.'),
    from: doc(pods, 'Pods that connect.'),
    to: doc(target, 'Pods or addresses that are connected to.'),
    ports: field(
      z.array(port).min(1, { error: 'is empty' }).max(16, { error: 'has more than 16 items' }),
      'Ports, all of which must be open, or closed. Absent means every protocol and port.',
    ),
    expect: doc(
      z.enum(['MustReach', 'MustNotReach'], { error: 'must be MustReach or MustNotReach' }),
      'MustReach: every pod of from reaches every pod of to. MustNotReach: none reaches any.',
    ),
    action: field(
      z.enum(['Refuse', 'Flag'], { error: 'must be Refuse or Flag' }),
      'Refuse: a policy change that breaks the invariant is not enforced. Flag: it is enforced, and the status says so.',
      { default: 'Flag' },
    ),
  }),
  'What must hold.',
);

const status = z.looseObject({
  conditions: list(condition, 'Valid: the invariant could be read. Holds: the enforced policies keep it.', {
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['type'],
  }),
  observedGeneration: whole('Generation of the object that the status is about.'),
  revision: whole('Revision of the compiled state that was checked.'),
});

const body = { spec, status: field(status, 'What became of the invariant; written by the operator.') };
export const invariantBody = doc(z.strictObject(body), 'What must stay reachable, or unreachable, whatever network policies say.');
export const reachabilityInvariant = z.strictObject({
  apiVersion: maybe(z.literal('axoneme.io/v1alpha1')),
  kind: maybe(z.literal('ReachabilityInvariant')),
  metadata,
  ...body,
});
export type ReachabilityInvariant = z.infer<typeof reachabilityInvariant>;
