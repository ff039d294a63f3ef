// Random rules in the intermediate form: what no single policy API can say, all of them together can.

import { type Cidr, compileSelector, type LabelSelector, parseCidr, type Selector } from '@axoneme/model';
import { unwrap } from '@axoneme/std';
import fc from 'fast-check';
import {
  type Action,
  type Direction,
  defaultDenyText,
  directions,
  entryText,
  type PeerSelector,
  type PolicyMode,
  type PolicySource,
  type PortMatch,
  type Rule,
  type RuleEntry,
  ruleIdOf,
  type Tier,
} from '../src/index.ts';

export const cidr = (t: string): Cidr => unwrap(parseCidr(t));
export const selector = (raw: LabelSelector): Selector => unwrap(compileSelector(raw));

export interface EntrySpec {
  readonly direction: Direction;
  readonly action: Action;
  readonly priority?: number;
  readonly peers: readonly PeerSelector[];
  readonly ports: readonly PortMatch[];
  readonly condition?: 'l7' | 'other';
}

export interface RuleSpec {
  readonly name: string;
  readonly namespace?: string;
  readonly tier?: Tier;
  readonly mode?: PolicyMode;
  readonly subjectKind?: 'endpoints' | 'nodes';
  readonly subject: Selector;
  readonly entries: readonly EntrySpec[];
  readonly deny?: { readonly ingress: boolean; readonly egress: boolean };
}

/** A rule as a parser would make it: ids, texts and origins from its place. */
export function makeRule(s: RuleSpec): Rule {
  const source: PolicySource = { kind: 'Test', namespace: s.namespace ?? '', name: s.name };
  const entries = s.entries.map((e, i): RuleEntry => ({ priority: 0, ...e, id: ruleIdOf(entryText(source, e.direction, i)) }));
  const defaultDeny = s.deny ?? { ingress: false, egress: false };
  const denyText = (d: Direction): string => defaultDenyText(source, '', d);
  return {
    source,
    tier: s.tier ?? 'normal',
    mode: s.mode ?? 'enforce',
    subjectKind: s.subjectKind ?? 'endpoints',
    subject: s.subject,
    entries,
    defaultDeny,
    defaultDenyIds: { ingress: ruleIdOf(denyText('ingress')), egress: ruleIdOf(denyText('egress')) },
    origins: [
      ...entries.map((e, index) => {
        const text = entryText(source, e.direction, index);
        return { ...source, id: e.id, text, direction: e.direction, list: e.direction, index };
      }),
      ...directions
        .filter((d) => defaultDeny[d])
        .map((d) => ({ ...source, id: ruleIdOf(denyText(d)), text: denyText(d), direction: d, list: 'default-deny' })),
    ],
  };
}

export const anyone: PeerSelector = { kind: 'any' };
export const pods = (raw: LabelSelector): PeerSelector => ({ kind: 'labels', selector: selector(raw) });
export const nodes = (raw: LabelSelector): PeerSelector => ({ kind: 'nodes', selector: selector(raw) });
export const block = (c: string, ...except: string[]): PeerSelector => ({ kind: 'block', cidr: cidr(c), except: except.map(cidr) });
export const outside = (c: string, ...except: string[]): PeerSelector => ({ kind: 'cidr', cidr: cidr(c), except: except.map(cidr) });
export const everyPort: PortMatch = { kind: 'range', protocol: 0, first: 0, last: 65_535 };
export const tcp = (first: number, last = first): PortMatch => ({ kind: 'range', protocol: 6, first, last });
export const portName = (name: string, protocol = 0): PortMatch => ({ kind: 'named', protocol, name });

const podSelectors: readonly LabelSelector[] = [
  {},
  { matchLabels: { app: 'a' } },
  { matchLabels: { app: 'b', 'k8s:io.kubernetes.pod.namespace': 'blog' } },
  { matchLabels: { 'io.kubernetes.pod.namespace': 'shop' } },
  { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['a', 'c'] }] },
  { matchExpressions: [{ key: 'tier', operator: 'Exists' }] },
  { matchLabels: { zone: 'a' } },
  { matchLabels: { 'reserved:host': '' } },
  { matchLabels: { 'reserved:remote-node': '' } },
  { matchExpressions: [{ key: 'io.kubernetes.pod.namespace', operator: 'DoesNotExist' }] },
];
export const nodeSelectors: readonly LabelSelector[] = [
  {},
  { matchLabels: { zone: 'a' } },
  { matchLabels: { role: 'control' } },
  { matchExpressions: [{ key: 'zone', operator: 'In', values: ['b'] }] },
  { matchExpressions: [{ key: 'role', operator: 'DoesNotExist' }] },
];
const blocks: readonly (readonly [string, readonly string[]])[] = [
  ['0.0.0.0/0', ['10.0.0.0/8', '192.168.0.2/32', '203.0.113.9/32']],
  ['10.0.0.0/8', ['10.1.0.0/16', '10.9.0.0/16', '10.9.9.9/32']],
  ['10.1.0.0/16', ['10.1.0.2/32', '10.1.0.0/30']],
  ['10.1.0.2/32', []],
  ['10.9.9.0/24', ['10.9.9.128/25']],
  ['192.168.0.0/16', ['192.168.0.1/32', '192.168.0.2/31']],
  ['192.168.0.2/32', []],
  ['192.168.0.1/32', []],
  ['::/0', ['fd00:1::/64', '2001:db8::/32']],
  ['fc00::/7', ['fd01::/64', 'fd00:1::1/128']],
  ['fd01::1/128', []],
  ['2001:db8::/32', ['2001:db8::1/128']],
];

