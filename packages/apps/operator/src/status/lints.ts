// Warnings that depend on the cluster: a policy, a peer or a port name that means nobody, a rule that can never decide.
// Asked by the status writer and the admin service; costs what it looks at, so results are kept until somebody asks to look again.
import type { PeerSelector, PolicyReport, RuleOrigin } from '@axoneme/policy';
import type { Compiled } from '../compile/compiler.ts';
import type { PolicyVerdict } from './policy-status.ts';

export interface Linter {
  /** As of the last look. */
  held(key: string): readonly string[];
  /** Looks again; true if something is different. */
  look(key: string, v: PolicyVerdict): boolean;
  forget(key: string): void;
}

/** Of each sort; more would not fit into a status anyway. */
const LISTED_MAX = 5;
const TEXT_MAX = 120;
const nothing: readonly string[] = [];

const cut = (s: string): string => (s.length <= TEXT_MAX ? s : `${s.slice(0, TEXT_MAX - 1)}…`);

function pathOf(o: RuleOrigin | undefined): string {
  if (o === undefined) return 'spec';
  return `${o.list.startsWith('specs[') ? '' : 'spec.'}${o.list}[${o.index ?? 0}]`;
}

function peerWords(p: PeerSelector): string {
  if (p.kind !== 'labels' && p.kind !== 'nodes') return '';
  return `${p.kind === 'nodes' ? 'node' : 'pod'} (${cut(p.selector.text === '' ? '{}' : p.selector.text)})`;
}

function some(list: readonly string[], what: string): string[] {
  return list.length <= LISTED_MAX ? [...list] : [...list.slice(0, LISTED_MAX), `and ${list.length - LISTED_MAX} more ${what}`];
}

function lintsOf(v: PolicyVerdict, compiled: Compiled, report: PolicyReport): string[] {
  const peers = report.emptyPeers.map((e) => `${pathOf(compiled.origin(e.rule))}: the peer selects no ${peerWords(e.peer)}`);
  const covered = report.shadowed.map(
    (s) => `${pathOf(compiled.origin(s.rule))}: never decides, ${compiled.describeRule(s.by) ?? 'another rule'} stands above it`,
  );
  const ports = report.undefinedPorts.map((n) => `port name "${cut(n)}" is defined by no pod it could mean`);
  return [
    ...(v.nodes.length === 0 ? [`selects no ${v.onNodes ? 'node' : 'pod'}`] : []),
    ...some(peers, 'such peers'),
    ...some(ports, 'such names'),
    ...some(covered, 'such rules'),
  ];
}

export function createLinter(compiled: () => Compiled | undefined): Linter {
  const results = new Map<string, readonly string[]>();
  let pods: Compiled['pods'] | undefined;
  let identities: ReadonlySet<number> = new Set();
  /** An identity outlives its last pod for a while. */
  const inUse = (c: Compiled): ((id: number) => boolean) => {
    if (c.pods !== pods) {
      pods = c.pods;
      identities = new Set(pods.map((p) => p.identity));
    }
    return (id) => identities.has(id);
  };
  return {
    held: (key) => results.get(key) ?? nothing,
    forget: (key) => void results.delete(key),
    look(key, v) {
      const c = compiled();
      const report = c === undefined || v.problems.length > 0 ? undefined : c.report(key, inUse(c));
      const found = c === undefined || report === undefined ? nothing : lintsOf(v, c, report);
      const before = results.get(key) ?? nothing;
      if (found.length === 0) results.delete(key);
      else results.set(key, found);
      return found.join() !== before.join();
    },
  };
}
