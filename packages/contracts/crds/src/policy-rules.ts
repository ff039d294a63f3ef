// One policy rule: subject, four lists of entries, default deny. Structure only; meaning is checked by the policy engine.
import { z } from 'zod';
import { fqdnSelector, icmpRule, portDenyRule, portRule } from './policy-ports.ts';
import { cidr, doc, exactlyOne, field, flag, list, patterned, text, textMap, texts } from './schema-kit.ts';
import { labelSelector, selector, selectorValue } from './selector.ts';

export const entities = [
  'all',
  'world',
  'cluster',
  'host',
  'init',
  'ingress',
  'unmanaged',
  'remote-node',
  'health',
  'none',
  'kube-apiserver',
] as const;
export type Entity = (typeof entities)[number];

const cidrRule = exactlyOne(
  z.strictObject({
    cidr: field(cidr, 'Prefix, address/bits.', { format: 'cidr' }),
    cidrGroupRef: field(
      patterned('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$', 253, 'is not the name of a CiliumCIDRGroup'),
      'Name of a CiliumCIDRGroup. A group that does not exist selects nothing.',
    ),
    cidrGroupSelector: selector('Selects CiliumCIDRGroups by label.'),
    except: list(cidr, 'Prefixes inside cidr that are left out.'),
  }),
  ['cidr', 'cidrGroupRef', 'cidrGroupSelector'],
);

const group = z.strictObject({
  aws: field(
    z.strictObject({
      labels: textMap('EC2 tags.'),
      region: text('Region.'),
      securityGroupsIds: texts('Ids of security groups.'),
      securityGroupsNames: texts('Names of security groups.'),
    }),
    'Lookup at AWS; all criteria must match.',
  ),
});

const service = z.strictObject({
  k8sService: field(
    z.strictObject({ namespace: text('Namespace; empty means any.'), serviceName: text('Name of the Service.') }),
    'One Service by name.',
  ),
  k8sServiceSelector: field(
    z.strictObject({ namespace: text('Namespace; empty means any.'), selector: selectorValue('Selects Services by label.') }),
    'Services by label.',
  ),
});

const authentication = z.strictObject({
  mode: doc(
    z.enum(['disabled', 'required', 'test-always-fail'], { error: 'must be disabled, required or test-always-fail' }),
    'disabled: none is needed; required: both sides prove who they are; test-always-fail: never succeeds.',
  ),
});

const selectors = (description: string) => list(labelSelector, description);
const entityList = (description: string) => list(z.enum(entities, { error: `must be one of ${entities.join(', ')}` }), description);

/** `side` is "from" or "to"; `verb` completes the descriptions. */
const peerFields = (verb: string) => ({
  endpoints: selectors(`Pods ${verb}, by label; any selector matches. Absent and empty are different: an empty list matches nothing.`),
  entities: entityList(`Special peers ${verb}.`),
  cidr: list(cidr, `Prefixes outside the cluster ${verb}.`),
  cidrSet: list(cidrRule, `Prefixes outside the cluster ${verb}, with exceptions or by group.`),
  groups: list(group, `Groups of a cloud provider ${verb}.`),
  nodes: selectors(`Nodes ${verb}, by node label.`),
});
const from = peerFields('that may connect');
const to = peerFields('that may be reached');

const noRequires = doc(
  z.array(z.string()).max(0, { error: 'is no longer supported: write the requirement into each selector' }),
  'No longer supported; only an empty list is accepted.',
);

const ingressPeers = {
  fromEndpoints: from.endpoints,
  fromEntities: from.entities,
  fromCIDR: from.cidr,
  fromCIDRSet: from.cidrSet,
  fromGroups: from.groups,
  fromNodes: from.nodes,
  fromRequires: field(noRequires, 'No longer supported; only an empty list is accepted.'),
};
const egressPeers = {
  toEndpoints: to.endpoints,
  toEntities: to.entities,
  toCIDR: to.cidr,
  toCIDRSet: to.cidrSet,
  toGroups: to.groups,
  toNodes: to.nodes,
  toRequires: field(noRequires, 'No longer supported; only an empty list is accepted.'),
  toServices: list(service, 'Services that may be reached.'),
};

const allowOnly = {
  toPorts: list(portRule, 'Ports and rules above L4; absent means every protocol and port.'),
  authentication: field(authentication, 'Mutual authentication for this traffic.'),
};
const icmps = list(icmpRule, 'ICMP types; not together with toPorts.');
const denyPorts = list(portDenyRule, 'Ports; absent means every protocol and port.');

export const ingressRule = z.strictObject({ ...ingressPeers, icmps, ...allowOnly });
export const ingressDenyRule = z.strictObject({ ...ingressPeers, icmps, toPorts: denyPorts });
export const egressRule = z.strictObject({
  ...egressPeers,
  toFQDNs: list(fqdnSelector, 'DNS names that may be reached, as learned from DNS answers.'),
  icmps,
  ...allowOnly,
});
export const egressDenyRule = z.strictObject({ ...egressPeers, icmps, toPorts: denyPorts });

const ruleLabel = z.strictObject({
  key: doc(z.string(), 'Label key.'),
  source: text('Source of the label; unspec if absent.'),
  value: text('Label value.'),
});

const directions = ['ingress', 'ingressDeny', 'egress', 'egressDeny'] as const;
const ruleShape = z.strictObject({
  description: text('Free text.'),
  endpointSelector: selector(
    'Pods the rule is about. {} selects all pods in scope; a namespaced policy never reaches outside its namespace.',
  ),
  nodeSelector: selector('Nodes the rule is about; clusterwide policies only.'),
  enableDefaultDeny: field(
    z.strictObject({
      ingress: flag('Default: true if the rule has entries for ingress.'),
      egress: flag('Default: true if the rule has entries for egress.'),
    }),
    'Whether the rule isolates its subjects in a direction, so that only what is allowed passes.',
  ),
  ingress: list(ingressRule, 'Traffic that may enter. Absent: the rule says nothing. [{}]: isolates without allowing anything.'),
  ingressDeny: list(ingressDenyRule, 'Traffic that may not enter; wins over every allow.'),
  egress: list(egressRule, 'Traffic that may leave. Absent: the rule says nothing. [{}]: isolates without allowing anything.'),
  egressDeny: list(egressDenyRule, 'Traffic that may not leave; wins over every allow.'),
  labels: list(ruleLabel, 'Labels that identify the rule.'),
  log: field(
    z.strictObject({
      value: field(
        patterned('^[^\\x00-\\x1f\\x7f]*$', 32, 'has characters that cannot be printed'),
        'Text that flows which match the rule carry.',
      ),
    }),
    'Annotation of flows.',
  ),
});

export const rule = exactlyOne(ruleShape, ['endpointSelector', 'nodeSelector'])
  .refine((r) => directions.some((d) => r[d] !== undefined), { error: `at least one of ${directions.join(', ')} is required` })
  .meta({
    oneOf: ['endpointSelector', 'nodeSelector'].map((k) => ({ properties: { [k]: {} }, required: [k] })),
    anyOf: directions.map((k) => ({ properties: { [k]: {} }, required: [k] })),
  }) as unknown as typeof ruleShape;

export type Rule = z.infer<typeof ruleShape>;
export type IngressRule = z.infer<typeof ingressRule>;
export type IngressDenyRule = z.infer<typeof ingressDenyRule>;
export type EgressRule = z.infer<typeof egressRule>;
export type EgressDenyRule = z.infer<typeof egressDenyRule>;
export type CidrRule = z.infer<typeof cidrRule>;
