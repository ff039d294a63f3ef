// eBPF objects as artifacts: reads the objects this operator rolls out, remembers what each node runs, and says which artifacts a node
// gets for it. Called by wiring (what nodes say), the dispatcher (artifacts of a node) and the stream server (their content).
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { blobTables, SCHEMA_DIGEST } from '@axoneme/datapath';
import { type Ack, type ArtifactBody, DatapathSet, digestFromBytes, type Hello, type Nack } from '@axoneme/proto';
import type { ArtifactDescriptor } from '@axoneme/span';
import { AppError, type Digest, type Health } from '@axoneme/std';
import { type Artifact, blobArtifact } from './artifacts.ts';
import { planRollout, type RolloutNode, type RolloutPlan, type SetId, takesTarget } from './rollout.ts';

/** SHA-256 (hex) by object name. */
export type ObjectSet = Readonly<Record<string, string>>;

export interface TargetObjects {
  readonly set: ObjectSet;
  /** By SHA-256. */
  readonly artifacts: ReadonlyMap<string, Artifact>;
}

export const OBJECT_NAMES: readonly string[] = ['pod', 'netdev', 'overlay', 'host', 'sock', 'xdp'];
const NODE_DATAPATH = 'node/datapath';
const REFUSED = 'agent/object-rejected';
const FEATURE = 'objects';

/** Throws `operator/no-objects`. */
export function readTargetObjects(dir: string): TargetObjects {
  const set: Record<string, string> = {};
  const artifacts = new Map<string, Artifact>();
  for (const name of OBJECT_NAMES) {
    try {
      const bytes = readFileSync(`${dir}/${name}.o`);
      const hash = createHash('sha256').update(bytes).digest('hex');
      set[name] = hash;
      artifacts.set(hash, blobArtifact(`object/${hash}`, blobTables.object.name, bytes));
    } catch (cause) {
      throw new AppError({
        code: 'operator/no-objects',
        message: `no eBPF object ${name}.o in ${dir}`,
        hint: 'see the value datapath.objects',
        cause,
      });
    }
  }
  return { set, artifacts };
}

const sorted = (set: ObjectSet): [string, string][] => Object.entries(set).sort(([a], [b]) => (a < b ? -1 : 1));
const idOf = (set: ObjectSet): SetId => JSON.stringify(sorted(set));

function makeSetArtifact(set: ObjectSet, schemaDigest: string): Artifact {
  const message = { objects: Object.fromEntries(sorted(set)), schemaDigest };
  return blobArtifact(NODE_DATAPATH, blobTables.datapath.name, DatapathSet.encode(message).finish());
}

interface NodeFacts {
  running: ObjectSet;
  runningId: SetId;
  connected: boolean;
  fresh: boolean;
  readonly builtin: ObjectSet;
  readonly targetId: SetId;
  readonly suits: boolean;
  /** Digest of object artifacts on its disk, by SHA-256. */
  readonly stored: ReadonlyMap<string, Digest>;
  readonly schemaDigest: string;
  /** Agent and kernel; a refusal counts for these only. */
  readonly build: string;
  refused: string | undefined;
  own: OwnArtifacts | undefined;
}

/** Artifacts that a node gets because of what it must run now. */
export interface OwnArtifacts {
  /** Equal for equal lists. */
  readonly text: string;
  readonly list: readonly ArtifactDescriptor[];
}

export interface DatapathRollout {
  readonly name: 'datapath rollout';
  health(): Health;
  /** Settles at once what this node must hold, before its stream compares; whose turn it is changes with the next plan. */
  hello(node: string, hello: Hello): void;
  disconnected(node: string): void;
  ack(node: string, ack: Ack): void;
  nack(node: string, nack: Nack): void;
  /** Decides anew if a node said something new; forgets nodes that left the cluster. */
  plan(nodes: { has(node: string): boolean }): void;
  own(node: string): OwnArtifacts;
  body(name: string, digest: Digest): ArtifactBody | undefined;
}

export interface RolloutDeps {
  /** Undefined: every node runs the objects of its agent. */
  readonly target: TargetObjects | undefined;
  readonly mode: 'all' | 'one-by-one';
  /** The next plan may be another one. */
  readonly onChange: () => void;
}

const nothing: OwnArtifacts = { text: '', list: [] };

const rolloutNode = (name: string, f: NodeFacts): RolloutNode => ({
  name,
  running: f.runningId,
  target: f.targetId,
  connected: f.connected,
  fresh: f.fresh,
  suits: f.suits,
  refused: f.refused,
});

function factsOf(hello: Hello, before: NodeFacts | undefined, target: TargetObjects | undefined): NodeFacts | undefined {
  const { datapath } = hello;
  if (datapath === undefined || !hello.features.includes(FEATURE)) return undefined;
  const { running, builtin } = datapath;
  const build = `${hello.agentBuild} ${hello.kernel?.release ?? ''} ${idOf(builtin)}`;
  return {
    running,
    runningId: idOf(running),
    connected: true,
    fresh: hello.revision === 0,
    builtin,
    targetId: idOf(target?.set ?? builtin),
    suits: target === undefined || hello.schemaDigest === SCHEMA_DIGEST,
    stored: new Map(Object.entries(datapath.stored).map(([hash, digest]) => [hash, digestFromBytes(digest)])),
    schemaDigest: hello.schemaDigest,
    build,
    refused: before?.build === build ? before.refused : undefined,
    own: undefined,
  };
}