const addressesArb = fc
  .tuple(fc.constantFrom('block' as const, 'block' as const, 'cidr' as const), fc.constantFrom(...blocks))
  .chain(([kind, [c, within]]) =>
    fc.subarray([...within]).map((except): PeerSelector => ({ kind, cidr: cidr(c), except: except.map(cidr) })),
  );
export const peerArb: fc.Arbitrary<PeerSelector> = fc.oneof(
  { weight: 1, arbitrary: fc.constant(anyone) },
  { weight: 4, arbitrary: fc.constantFrom(...podSelectors).map(pods) },
  { weight: 5, arbitrary: addressesArb },
  { weight: 3, arbitrary: fc.constantFrom(...nodeSelectors).map(nodes) },
);
export const portArb: fc.Arbitrary<PortMatch> = fc.oneof(
  fc.constant(everyPort),
  fc.constantFrom(tcp(80), tcp(1, 1023), tcp(1024, 8100), tcp(0, 65_535), tcp(443)),
  fc.constantFrom<PortMatch>({ kind: 'range', protocol: 17, first: 53, last: 53 }, { kind: 'range', protocol: 1, first: 8, last: 8 }),
  fc.constantFrom(portName('web'), portName('web', 6), portName('dns', 17)),
);

const actionsOf: Readonly<Record<Tier, readonly Action[]>> = {
  admin: ['allow', 'deny', 'pass'],
  normal: ['allow', 'allow', 'deny', 'redirect'],
  baseline: ['allow', 'deny'],
};
const prioritiesOf: Readonly<Record<Tier, readonly number[]>> = {
  admin: [0, 1, 127, 128, 0xff_ffff],
  normal: [0],
  baseline: [0, 1, 2],
};

export const entryArb = (tier: Tier): fc.Arbitrary<EntrySpec> =>
  fc
    .record({
      direction: fc.constantFrom(...directions),
      action: fc.constantFrom(...actionsOf[tier]),
      priority: fc.constantFrom(...prioritiesOf[tier]),
      peers: fc.array(peerArb, { minLength: 0, maxLength: 2 }),
      ports: fc.array(portArb, { minLength: 0, maxLength: 2 }),
      l7: fc.boolean(),
    })
    .map(({ l7, ...e }) => (e.action === 'redirect' ? { ...e, condition: l7 ? ('l7' as const) : ('other' as const) } : e));

const subjectArb = fc.constantFrom(...podSelectors.slice(0, 7)).map(selector);

export const tierRuleArb = (name: string, tier: Tier): fc.Arbitrary<Rule> =>
  fc
    .record({
      mode: fc.constantFrom<PolicyMode>('enforce', 'enforce', 'enforce', 'shadow'),
      subject: subjectArb,
      entries: fc.array(entryArb(tier), { minLength: 1, maxLength: 4 }),
      ingress: fc.boolean(),
      egress: fc.boolean(),
    })
    .map(({ ingress, egress, ...r }) =>
      makeRule({ ...r, name, tier, deny: { ingress: tier === 'normal' && ingress, egress: tier === 'normal' && egress } }),
    );

export const hostRuleArb = (name: string): fc.Arbitrary<Rule> =>
  fc
    .record({
      mode: fc.constantFrom<PolicyMode>('enforce', 'enforce', 'enforce', 'shadow'),
      subject: fc.constantFrom(...nodeSelectors).map(selector),
      entries: fc.array(entryArb('normal'), { minLength: 1, maxLength: 3 }),
      ingress: fc.boolean(),
      egress: fc.boolean(),
    })
    .map(({ ingress, egress, ...r }) => makeRule({ ...r, name, subjectKind: 'nodes', deny: { ingress, egress } }));

/** Rules of every tier, of nodes too; each of its own object. */
export const rulesArb: fc.Arbitrary<Rule[]> = fc
  .array(fc.constantFrom<Tier | 'host'>('admin', 'admin', 'normal', 'normal', 'normal', 'baseline', 'host'), { minLength: 1, maxLength: 6 })
  .chain((kinds) => fc.tuple(...kinds.map((k, i) => (k === 'host' ? hostRuleArb(`r${i}`) : tierRuleArb(`r${i}`, k)))));
