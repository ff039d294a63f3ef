// The verdict on one connection: egress where it starts, ingress where it ends, each with what decided. Straight from the rules.
import type { IpFamily } from '@axoneme/model';
import { type Judgement, judge, judgeHost, judgeHostShadow, judgeShadow } from '../judge.ts';
import type { Direction, Rule, RuleId, RuleOrigin, Tier } from '../rules.ts';
import { addressOfEnd, familiesOf, hopsOf, podOfEnd, type Question, type Scene, type SceneEnd, worldOf } from './scene.ts';

export interface DecidingRule {
  readonly tier: Tier;
  readonly origin: RuleOrigin;
}

export interface HopVerdict {
  readonly direction: Direction;
  /** Name of the end that is enforced. */
  readonly subject: string;
  readonly allowed: boolean;
  readonly reason: Judgement['reason'];
  /** Rules that could be named for it; empty where none decided. */
  readonly rules: readonly DecidingRule[];
  /** What the shadow policies would make of it, where that differs. */
  readonly shadow?: { readonly allowed: boolean; readonly rules: readonly DecidingRule[] } | undefined;
}

export interface ConnectionVerdict {
  readonly family: IpFamily;
  readonly allowed: boolean;
  /** Only ends that can be enforced. */
  readonly hops: readonly HopVerdict[];
}

export interface Hop {
  readonly direction: Direction;
  readonly subject: SceneEnd;
  readonly peer: SceneEnd;
}

/** One direction of a question; undefined where nothing is enforced. `rules` replace those of the scene. */
export function judgeHop(scene: Scene, rules: readonly Rule[], q: Question, hop: Hop, shadow = false): Judgement | undefined {
  const peer = addressOfEnd(hop.peer, q.family);
  if (peer === undefined) return undefined;
  const world = worldOf(scene, hop.subject, hop.peer);
  const packet = { direction: hop.direction, peer, protocol: q.protocol, port: q.port };
  const subject = podOfEnd(hop.subject);
  if (subject !== undefined) return (shadow ? judgeShadow : judge)(rules, world, { ...packet, subject }, scene.config);
  return hop.subject.kind === 'node' ? (shadow ? judgeHostShadow : judgeHost)(rules, world, packet, scene.config) : undefined;
}

export function connectionAllowed(scene: Scene, rules: readonly Rule[], q: Question): boolean {
  return hopsOf(q).every((hop) => judgeHop(scene, rules, q, hop)?.allowed !== false);
}

/** What is sent; undefined where the family has no such thing. */
export type Traffic = (family: IpFamily) => Pick<Question, 'protocol' | 'port'> | undefined;

/** One question for each family both ends have. */
export const questionsOf = (from: SceneEnd, to: SceneEnd, traffic: Traffic): Question[] =>
  familiesOf(from, to).flatMap((family) => {
    const sent = traffic(family);
    return sent === undefined ? [] : [{ from, to, family, ...sent }];
  });

export function verdictsOn(scene: Scene, questions: readonly Question[]): ConnectionVerdict[] {
  const described = describe(scene.rules);
  const hopVerdict = (q: Question, hop: Hop): HopVerdict[] => {
    const verdict = judgeHop(scene, scene.rules, q, hop);
    if (verdict === undefined) return [];
    const other = judgeHop(scene, scene.rules, q, hop, true);
    const { allowed, reason } = verdict;
    const own = { direction: hop.direction, subject: hop.subject.name, allowed, reason, rules: described(verdict.rules) };
    return [
      other === undefined || other.allowed === allowed
        ? own
        : { ...own, shadow: { allowed: other.allowed, rules: described(other.rules) } },
    ];
  };
  return questions.map((q) => {
    const hops = hopsOf(q).flatMap((hop) => hopVerdict(q, hop));
    return { family: q.family, allowed: hops.every((h) => h.allowed), hops };
  });
}

function describe(rules: readonly Rule[]): (ids: readonly RuleId[]) => DecidingRule[] {
  const byId = new Map(rules.flatMap((r) => r.origins.map((origin) => [origin.id, { tier: r.tier, origin }] as const)));
  return (ids) => [...new Set(ids)].flatMap((id) => byId.get(id) ?? []).sort((a, b) => (a.origin.text < b.origin.text ? -1 : 1));
}
