// One random packet by rows and by rules, over all layers; both must agree, in the verdict and in the rule that is named.

import { type IpAddr, ipFamily } from '@axoneme/model';
import fc from 'fast-check';
import {
  type Decision,
  type Direction,
  hostFirst,
  type Judgement,
  judge,
  judgeHost,
  judgeHostShadow,
  judgeShadow,
  lookup,
  lookupShadow,
  type PolicyConfig,
  type Rule,
  type RuleId,
} from '../src/index.ts';
import { outsideAddresses, probePorts, probeProtocols } from './arbitraries.ts';
import { type CompiledWorld, compileWorld, type Lab, nodesOf } from './lab.ts';

/** `AXONEME_RUNS` scales every suite: 1000 is what each does by default. */
export const scaled = (runs: number): number => Math.max(1, Math.round((runs * Number(process.env.AXONEME_RUNS ?? 1000)) / 1000));
export const seed = Number(process.env.AXONEME_SEED ?? 0) || Math.floor(Math.random() * 0x7fff_ffff);
/** Time for one test: grows with the runs. */
export const patience = 120_000 * Math.max(1, scaled(100) / 100);

export const configArb: fc.Arbitrary<PolicyConfig> = fc.record({
  mode: fc.constantFrom('default', 'default', 'default', 'default', 'always', 'never'),
  clusterName: fc.constant('main'),
  allowLocalhost: fc.constantFrom(true, true, false),
});

export interface Probe {
  readonly subject: number;
  readonly peer: number;
  readonly direction: Direction;
  readonly protocol: number;
  readonly port: number;
}

export const probeArb: fc.Arbitrary<Probe> = fc.record({
  subject: fc.nat(),
  peer: fc.nat(),
  direction: fc.constantFrom('ingress' as const, 'egress' as const),
  protocol: fc.constantFrom(6, 6, 6, 17, ...probeProtocols),
  port: fc.constantFrom(...probePorts),
});
export const probesArb = (minLength: number, maxLength: number): fc.Arbitrary<Probe[]> => fc.array(probeArb, { minLength, maxLength });

export interface Wire {
  readonly direction: Direction;
  readonly peer: IpAddr;
  readonly protocol: number;
  readonly port: number;
}

/** A packet of the probe: mostly to places where something is, sometimes anywhere. */
export function wireOf(probe: Probe, lab: Lab): Wire {
  const inside = [...lab.pods.flatMap((p) => p.addresses), ...nodesOf(lab).flatMap((n) => n.addresses)];
  const all = probe.peer % 3 === 0 ? outsideAddresses : [...inside, ...outsideAddresses];
  const { direction, protocol } = probe;
  const port = protocol === 1 || protocol === 58 ? probe.port & 0xff : probe.port;
  return { direction, peer: all[Math.floor(probe.peer / 3) % all.length]!, protocol, port };
}

/** How often each outcome was met, so that a vocabulary that is blind shows. */
export type Outcomes = Map<string, number>;
const count = (outcomes: Outcomes, key: string): void => void outcomes.set(key, (outcomes.get(key) ?? 0) + 1);

/** Checks a world with many packets; returns how many verdicts were compared. */
export function checkWorld(rules: readonly Rule[], lab: Lab, cfg: PolicyConfig, probes: readonly Probe[], outcomes: Outcomes): number {
  const compiled = compileWorld(rules, lab, cfg);
  const subjects = lab.pods.filter((p) => compiled.table.subjects.has(p.id));
  let checked = 0;
  for (const probe of probes) {
    const wire = wireOf(probe, lab);
    if (subjects.length > 0) checked += checkPod(compiled, rules, lab, cfg, subjects[probe.subject % subjects.length]!, wire, outcomes);
    checked += checkHost(compiled, rules, lab, cfg, probe.subject, wire, outcomes);
  }
  return checked;
}

const keyOf = (w: CompiledWorld, wire: Wire) => ({ ...wire, peer: w.identity(wire.peer), cls: w.cls(wire.peer) });
const show = (who: string, w: Wire): string => `${who} ${w.direction} ${w.peer} (v${ipFamily(w.peer)}) proto ${w.protocol} port ${w.port}`;