function healthOf({ stopped, turn, waiting }: RolloutPlan, connected: (node: string) => boolean): Health {
  if (stopped !== undefined) return { state: 'degraded', reason: `stopped: node ${stopped.node} refused the objects: ${stopped.reason}` };
  if (turn === undefined || connected(turn)) return { state: 'ok' };
  return { state: 'degraded', reason: `waits for node ${turn}, which is not connected; ${waiting} more to go` };
}

export function createDatapathRollout({ target, mode, onChange }: RolloutDeps): DatapathRollout {
  const facts = new Map<string, NodeFacts>();
  const bodies = new Map<string, ArtifactBody>();
  const chosen = new Map<string, SetId>();
  const setArtifacts = new Map<string, Artifact>();
  let plan: RolloutPlan = planRollout({ mode, nodes: [], turn: undefined });
  let dirty = false;

  const changed = (): void => {
    dirty = true;
    onChange();
  };
  const choose = (node: string, id: SetId | undefined): void => {
    const f = facts.get(node);
    if (f !== undefined && chosen.get(node) !== id) f.own = undefined;
    if (id === undefined) chosen.delete(node);
    else chosen.set(node, id);
  };
  const described = (a: Artifact): ArtifactDescriptor => {
    bodies.set(`${a.name}=${a.digest}`, a.body);
    return { name: a.name, digest: a.digest, table: a.body.table };
  };
  const setArtifact = (set: ObjectSet, schemaDigest: string): Artifact => {
    const key = `${schemaDigest} ${idOf(set)}`;
    const made = setArtifacts.get(key) ?? makeSetArtifact(set, schemaDigest);
    setArtifacts.set(key, made);
    return made;
  };
  /** The objects of `set` that are not in the node's image. */
  const objects = (f: NodeFacts, set: ObjectSet): ArtifactDescriptor[] => {
    const inImage = new Set(Object.values(f.builtin));
    return [...new Set(Object.values(set))].flatMap((hash) => {
      if (inImage.has(hash)) return [];
      const ours = target?.artifacts.get(hash);
      if (ours !== undefined) return [described(ours)];
      // what a node runs until its turn comes: it has the bytes, we may not
      const digest = f.stored.get(hash);
      return digest === undefined ? [] : [{ name: `object/${hash}`, digest, table: blobTables.object.name }];
    });
  };
  const ownOf = (f: NodeFacts, id: SetId): OwnArtifacts => {
    // without a target of ours only what differs from the image is named
    if (target === undefined && id === f.targetId) return nothing;
    const set = id === f.runningId ? f.running : (target?.set ?? f.builtin);
    const list = [described(setArtifact(set, f.schemaDigest)), ...objects(f, set)];
    return { text: list.map((a) => a.digest).join(), list };
  };

  return {
    name: 'datapath rollout',
    health: () => healthOf(plan, (n) => facts.get(n)?.connected === true),
    hello(node, hello) {
      const f = factsOf(hello, facts.get(node), target);
      if (f === undefined) {
        facts.delete(node);
        chosen.delete(node);
        return;
      }
      facts.set(node, f);
      choose(node, takesTarget(rolloutNode(node, f), mode, plan.turn) ? f.targetId : f.runningId);
      if (f.runningId !== f.targetId || plan.turn === node) changed();
    },
    disconnected(node) {
      const f = facts.get(node);
      if (f !== undefined) f.connected = false;
    },
    ack(node, ack) {
      const f = facts.get(node);
      if (f === undefined) return;
      f.fresh = false;
      const id = idOf(ack.running);
      if (id === f.runningId) return;
      f.running = ack.running;
      f.runningId = id;
      changed();
    },
    nack(node, nack) {
      const f = facts.get(node);
      if (f === undefined || nack.code !== REFUSED) return;
      f.refused = nack.reason;
      changed();
    },
    plan(nodes) {
      for (const n of [...facts.keys()].filter((name) => !nodes.has(name))) {
        facts.delete(n);
        chosen.delete(n);
        dirty = true;
      }
      if (!dirty) return;
      dirty = false;
      plan = planRollout({ mode, nodes: [...facts].map(([name, f]) => rolloutNode(name, f)), turn: plan.turn });
      for (const [node, id] of plan.sets) choose(node, id);
    },
    own(node) {
      const f = facts.get(node);
      const id = chosen.get(node);
      if (f === undefined || id === undefined) return nothing;
      f.own ??= ownOf(f, id);
      return f.own;
    },
    body: (name, digest) => bodies.get(`${name}=${digest}`),
  };
}
