// Keeps the tables `endpoint`, `endpoint_if` and `endpoint_netns` equal to the endpoints of this node. Called by the endpoint manager.
import { invariant } from '@axoneme/std';
import {
  type PodInterface,
  podAddressKeys,
  podAddressRows,
  podIfKey,
  podIfRow,
  podNetnsKey,
  podNetnsRows,
  type Row,
} from '../datapath/rows.ts';
import type { Table, Tables } from '../ports/tables.ts';

export interface EndpointRows {
  /** Rows of one pod; replaces older values. */
  put(p: PodInterface): void;
  remove(p: Pick<PodInterface, 'ipv4' | 'ipv6' | 'ifindex' | 'netnsCookie'>): void;
  /** Same rows in both tables as these pods and `others` need, changing only differences. Returns how many were changed. */
  reconcile(pods: readonly PodInterface[], others: readonly Row[]): number;
  has(p: PodInterface): boolean;
}

const concat = (rows: readonly Row[], of: (r: Row) => Buffer): Buffer => Buffer.concat(rows.map(of));

function reconcileTable(t: Table, wanted: readonly Row[]): number {
  const want = new Map(wanted.map((r) => [r.key.toString('latin1'), r]));
  const { keys, values } = t.dump();
  const stale: Buffer[] = [];
  for (let i = 0; i * t.keySize < keys.length; i++) {
    const key = keys.subarray(i * t.keySize, (i + 1) * t.keySize);
    const row = want.get(key.toString('latin1'));
    if (!row) stale.push(key);
    else if (row.value.equals(values.subarray(i * t.valueSize, (i + 1) * t.valueSize))) want.delete(key.toString('latin1'));
  }
  const rest = [...want.values()];
  t.put(
    concat(rest, (r) => r.key),
    concat(rest, (r) => r.value),
  );
  t.remove(Buffer.concat(stale));
  return rest.length + stale.length;
}

export function createEndpointRows(tables: Tables): EndpointRows {
  const table = (name: string): Table => {
    const t = tables.get(name);
    invariant(t !== undefined, `the datapath has table ${name}`);
    return t;
  };
  const write = (t: Table, rows: readonly Row[]): void =>
    t.put(
      concat(rows, (r) => r.key),
      concat(rows, (r) => r.value),
    );
  return {
    put(p) {
      // who a device is must be known before anything is sent to its address
      write(table('endpoint_if'), [podIfRow(p)]);
      write(table('endpoint_netns'), podNetnsRows(p));
      write(table('endpoint'), podAddressRows(p));
      tables.bumpGeneration();
    },
    remove(p) {
      table('endpoint').remove(Buffer.concat(podAddressKeys(p)));
      if (p.ifindex > 0) table('endpoint_if').remove(podIfKey(p.ifindex));
      if (p.netnsCookie !== 0n) table('endpoint_netns').remove(podNetnsKey(p.netnsCookie));
      tables.bumpGeneration();
    },
    reconcile(pods, others) {
      const changed =
        reconcileTable(table('endpoint_if'), pods.map(podIfRow)) +
        reconcileTable(table('endpoint_netns'), pods.flatMap(podNetnsRows)) +
        reconcileTable(table('endpoint'), [...pods.flatMap(podAddressRows), ...others]);
      if (changed > 0) tables.bumpGeneration();
      return changed;
    },
    has(p) {
      const { keys, values } = table('endpoint').dump();
      const t = table('endpoint');
      const rows = new Map<string, string>();
      for (let i = 0; i * t.keySize < keys.length; i++) {
        rows.set(
          keys.toString('latin1', i * t.keySize, (i + 1) * t.keySize),
          values.toString('latin1', i * t.valueSize, (i + 1) * t.valueSize),
        );
      }
      return podAddressRows(p).every((r) => rows.get(r.key.toString('latin1')) === r.value.toString('latin1'));
    },
  };
}
