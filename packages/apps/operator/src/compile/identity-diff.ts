// Identities with their labels and the port names of their pods, and which of them changed. Called by the policy part.
import { type IdentityId, type NamedPort, parsePort, parsePortProtocol } from '@axoneme/model';
import type { PolicyIdentity } from '@axoneme/policy';
import type { Dirty, Tables } from '../world/world.ts';
import type { PlacedPod, PodChange } from './pod-part.ts';
import { labelsOfIdentity } from './pods.ts';

function namedPortsOf(pod: PlacedPod): NamedPort[] {
  return pod.view.row.namedPorts.flatMap((p) => {
    const port = parsePort(p.port);
    const protocol = parsePortProtocol(p.protocol);
    return port.ok && protocol.ok ? [{ name: p.name.toLowerCase(), port: port.value, protocol: protocol.value }] : [];
  });
}

const portText = (p: NamedPort): string => `${p.name}/${p.protocol}/${p.port}`;

export interface IdentityChanges {
  readonly changed: readonly PolicyIdentity[];
  readonly removed: readonly IdentityId[];
}

interface Uses {
  readonly port: NamedPort;
  readonly count: number;
}

/** Named ports of all pods of each identity, counted. Returns the identities whose ports changed. */
function createPorts() {
  const byIdentity = new Map<number, Map<string, Uses>>();
  const count = (pod: PlacedPod | undefined, delta: 1 | -1, touched: Set<number>): void => {
    if (pod === undefined || pod.identity === 0) return;
    for (const port of namedPortsOf(pod)) {
      const own = byIdentity.get(pod.identity) ?? new Map<string, Uses>();
      byIdentity.set(pod.identity, own);
      const text = portText(port);
      const before = own.get(text)?.count ?? 0;
      if (before + delta === 0) own.delete(text);
      else own.set(text, { port, count: before + delta });
      if (own.size === 0) byIdentity.delete(pod.identity);
      if (before === 0 || before + delta === 0) touched.add(pod.identity);
    }
  };
  return {
    take(changes: ReadonlyMap<string, PodChange>): Set<number> {
      const touched = new Set<number>();
      for (const { after } of changes.values()) count(after, 1, touched);
      for (const { before } of changes.values()) count(before, -1, touched);
      return touched;
    },
    of: (id: number): NamedPort[] => [...(byIdentity.get(id)?.values() ?? [])].map((u) => u.port),
  };
}

export type IdentityDiff = (tables: Tables, dirty: Dirty, pods: ReadonlyMap<string, PodChange>) => IdentityChanges;

export function createIdentityDiff(): IdentityDiff {
  const known = new Set<number>();
  const ports = createPorts();
  return (tables, dirty, pods) => {
    const touched = ports.take(pods);
    for (const key of dirty.get('identities') ?? []) touched.add(Number(key));
    const changed: PolicyIdentity[] = [];
    const removed: IdentityId[] = [];
    for (const n of touched) {
      const row = tables.identities.get(String(n));
      const id = n as IdentityId;
      if (row === undefined) {
        if (known.delete(n)) removed.push(id);
        continue;
      }
      known.add(n);
      const own = ports.of(n);
      changed.push({ id, labels: labelsOfIdentity(row), ...(own.length === 0 ? {} : { namedPorts: own }) });
    }
    return { changed, removed };
  };
}
