// Identities with their labels and port names, and which of them changed. Called by the policy part.
import { type IdentityId, type NamedPort, parsePort, parsePortProtocol } from '@axoneme/model';
import type { PolicyIdentity } from '@axoneme/policy';
import type { Tables } from '../world/world.ts';
import type { PlacedPod } from './addresses.ts';
import { labelsOfIdentity } from './pods.ts';

function namedPortsOf(pod: PlacedPod): NamedPort[] {
  return pod.view.row.namedPorts.flatMap((p) => {
    const port = parsePort(p.port);
    const protocol = parsePortProtocol(p.protocol);
    return port.ok && protocol.ok ? [{ name: p.name.toLowerCase(), port: port.value, protocol: protocol.value }] : [];
  });
}

const portText = (p: NamedPort): string => `${p.name}/${p.protocol}/${p.port}`;

/** Named ports of all pods of each identity, by text. */
function portsByIdentity(pods: readonly PlacedPod[]): Map<number, Map<string, NamedPort>> {
  const out = new Map<number, Map<string, NamedPort>>();
  for (const pod of pods) {
    for (const n of namedPortsOf(pod)) {
      const own = out.get(pod.identity) ?? new Map<string, NamedPort>();
      out.set(pod.identity, own);
      own.set(portText(n), n);
    }
  }
  return out;
}

interface HeldIdentity {
  readonly row: unknown;
  readonly ports: string;
}

export interface IdentityChanges {
  readonly changed: readonly PolicyIdentity[];
  readonly removed: readonly IdentityId[];
}

export const noIdentityChanges: IdentityChanges = { changed: [], removed: [] };

/** Identities whose labels or port names differ from the call before, and those that are gone. */
export function createIdentityDiff(): (tables: Tables, pods: readonly PlacedPod[]) => IdentityChanges {
  let held = new Map<number, HeldIdentity>();
  return (tables, pods) => {
    const ports = portsByIdentity(pods);
    const next = new Map<number, HeldIdentity>();
    const changed: PolicyIdentity[] = [];
    for (const row of tables.identities.values()) {
      const own = ports.get(row.id);
      const text = own === undefined ? '' : [...own.keys()].sort().join();
      const old = held.get(row.id);
      next.set(row.id, { row, ports: text });
      if (old?.row === row && old.ports === text) continue;
      const id = row.id as IdentityId;
      changed.push({ id, labels: labelsOfIdentity(row), ...(own === undefined ? {} : { namedPorts: [...own.values()] }) });
    }
    const removed = [...held.keys()].filter((id) => !next.has(id)) as IdentityId[];
    held = next;
    return { changed, removed };
  };
}
