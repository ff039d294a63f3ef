// CiliumEndpoint: the network side of one pod. Everything is status; there is no spec and no status subresource.
import { z } from 'zod';
import { namespacedMetadata } from './metadata.ts';
import { doc, field, flag, list, maybe, text, textMap, texts, whole } from './schema-kit.ts';

export const endpointStates = [
  'creating',
  'waiting-for-identity',
  'not-ready',
  'waiting-to-regenerate',
  'regenerating',
  'restoring',
  'ready',
  'disconnecting',
  'disconnected',
  'invalid',
] as const;

const tuples = (description: string) =>
  list(
    z.looseObject({
      identity: whole('Identity of the peer.'),
      'identity-labels': textMap('Labels of the peer.'),
      'dest-port': whole('Port.'),
      protocol: whole('Protocol number.'),
    }),
    description,
  );
const direction = (description: string) =>
  field(
    z.looseObject({
      enforcing: doc(z.boolean(), 'Whether policy is enforced in this direction.'),
      state: text('enforcing, non-enforcing or disabled.'),
      allowed: tuples('Allowed peers.'),
      denied: tuples('Denied peers.'),
      adding: tuples('Deprecated.'),
      removing: tuples('Deprecated.'),
    }),
    description,
  );

const controller = z.looseObject({
  name: text('Name.'),
  uuid: text('Unique id.'),
  configuration: field(
    z.looseObject({
      'error-retry': flag('Whether errors are retried.'),
      'error-retry-base': whole('First delay.'),
      interval: whole('Interval.'),
    }),
    'Configuration.',
  ),
  status: field(
    z.looseObject({
      'consecutive-failure-count': whole('Failures in a row.'),
      'failure-count': whole('Failures.'),
      'success-count': whole('Successes.'),
      'last-failure-msg': text('Last failure.'),
      'last-failure-timestamp': text('When it last failed.'),
      'last-success-timestamp': text('When it last succeeded.'),
    }),
    'Results.',
  ),
});

const networking = z.looseObject({
  addressing: doc(z.array(z.looseObject({ ipv4: text('IPv4 address.'), ipv6: text('IPv6 address.') })), 'Pairs of addresses.'),
  node: text('Address of the node.'),
});

const identifiers = z.looseObject({
  'cni-attachment-id': text('Container and interface; unique.'),
  'container-id': text('Container.'),
  'container-name': text('Name of the container.'),
  'docker-endpoint-id': text('Legacy.'),
  'docker-network-id': text('Legacy.'),
  'k8s-namespace': text('Namespace of the pod.'),
  'k8s-pod-name': text('Name of the pod.'),
  'pod-name': text('Namespace and name of the pod.'),
});

export const endpointStatus = z.looseObject({
  id: whole('Number of the endpoint on its node.'),
  state: field(z.enum(endpointStates, { error: `must be one of ${endpointStates.join(', ')}` }), 'Life of the endpoint.'),
  identity: field(
    z.looseObject({ id: whole('Security identity.'), labels: texts('Its labels, sorted, source:key=value.') }),
    'Security identity.',
  ),
  networking: field(networking, 'Addresses.'),
  encryption: field(z.looseObject({ key: whole('Key of the node.') }), 'Encryption.'),
  'named-ports': list(
    z.looseObject({ name: text('Name.'), port: whole('Number.'), protocol: text('TCP, UDP, SCTP, ICMP, ICMPV6 or ANY.') }),
    'Container ports that have names.',
  ),
  'service-account': text('Service account of the pod.'),
  'external-identifiers': field(identifiers, 'Names given by others.'),
  health: field(
    z.looseObject({
      bpf: text('Programs.'),
      policy: text('Policy.'),
      connected: flag('Whether it can be reached.'),
      overallHealth: text('All together.'),
    }),
    'Health.',
  ),
  policy: field(z.looseObject({ ingress: direction('Towards the endpoint.'), egress: direction('From the endpoint.') }), 'Enforcement.'),
  controllers: list(controller, 'Not filled.'),
  log: list(
    z.looseObject({ code: text('Code.'), message: text('Message.'), state: text('State.'), timestamp: text('Time.') }),
    'Not filled.',
  ),
});

export const endpointBody = doc(
  z.looseObject({ status: field(endpointStatus, 'The endpoint as its node reports it.') }),
  'Endpoint of a pod. Written by the operator, owned by the pod of the same name.',
);
export const ciliumEndpoint = z.looseObject({
  apiVersion: maybe(z.literal('cilium.io/v2')),
  kind: maybe(z.literal('CiliumEndpoint')),
  metadata: namespacedMetadata,
  status: maybe(endpointStatus),
});

export type CiliumEndpoint = z.infer<typeof ciliumEndpoint>;
export type EndpointStatus = z.infer<typeof endpointStatus>;
export type EndpointState = (typeof endpointStates)[number];
