// Fleets of load balancers → what the service compiler is given for the nodes they select, and which node asks which backend, as artifact
// `lb/probes`. Called by the compiler; the judge of health and the status read what became of each fleet here.
import { blobTables } from '@axoneme/datapath';
import { labelsFromMap, matchesSelector, type ObjectKey } from '@axoneme/model';
import { type Probe, Probes } from '@axoneme/proto';
import {
  type BalancedInputs,
  type BalancedService,
  type Fleet,
  fleetInputs,
  type ProbeTarget,
  planProbes,
  probeTargets,
  readFleet,
  type ServiceChanges,
  type TargetId,
  targetsOf,
} from '@axoneme/service';
import { canonicalJson } from '@axoneme/std';
import type { DownRow } from '../world/rows.ts';
import type { Dirty, Tables } from '../world/world.ts';
import { blobArtifact } from './artifacts.ts';
import { downOfStatus } from './fleet-status.ts';
import { createNodeArtifacts, type NodeArtifacts } from './node-artifacts.ts';

export const PROBES = 'lb/probes';
/** What an agent takes; with what is beyond nobody is troubled, and it counts as serving. */
const PROBES_MAX = 16_384;

/** As of the last compile. Another object when something of it changed. */
export interface FleetState {
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  /** The last that could be read; undefined: none could. */
  readonly fleet: Fleet | undefined;
  /** Of the object as it is, `field: problem (fix)`. */
  readonly problems: readonly string[];
  readonly targets: ReadonlyMap<TargetId, ProbeTarget>;
  /** Nodes it selects, by name. */
  readonly selected: readonly string[];
  /** Of these, who can be asked to check backends and is connected. */
  readonly alive: readonly string[];
  /** Who asks what, of `alive`. */
  readonly plan: ReadonlyMap<string, readonly ProbeTarget[]>;
  readonly down: DownRow;
}

export interface FleetPart extends Pick<NodeArtifacts, 'own' | 'body'> {
  /** What changed for the service compiler; undefined: nothing. */
  update(tables: Tables, dirty: Dirty): ServiceChanges | undefined;
  readonly fleets: ReadonlyMap<string, FleetState>;
  /** What the compiler was given of a service of a fleet. */
  inputs(fleet: string): Iterable<BalancedInputs>;
}

type Raw = Readonly<Record<string, unknown>>;
interface Meta {
  readonly uid?: string;
  readonly generation?: number;
}

type ReadState = Pick<FleetState, 'name' | 'uid' | 'generation' | 'fleet' | 'problems' | 'targets'>;

/** Services that say what they said before stay the same objects, so that what was made of them stays. */
function reuse(fleet: Fleet, before: Fleet | undefined): Fleet {
  const old = new Map(before?.services.map((s) => [s.name, s]));
  const same = (s: BalancedService): BalancedService => {
    const held = old.get(s.name);
    return held !== undefined && JSON.stringify(held) === JSON.stringify(s) ? held : s;
  };
  return { ...fleet, services: fleet.services.map(same) };
}

/** A fleet that cannot be read any more stays as it was: a slip of the pen takes nobody's address away. */
function readState(name: string, raw: Raw, before: ReadState | undefined): ReadState {
  const { uid = '', generation = 0 } = (raw.metadata ?? {}) as Meta;
  const held = before?.uid === uid ? before : undefined;
  // every write of the status is news of the object
  if (held !== undefined && generation !== 0 && held.generation === generation) return held;
  const read = readFleet(raw);
  if (!read.ok) {
    const problems = read.problems.map((p) => `${p.at}: ${p.message} (${p.fix})`);
    return { name, uid, generation, fleet: held?.fleet, problems, targets: held?.targets ?? new Map() };
  }
  const fleet = reuse(read.fleet, held?.fleet);
  return { name, uid, generation, fleet, problems: [], targets: new Map(probeTargets(fleet).map((t) => [t.id, t])) };
}

interface Given {
  readonly service: BalancedService;
  readonly text: string;
  readonly inputs: BalancedInputs;
}

/** What the service compiler holds of the fleets, and the differences to that. */
function createFeed() {
  const given = new Map<string, Map<string, Given>>();
  const nothing: ReadonlyMap<string, Given> = new Map();
  return {
    given: given as ReadonlyMap<string, ReadonlyMap<string, Given>>,
    /** Undefined: the fleet is gone, or was never right. */
    put(name: string, fleet: Fleet | undefined, down: DownRow, out: BalancedChanges): void {
      const before = given.get(name) ?? nothing;
      const next = new Map<string, Given>();
      const failing = new Set(down.keys());
      for (const service of fleet?.services ?? []) {
        const bad = targetsOf(service).flatMap((t) => (failing.has(t.id) ? [t.id] : []));
        const text = `${fleet!.createdMs} ${fleet!.nodes.text} ${bad.join('\n')}`;
        const held = before.get(service.name);
        if (held?.service === service && held.text === text) next.set(service.name, held);
        else next.set(service.name, { service, text, inputs: fleetInputs(fleet!, service, failing) });
      }
      difference(before, next, out);
      if (next.size === 0) given.delete(name);
      else given.set(name, next);
    },
  };
}

interface BalancedChanges {
  readonly services: BalancedInputs['services'][number][];
  readonly slices: BalancedInputs['slices'][number][];
  readonly removedServices: ObjectKey[];
  readonly removedSlices: ObjectKey[];
}

