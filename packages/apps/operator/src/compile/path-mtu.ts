// The largest packet of a pod that every node takes in one piece. Nodes say what they can send themselves; what DSR adds to a packet must fit
// the smallest of them. Fed by what nodes say (wiring), asked by the compiler.

export interface PathMtus {
  /** What a node can send (0: it does not know yet) and, when it connects, what it was told last. True: somebody has to be told something else. */
  hear(node: string, own: number, told?: number): boolean;
  /** Nodes that exist; what is known of others is forgotten. */
  keep(nodes: Iterable<string>): void;
  /** 0: nothing is known. */
  smallest(): number;
  /** What a node must be told: 0 if its own is the smallest, or if it has not said anything. */
  limit(node: string): number;
}

interface Heard {
  readonly own: number;
  readonly told: number;
}

export function createPathMtus(): PathMtus {
  const heard = new Map<string, Heard>();
  let nodes: ReadonlySet<string> = new Set();
  let smallest = 0;
  const least = (values: readonly number[]): number => Math.min(...values.filter((v) => v > 0), Number.POSITIVE_INFINITY);
  const settle = (): boolean => {
    const known = [...heard.values()];
    // until every node was heard, what they were told before stands for those that are missing
    const missing = [...nodes].some((n) => heard.get(n) === undefined);
    const now = least([...known.map((h) => h.own), ...(missing ? known.map((h) => h.told) : [])]);
    const before = smallest;
    smallest = Number.isFinite(now) ? now : 0;
    return smallest !== before;
  };
  return {
    hear(node, own, told) {
      const before = heard.get(node);
      if (before?.own === own && (told === undefined || told === before.told)) return false;
      heard.set(node, { own, told: told ?? before?.told ?? 0 });
      return settle() || (before?.own ?? 0) !== own;
    },
    keep(names) {
      nodes = new Set(names);
      for (const n of heard.keys()) if (!nodes.has(n)) heard.delete(n);
      settle();
    },
    smallest: () => smallest,
    limit: (node) => (smallest < (heard.get(node)?.own ?? 0) ? smallest : 0),
  };
}
