// Subjects and peers of the cluster-wide tiered policies; both versions of that API share them. Called by admin-policy.ts and cluster-policy.ts.
import { z } from 'zod';
import { cidr, doc, exactlyOne, field, patterned } from './schema-kit.ts';
import { selector, selectorValue } from './selector.ts';

const itemsMax = 25;
const domainPattern = '^([*][.])?[a-zA-Z0-9_]([-a-zA-Z0-9_]*[a-zA-Z0-9_])?([.][a-zA-Z0-9_]([-a-zA-Z0-9_]*[a-zA-Z0-9_])?)+[.]?$';

const namespacedPods = z.strictObject({
  namespaceSelector: doc(selectorValue('Labels of the namespaces; {} means all.'), 'Labels of the namespaces; {} means all.'),
  podSelector: doc(selectorValue('Labels of the pods; {} means all.'), 'Labels of the pods; {} means all.'),
});

const podFields = {
  namespaces: selector('All pods of the namespaces with these labels; {} means every pod. Never pods of the host network.'),
  pods: field(namespacedPods, 'Pods with these labels in namespaces with these labels.'),
};

export const subject = doc(exactlyOne(z.strictObject(podFields), ['namespaces', 'pods']), 'Pods the policy is about.');
export const ingressPeer = exactlyOne(z.strictObject(podFields), ['namespaces', 'pods']);
export const egressPeer = exactlyOne(
  z.strictObject({
    ...podFields,
    nodes: selector('Addresses of the nodes with these labels; {} means all.'),
    networks: field(
      z
        .array(cidr)
        .min(1)
        .max(itemsMax, { error: `has more than ${itemsMax} items` }),
      'Prefixes, whoever has the addresses: pods and nodes too.',
      { 'x-kubernetes-list-type': 'set' },
    ),
    domainNames: field(
      z
        .array(patterned(domainPattern, 253, 'is not a domain name'))
        .min(1)
        .max(itemsMax, { error: `has more than ${itemsMax} items` }),
      'Domain names; a leading *. stands for one or more labels. Not enforced yet.',
      { 'x-kubernetes-list-type': 'set' },
    ),
  }),
  ['namespaces', 'pods', 'nodes', 'networks', 'domainNames'],
);

export const ruleName = field(z.string().max(100, { error: 'is longer than 100 characters' }), 'Name of the rule in events and reports.');
export const priority = doc(
  z.int({ error: 'must be a whole number from 0 to 1000' }).min(0).max(1000),
  'From 0 to 1000; lower is stronger. Policies of equal priority should not meet: which one wins is not defined.',
);
export const portNumber = z.int({ error: 'must be a whole number from 1 to 65535' }).min(1).max(65535);
