// Which node runs which eBPF objects: a new datapath reaches one node after the other. Pure; called by the datapath part.

/** Identifies a set of objects: equal sets have equal ids. */
export type SetId = string;

export interface RolloutNode {
  readonly name: string;
  /** What the node said it runs. */
  readonly running: SetId;
  /** What it shall run in the end. */
  readonly target: SetId;
  readonly connected: boolean;
  /** It never got a commit: no pod depends on what it runs. */
  readonly fresh: boolean;
  /** The target suits the tables its agent was built with. */
  readonly suits: boolean;
  /** Why it refused the target. */
  readonly refused: string | undefined;
}

export interface RolloutInput {
  readonly mode: 'all' | 'one-by-one';
  readonly nodes: readonly RolloutNode[];
  /** The node whose turn it was in the plan before. */
  readonly turn: string | undefined;
}

export interface RolloutPlan {
  /** What each node must run now: its target, or what it runs. */
  readonly sets: ReadonlyMap<string, SetId>;
  /** The node that is being changed; others wait for it. */
  readonly turn: string | undefined;
  readonly waiting: number;
  /** Why nothing more happens by itself. */
  readonly stopped: { readonly node: string; readonly reason: string } | undefined;
}

const isDone = (n: RolloutNode): boolean => n.running === n.target;
/** Nobody has to wait for it, and it waits for nobody. */
const isFree = (n: RolloutNode): boolean => isDone(n) || n.fresh;
const canMove = (n: RolloutNode): boolean => n.suits && n.refused === undefined && !isFree(n);

/** Whose turn it is. A node that was given new objects keeps its turn until it says that it runs them and is there. */
function turnOf(input: RolloutInput, nodes: readonly RolloutNode[]): string | undefined {
  const last = nodes.find((n) => n.name === input.turn);
  if (last !== undefined && last.refused === undefined && last.suits && !(isDone(last) && last.connected)) return last.name;
  return nodes.find((n) => canMove(n) && n.connected)?.name;
}

/** Whether the node gets its target now; else it keeps what it runs. */
export function takesTarget(n: RolloutNode, mode: RolloutInput['mode'], turn: string | undefined): boolean {
  return n.suits && n.refused === undefined && (isFree(n) || n.name === turn || mode === 'all');
}

export function planRollout(input: RolloutInput): RolloutPlan {
  const nodes = [...input.nodes].sort((a, b) => (a.name < b.name ? -1 : 1));
  const refusal = nodes.find((n) => n.refused !== undefined && !isDone(n));
  const stopped = refusal === undefined ? undefined : { node: refusal.name, reason: refusal.refused ?? '' };
  const turn = input.mode === 'all' || stopped !== undefined ? undefined : turnOf(input, nodes);
  const takes = (n: RolloutNode): boolean => takesTarget(n, input.mode, turn);
  return {
    sets: new Map(nodes.map((n) => [n.name, takes(n) ? n.target : n.running])),
    turn,
    waiting: nodes.filter((n) => !isDone(n) && !takes(n)).length,
    stopped,
  };
}
