// Leave to announce, given for a short time to nodes that ask: what makes sure that an address has one owner. Called by the leading operator.
//
// A node asks with its own clock in the question and may announce what it holds until that time plus the validity. We remember when we answered,
// which is later: once the validity has passed on our clock it has passed on the node's. An unbroken chain of answers goes on; one that
// was broken begins again only when the node holds exactly what the records say it should.

export interface L2FenceConfig {
  readonly validMs: number;
  /** For clocks that do not run alike. */
  readonly marginMs: number;
  /** What a node may need to find a leader who has just begun. */
  readonly findMs: number;
}

export interface L2Fence {
  /** A node says anything. */
  sign(node: string, now: number): void;
  connected(node: string, now: number): void;
  disconnected(node: string): void;
  /** Milliseconds it may go on, 0: it may not. `holds`: it has exactly the addresses it should have. */
  ask(node: string, holds: boolean, now: number): number;
  /** `owes`: it holds addresses and must ask. */
  alive(node: string, owes: boolean, now: number): boolean;
  lapsed(node: string, now: number): boolean;
  isConnected(node: string): boolean;
  /** Whatever others allowed before we led has run out. */
  certain(now: number): boolean;
}

interface State {
  connected: boolean;
  granted: number | undefined;
  /** Since when it should have asked. */
  owesSince: number | undefined;
  /** When we gave up on it; until it says something again. */
  suspect: boolean;
}

export function createL2Fence(config: L2FenceConfig, since: number): L2Fence {
  const nodes = new Map<string, State>();
  const span = config.validMs + config.marginMs;
  const stateOf = (node: string): State => {
    const s = nodes.get(node) ?? { connected: false, granted: undefined, owesSince: undefined, suspect: false };
    nodes.set(node, s);
    return s;
  };
  const certain = (now: number): boolean => now - since > span;
  const lapsed = (node: string, now: number): boolean => {
    const s = nodes.get(node);
    // not heard yet: it may be on its way, and it has what nobody else has
    if (s === undefined) return now - since > Math.max(span, config.findMs);
    return certain(now) && now - (s.granted ?? Number.NEGATIVE_INFINITY) > span;
  };
  /** Streams that ended while it was allowed: the next answer needs proof. */
  const broken = new Set<string>();
  return {
    certain,
    lapsed,
    isConnected: (node) => nodes.get(node)?.connected ?? false,
    sign(node) {
      stateOf(node).suspect = false;
    },
    connected(node) {
      Object.assign(stateOf(node), { connected: true, suspect: false, owesSince: undefined });
      broken.add(node);
    },
    disconnected(node) {
      Object.assign(stateOf(node), { connected: false, owesSince: undefined });
      broken.add(node);
    },
    ask(node, holds, now) {
      const s = stateOf(node);
      s.suspect = false;
      const chained = s.granted !== undefined && now - s.granted <= config.validMs && !broken.has(node);
      if (!s.connected || !(chained || holds)) return 0;
      broken.delete(node);
      s.granted = now;
      s.owesSince = now;
      return config.validMs;
    },
    alive(node, owes, now) {
      const s = nodes.get(node);
      if (s === undefined || !s.connected || s.suspect) return false;
      if (!owes) {
        s.owesSince = undefined;
        return true;
      }
      s.owesSince ??= now;
      if (now - s.owesSince > span) s.suspect = true;
      return !s.suspect;
    },
  };
}
