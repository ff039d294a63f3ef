// LoadBalancerFleet: nodes that balance load in front of servers anywhere. Structure only: what the fields may say is judged by the service
// engine, by the webhook and in the status, with the words of the stand-alone balancer's file.
import { z } from 'zod';
import { condition, metadata } from './metadata.ts';
import { doc, field, list, maybe, text, texts, whole } from './schema-kit.ts';
import { selector } from './selector.ts';

const vip = z.strictObject({
  address: text('IPv4 or IPv6 address that clients use. No address of a node. Required.'),
  port: whole('1 to 65535. Required.'),
  protocol: text('TCP, UDP or SCTP; TCP if absent.'),
});

const backend = z.strictObject({
  address: text('IPv4 or IPv6 address of the server. A VIP is given backends of its family. Required.'),
  port: whole('1 to 65535; that of the VIPs if absent and they have one. With mode dsr it is that of the VIPs.'),
  weight: whole('0 to 65535; 100 if absent. With algorithm maglev only; 0 is maintenance.'),
  state: text('active or maintenance: no new flows, those it has go on. active if absent.'),
});

const health = z.strictObject({
  type: text('tcp: a connection; http: a request. tcp if absent.'),
  port: whole("1 to 65535; the backend's own if absent."),
  path: text('With type http; / if absent.'),
  host: text("With type http: header Host; the backend's address if absent."),
  codes: list(
    doc(z.union([z.int(), z.string()]), 'A code as in 200 or a range as in 200-299.', { 'x-kubernetes-int-or-string': true }),
    'With type http: answers that are good; 200-399 if absent.',
  ),
  interval: text('Time between two checks, as in 500ms or 2s; 1s if absent.'),
  timeout: text('Time for one check, at most the interval; 500ms if absent.'),
  rise: whole('Good results in a row until a backend is in use again; 2 if absent.'),
  fall: whole('Bad results in a row until a backend is out; 2 if absent.'),
});

const service = z.strictObject({
  name: text('Small letters, digits and dashes; once in the fleet. Required.'),
  vips: list(vip, 'Where it is reached; one at least. Of two objects that ask for one address the older keeps it.'),
  backends: list(backend, 'Servers, anywhere; one at least.'),
  algorithm: text('maglev: every node gives a flow to the same backend; or random. maglev if absent.'),
  mode: text('snat: answers come back through the node; dsr: IP in IP to the server, which answers the client itself. snat if absent.'),
  sessionAffinity: text('So long after its last new flow a client goes where it went, as in 10m or 3h.'),
  sourceRanges: texts('Prefixes of clients that may; absent means everybody.'),
  health: field(
    health,
    'How backends are checked, by three nodes of the fleet each. Absent: every backend is in use. If the checks of all fail, all stay in use.',
  ),
});

const spec = doc(
  z.strictObject({
    nodeSelector: selector('Nodes that serve the fleet, by label; absent means all.'),
    services: list(service, 'What is balanced. Required; may be empty.'),
  }),
  'What is balanced, by which nodes.',
);

const vipStatus = z.looseObject({
  address: text('Address that clients use.'),
  port: whole('Its port.'),
  protocol: text('TCP, UDP or SCTP.'),
});

const backendStatus = z.looseObject({
  address: text('Address of the server.'),
  port: whole('Its port.'),
  state: text('active, maintenance, or quarantined: its checks fail and it has no new flows.'),
  failing: field(z.boolean(), 'Its checks fail, whatever its state.'),
  reason: text('Why its checks fail.'),
});

const serviceStatus = z.looseObject({
  name: text('Name of the service.'),
  vips: list(vipStatus, 'Where it is reached.'),
  backends: list(backendStatus, 'Backends; of fleets with more than 2000 of them those that are not active, or fail their checks.'),
  remarks: texts('What could not be done as it was asked for, as addresses that belong to others.'),
});

const status = z.looseObject({
  conditions: list(condition, 'Accepted: the fleet could be read. Ready: every selected node has it.', {
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['type'],
  }),
  nodes: field(
    z.looseObject({ selected: whole('Nodes that nodeSelector selects.'), ready: whole('Of these, those that have the fleet as it is.') }),
    'How many nodes serve it.',
  ),
  services: list(
    serviceStatus,
    'What became of the services; of fleets with more than 2000 backends those of which there is something to say.',
  ),
  summary: field(z.looseObject({ services: whole('Number of services.'), nodes: text('Nodes that are ready / selected.') }), 'For tables.'),
  observedGeneration: whole('Generation of the object that the status is about.'),
});

const body = { spec, status: field(status, 'What became of the fleet; written by the operator.') };
export const loadBalancerFleetBody = doc(z.strictObject(body), 'Nodes that balance load in front of servers anywhere.');
export const loadBalancerFleet = z.strictObject({
  apiVersion: maybe(z.literal('axoneme.io/v1alpha1')),
  kind: maybe(z.literal('LoadBalancerFleet')),
  metadata,
  ...body,
});
export type LoadBalancerFleet = z.infer<typeof loadBalancerFleet>;
