// Edits, ports and selectors in the words of the objects people write. Called by the CLI and near.ts.
import { labelKeys, protocolName, type Requirement } from '@axoneme/model';
import type { PeerSelector, PortMatch, Rule, RuleOrigin } from '../rules.ts';
import type { Edit } from './edits.ts';

/** `CiliumNetworkPolicy shop/web ingress[0]` */
export function originText(o: RuleOrigin): string {
  const object = `${o.kind} ${o.namespace === '' ? o.name : `${o.namespace}/${o.name}`}`;
  return o.list === 'default-deny' ? `${object} default deny ${o.direction}` : `${object} ${o.list}[${o.index ?? 0}]`;
}

const objectText = (r: Rule): string =>
  `${r.source.kind} ${r.source.namespace === '' ? r.source.name : `${r.source.namespace}/${r.source.name}`}`;

/** `80/TCP`, `ICMP type 8`, `any port`. */
export function trafficText(protocol: number, port: number): string {
  if (protocol === 0) return 'any port';
  return isIcmp(protocol) ? `${protocolName(protocol)} type ${port}` : `${port}/${protocolName(protocol)}`;
}

const isIcmp = (protocol: number): boolean => protocol === 1 || protocol === 58;

/** `80/TCP, 53/any protocol`: what stands in TCP, UDP and SCTP alike is said once. */
export function portsText(ports: readonly PortMatch[]): string {
  const byPort = new Map<string, Set<number>>();
  for (const p of ports) {
    const port = p.kind === 'named' ? p.name : p.first === p.last ? String(p.first) : `${p.first}-${p.last}`;
    byPort.set(port, (byPort.get(port) ?? new Set()).add(p.protocol));
  }
  const texts = [...byPort].flatMap(([port, protocols]) => {
    if (protocols.has(0)) return [port === '0-65535' ? 'any port' : port];
    const all = [...protocols];
    if ([6, 17, 132].every((p) => protocols.has(p)))
      return [port, ...all.filter((p) => ![6, 17, 132].includes(p)).map((p) => withProtocol(port, p))];
    return all.map((p) => withProtocol(port, p));
  });
  return [...new Set(texts)].join(', ');
}

function withProtocol(port: string, protocol: number): string {
  if (isIcmp(protocol)) return `${protocolName(protocol)} type ${port}`;
  return port === '0-65535' ? `any ${protocolName(protocol)}` : `${port}/${protocolName(protocol)}`;
}

/** What a label set has to have, or not to have. */
export function requirementText(r: Requirement): string {
  const isNamespace = r.key === labelKeys.namespace;
  const ofNamespace = r.key.startsWith(labelKeys.namespaceLabelPrefix);
  const what = ofNamespace ? `namespace label ${r.key.slice(labelKeys.namespaceLabelPrefix.length)}` : `label ${r.key}`;
  switch (r.operator) {
    case 'In':
      if (r.source === 'reserved') return `entity ${r.key}`;
      if (isNamespace) return `namespace ${r.values.join(' or ')}`;
      return r.values.length === 1 ? `${what}=${r.values[0]}` : `${what} in (${r.values.join(', ')})`;
    case 'NotIn':
      return isNamespace ? `a namespace other than ${r.values.join(', ')}` : `${what} not in (${r.values.join(', ')})`;
    case 'Exists':
      return isNamespace ? 'being a pod' : what;
    case 'DoesNotExist':
      return `no ${what}`;
  }
}

export function peerWords(p: PeerSelector): string {
  switch (p.kind) {
    case 'any':
      return 'anyone';
    case 'labels':
      return requirementWords(p.selector.requirements, 'any endpoint');
    case 'nodes':
      return `nodes with ${requirementWords(p.selector.requirements, 'any labels')}`;
    case 'cidr':
    case 'block':
      return p.except.length === 0 ? p.cidr : `${p.cidr} except ${p.except.join(', ')}`;
  }
}

/** The cluster is said by nobody who has only one. */
function requirementWords(all: readonly Requirement[], none: string): string {
  const told = all.filter((r) => r.key !== labelKeys.cluster);
  return told.length === 0 ? none : told.map(requirementText).join(', ');
}

/** An order to a person. */
export function editText(e: Edit, rules: readonly Rule[]): string {
  const entry = (rule: number, id: number | undefined): string => {
    const origin = rules[rule]!.origins.find((o) => o.id === id);
    return origin === undefined ? objectText(rules[rule]!) : originText(origin);
  };
  const at = (p: { readonly rule: number; readonly entry: number }): string => entry(p.rule, rules[p.rule]!.entries[p.entry]?.id);
  switch (e.kind) {
    case 'label':
      return e.value === undefined ? `remove label ${e.key} from ${e.end}` : `set label ${e.key}=${e.value} on ${e.end}`;
    case 'namespace-label':
      return e.value === undefined
        ? `remove label ${e.key} from Namespace ${e.namespace}`
        : `set label ${e.key}=${e.value} on Namespace ${e.namespace}`;
    case 'add-port':
      return `add port ${trafficText(e.protocol, e.port)} to ${at(e.at)}`;
    case 'add-peer':
      return `add peer (${peerWords(e.peer)}) to ${at(e.at)}`;
    case 'add-exception':
      return `except ${e.address} in ${at(e.at)}`;
    case 'add-entry':
      return `add an ${e.direction} entry to ${objectText(rules[e.rule]!)} that allows ${trafficText(e.protocol, e.port)} ${fromTo(e.direction)} ${peerWords(e.peer)}`;
    case 'add-policy':
      return `add a policy that allows ${e.direction} of ${trafficText(e.protocol, e.port)} ${fromTo(e.direction)} ${peerWords(e.peer)}`;
    case 'remove-entry':
      return `remove ${entry(e.rule, e.id)}`;
    case 'stop-isolating':
      return `stop ${objectText(rules[e.rule]!)} from isolating ${e.direction}`;
  }
}

const fromTo = (d: 'ingress' | 'egress'): string => (d === 'ingress' ? 'from' : 'to');
