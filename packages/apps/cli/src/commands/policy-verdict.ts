// `axoneme policy verdict`: would this connection be allowed, and by which rule.
import { type ConnectionVerdict, type DecidingRule, type HopVerdict, questionsOf, type RuleOrigin, verdictsOn } from '@axoneme/policy';
import { AppError } from '@axoneme/std';
import { json, type Output } from '../output.ts';
import type { Model } from '../policy/model.ts';
import { parseTraffic, type TrafficOptions, trafficText } from '../policy/traffic.ts';

export interface VerdictQuery extends TrafficOptions {
  readonly from: string;
  readonly to: string;
}

/** Exit codes of `verdict`. */
export const verdictCodes = { allowed: 0, denied: 3 } as const;

export function ruleText(o: RuleOrigin): string {
  const object = `${o.kind} ${o.namespace === '' ? o.name : `${o.namespace}/${o.name}`}`;
  return o.list === 'default-deny' ? `${object} default deny ${o.direction}` : `${object} ${o.list}[${o.index ?? 0}]`;
}

const reasons: Readonly<Record<HopVerdict['reason'], string>> = {
  allow: 'allowed by a rule',
  deny: 'denied by a rule',
  blocked: 'blocked: the rule needs a check that is not made',
  'default-deny': 'no rule allows it and the subject is isolated',
  'local-host': 'the local host may always reach its pods',
  open: 'nothing isolates the subject',
};

const decidedBy = (rules: readonly DecidingRule[]): string[] =>
  rules.map((r) => `${ruleText(r.origin)}${r.tier === 'normal' ? '' : ` (tier ${r.tier})`}`);

export function renderHop(h: HopVerdict): string {
  const lines = [`  ${h.direction.padEnd(7)} ${h.allowed ? 'allowed' : 'DENIED '}  at ${h.subject}: ${reasons[h.reason] ?? h.reason}`];
  for (const r of decidedBy(h.rules)) lines.push(`                   by ${r}`);
  if (h.shadow !== undefined) {
    lines.push(`                   shadow policies would ${h.shadow.allowed ? 'allow' : 'deny'} it`);
    for (const r of decidedBy(h.shadow.rules)) lines.push(`                   by ${r}`);
  }
  return `${lines.join('\n')}\n`;
}

export function renderVerdict(v: ConnectionVerdict, title: string): string {
  const hops = v.hops.length === 0 ? '  no end of it is subject to policy\n' : v.hops.map(renderHop).join('');
  return `${v.allowed ? 'ALLOWED' : 'DENIED'}  IPv${v.family}  ${title}\n${hops}`;
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
    verdicts.forEach((v, i) => {
      const { from, to, protocol, port } = questions[i]!;
      out.write(renderVerdict(v, `${from.name} -> ${to.name} ${trafficText(protocol, port)}`));
    });
  }
  return verdicts.every((v) => v.allowed) ? verdictCodes.allowed : verdictCodes.denied;
}