function difference(before: ReadonlyMap<string, Given>, next: ReadonlyMap<string, Given>, out: BalancedChanges): void {
  for (const [name, { inputs }] of before) {
    const now = next.get(name)?.inputs;
    if (now === inputs) continue;
    const keys = new Set([...(now?.services ?? []), ...(now?.slices ?? [])].map((x) => x.key));
    for (const s of inputs.services) if (!keys.has(s.key)) out.removedServices.push(s.key);
    for (const s of inputs.slices) if (!keys.has(s.key)) out.removedSlices.push(s.key);
  }
  for (const [name, { inputs }] of next) {
    if (before.get(name)?.inputs === inputs) continue;
    out.services.push(...inputs.services);
    out.slices.push(...inputs.slices);
  }
}

function probeOf({ id, address, port, check }: ProbeTarget): Probe {
  const { type, path, host, codes, intervalMs, timeoutMs, rise, fall } = check;
  return { id, address, port, type, path, host, codes: codes.flat(), intervalMs, timeoutMs, rise, fall };
}

function createQuestions() {
  const own = createNodeArtifacts();
  let told: ReadonlySet<string> = new Set();
  let plans: readonly FleetState['plan'][] = [];
  return {
    own,
    tell(fleets: readonly FleetState[]): void {
      const next = fleets.map((f) => f.plan);
      if (next.length === plans.length && next.every((p, i) => p === plans[i])) return;
      plans = next;
      const byNode = new Map<string, Map<TargetId, ProbeTarget>>();
      for (const f of fleets)
        for (const [node, targets] of f.plan) {
          const all = byNode.get(node) ?? new Map<TargetId, ProbeTarget>();
          if (targets.length > 0) byNode.set(node, all);
          for (const t of targets) if (all.size < PROBES_MAX) all.set(t.id, t);
        }
      for (const [node, targets] of byNode) {
        const probes = [...targets.values()].sort((a, b) => (a.id < b.id ? -1 : 1)).map(probeOf);
        own.set(node, PROBES, blobArtifact(PROBES, blobTables.probes.name, Probes.encode({ probes }).finish()));
      }
      for (const node of told) if (!byNode.has(node)) own.set(node, PROBES, undefined);
      told = new Set(byNode.keys());
    },
  };
}

/** Who asks: those who are connected. A leader of less than half of them judges nothing; then all keep the shares they will have. */
function planOf(f: ReadState, selected: readonly string[], alive: readonly string[], tables: Tables): FleetState['plan'] {
  const minority = alive.length * 2 < selected.length;
  const shares = planProbes([...f.targets.values()], minority ? selected : alive);
  return minority ? new Map([...shares].filter(([node]) => tables.probers.has(node))) : shares;
}

const INPUTS = ['fleets', 'nodes', 'probers', 'downTargets'] as const;
const none: DownRow = new Map();

export function createFleetPart(): FleetPart {
  const feed = createFeed();
  const questions = createQuestions();
  const fleets = new Map<string, FleetState>();

  const look = (name: string, tables: Tables): boolean => {
    const raw = tables.fleets.get(name);
    const before = fleets.get(name);
    if (raw === undefined) return fleets.delete(name);
    const read = readState(name, raw, before);
    const { fleet } = read;
    const selected: string[] = [];
    for (const n of tables.nodes.values())
      if (fleet !== undefined && matchesSelector(fleet.nodes, labelsFromMap(n.labels))) selected.push(n.name);
    selected.sort();
    const alive = selected.filter((n) => tables.probers.has(n));
    const down = tables.downTargets.get(name) ?? (fleet === undefined ? none : downOfStatus(raw.status, fleet));
    const text = (f: Pick<FleetState, 'problems' | 'selected' | 'alive' | 'down'>): string =>
      canonicalJson([f.problems, f.selected, f.alive, [...f.down]]);
    const sameRead = before !== undefined && before.targets === read.targets && before.generation === read.generation;
    if (sameRead && before.uid === read.uid && text(before) === text({ problems: read.problems, selected, alive, down })) return false;
    const samePlan =
      before?.targets === read.targets && canonicalJson([before.selected, before.alive]) === canonicalJson([selected, alive]);
    const plan = samePlan ? before!.plan : planOf(read, selected, alive, tables);
    fleets.set(name, { ...read, selected, alive, plan, down });
    return true;
  };

  return {
    own: questions.own.own,
    body: questions.own.body,
    fleets,
    *inputs(fleet) {
      for (const g of feed.given.get(fleet)?.values() ?? []) yield g.inputs;
    },
    update(tables, dirty) {
      if (tables.fleets.size + fleets.size === 0 || !INPUTS.some((t) => dirty.has(t))) return undefined;
      const everybody = dirty.has('nodes') || dirty.has('probers');
      const names = new Set([...(dirty.get('fleets') ?? []), ...(dirty.get('downTargets') ?? []), ...(everybody ? fleets.keys() : [])]);
      const changed = [...names].filter((name) => look(name, tables));
      if (changed.length === 0) return undefined;
      const out: BalancedChanges = { services: [], slices: [], removedServices: [], removedSlices: [] };
      for (const name of changed) feed.put(name, fleets.get(name)?.fleet, fleets.get(name)?.down ?? none, out);
      questions.tell([...fleets.values()]);
      return Object.values(out).every((list) => list.length === 0) ? undefined : out;
    },
  };
}
