// `axoneme policy verdict`: would this connection be allowed, and by which rule.
import {
  type ConnectionVerdict,
  type DecidingRule,
  type HopVerdict,
  originText,
  type Question,
  questionsOf,
  trafficText,
  verdictsOn,
} from '@axoneme/policy';
import { AppError } from '@axoneme/std';
import { json, type Output } from '../output.ts';
import type { Model } from '../policy/model.ts';
import { parseTraffic, type TrafficOptions } from '../policy/traffic.ts';

export interface VerdictQuery extends TrafficOptions {
  readonly from: string;
  readonly to: string;
}

/** Exit codes of `verdict`. */
export const verdictCodes = { allowed: 0, denied: 3 } as const;

const reasons: Readonly<Record<HopVerdict['reason'], string>> = {
  allow: 'allowed by a rule',
  deny: 'denied by a rule',
  blocked: 'blocked: the rule needs a check that is not made',
  'default-deny': 'no rule allows it and the subject is isolated',
  'local-host': 'the local host may always reach its pods',
  open: 'nothing isolates the subject',
};

const decidedBy = (rules: readonly DecidingRule[]): string[] =>
  rules.map((r) => `${originText(r.origin)}${r.tier === 'normal' ? '' : ` (tier ${r.tier})`}`);

export function renderHop(h: HopVerdict): string {
  const lines = [`  ${h.direction.padEnd(7)} ${h.allowed ? 'allowed' : 'DENIED '}  at ${h.subject}: ${reasons[h.reason] ?? h.reason}`];
  for (const r of decidedBy(h.rules)) lines.push(`                   by ${r}`);
  if (h.shadow !== undefined) {
    lines.push(`                   shadow policies would ${h.shadow.allowed ? 'allow' : 'deny'} it`);
    for (const r of decidedBy(h.shadow.rules)) lines.push(`                   by ${r}`);
  }
  return `${lines.join('\n')}\n`;
}

/** One block for both families if all they differ in is the family. */
export function mergeFamilies(blocks: readonly { readonly family: number; readonly title: string; readonly body: string }[]): string {
  const merged = Map.groupBy(blocks, (b) => `${b.title}\n${b.body}`);
  return [...merged.values()]
    .map((same) => {
      const { title, body } = same[0]!;
      const [state, rest] = [title.slice(0, title.indexOf(' ')), title.slice(title.indexOf(' ') + 1)];
      return `${state}  ${same.map((b) => `IPv${b.family}`).join(' and ')}  ${rest}\n${body}`;
    })
    .join('');
}

export const verdictTitle = (v: ConnectionVerdict, q: Question): string =>
  `${v.allowed ? 'ALLOWED' : 'DENIED'} ${q.from.name} -> ${q.to.name} ${trafficText(q.protocol, q.port)}`;

export function renderHops(v: ConnectionVerdict): string {
  return v.hops.length === 0 ? '  no end of it is subject to policy\n' : v.hops.map(renderHop).join('');
}

export const verdictJson = (v: ConnectionVerdict): object => ({
  family: v.family,
  allowed: v.allowed,
  hops: v.hops.map((h) => ({
    direction: h.direction,
    subject: h.subject,
    allowed: h.allowed,
    reason: h.reason,
    rules: rulesJson(h.rules),
    ...(h.shadow === undefined ? {} : { shadow: { allowed: h.shadow.allowed, rules: rulesJson(h.shadow.rules) } }),
  })),
});

const rulesJson = (rules: readonly DecidingRule[]): object[] =>
  rules.map(({ tier, origin: o }) => ({
    tier,
    kind: o.kind,
    namespace: o.namespace,
    name: o.name,
    list: o.list,
    ...(o.index === undefined ? {} : { index: o.index }),
    rule: o.text,
  }));

export function askQuestions(model: Model, q: VerdictQuery): ReturnType<typeof questionsOf> {
  const [from, to] = model.ends(q.from, q.to);
  const questions = questionsOf(from, to, parseTraffic(q, to));
  if (questions.length === 0)
    throw new AppError({ code: 'cli/usage', message: `${from.name} and ${to.name} have no address family in common for that traffic` });
  return questions;
}

export function policyVerdict(model: Model, q: VerdictQuery, asJson: boolean, out: Output): number {
  const questions = askQuestions(model, q);
  const verdicts = verdictsOn(model.scene, questions);
  if (asJson) {
    const { from, to } = questions[0]!;
    out.write(json({ from: from.name, to: to.name, allowed: verdicts.every((v) => v.allowed), verdicts: verdicts.map(verdictJson) }));
  } else {
    out.write(mergeFamilies(verdicts.map((v, i) => ({ family: v.family, title: verdictTitle(v, questions[i]!), body: renderHops(v) }))));
  }
  return verdicts.every((v) => v.allowed) ? verdictCodes.allowed : verdictCodes.denied;
}