function checkPod(
  w: CompiledWorld,
  rules: readonly Rule[],
  lab: Lab,
  cfg: PolicyConfig,
  subject: Lab['pods'][number],
  wire: Wire,
  outcomes: Outcomes,
): number {
  const set = w.table.subjects.get(subject.id)!;
  const packet = { ...wire, subject };
  const key = keyOf(w, wire);
  compare(show(subject.name, wire), lookup(set, key), judge(rules, lab.world, packet, cfg), w, outcomes);
  const shadow = lookupShadow(set, key);
  compare(`shadow ${show(subject.name, wire)}`, shadow, judgeShadow(rules, lab.world, packet, cfg), w, outcomes);
  return shadow === undefined ? 1 : 2;
}

/** Every node in turn as "the own node"; packets to its own addresses never leave it. */
function checkHost(
  w: CompiledWorld,
  rules: readonly Rule[],
  lab: Lab,
  cfg: PolicyConfig,
  n: number,
  wire: Wire,
  outcomes: Outcomes,
): number {
  const all = nodesOf(lab);
  const at = n % all.length;
  const host = all[at]!;
  // Identity 1 is the own node's, so a foreign node's view is only right for other addresses.
  if (host.addresses.includes(wire.peer) || (at > 0 && lab.world.host.addresses.includes(wire.peer))) return 0;
  const world = { pods: lab.pods, host, nodes: all.filter((o) => o !== host) };
  const set = w.table.subjects.get((hostFirst + 1 + at) as never);
  const key = keyOf(w, wire);
  const decision = set === undefined ? undefined : lookup(set, key);
  compare(show(host.name, wire), decision, judgeHost(rules, world, wire, cfg), w, outcomes);
  const shadow = set === undefined ? undefined : lookupShadow(set, key);
  compare(`shadow ${show(host.name, wire)}`, shadow, judgeHostShadow(rules, world, wire, cfg), w, outcomes);
  return (set === undefined ? 0 : 1) + (shadow === undefined ? 0 : 1);
}

/** What the kernel can tell of each reason; a row says allow or deny by its verdict. */
const rowReason: Readonly<Record<Judgement['reason'], Decision['reason']>> = {
  deny: 'row',
  blocked: 'row',
  allow: 'row',
  'local-host': 'local-host',
  'default-deny': 'default-deny',
  open: 'open',
};

function compare(where: string, rows: Decision | undefined, truth: Judgement | undefined, w: CompiledWorld, outcomes: Outcomes): void {
  if (truth !== undefined) count(outcomes, `${where.startsWith('shadow') ? 'shadow ' : ''}${truth.tier ?? ''} ${truth.reason}`);
  if (rows?.allowed !== truth?.allowed || rows?.tier !== truth?.tier || (truth !== undefined && rows?.reason !== rowReason[truth.reason]))
    throw new RangeError(`${where}: rows say ${JSON.stringify(rows)}, rules say ${JSON.stringify(truth)}`);
  if (rows !== undefined && truth !== undefined) checkProvenance(where, rows, truth.rules, w.table.origins);
}

/** The named rule is one that really decides this packet. */
export function checkProvenance(where: string, rows: Decision, rules: readonly RuleId[], origins: CompiledWorld['table']['origins']): void {
  if (rows.reason === 'open' || rows.reason === 'local-host') return;
  const origin = origins.get(rows.ruleId);
  if (origin === undefined) throw new RangeError(`${where}: rule ${rows.ruleId} has no origin`);
  if (rows.reason !== 'default-deny') {
    if (!rules.includes(rows.ruleId)) throw new RangeError(`${where}: ${origin.text} is named but does not decide`);
    return;
  }
  if (rules.length === 0) return;
  const texts = [...new Set(rules)].map((r) => origins.get(r)!.text).sort();
  const named = origin.also === undefined ? [origin.text] : origin.text.split('+');
  if (texts.join() !== named.join()) throw new RangeError(`${where}: ${named.join()} is named, ${texts.join()} isolate`);
}
