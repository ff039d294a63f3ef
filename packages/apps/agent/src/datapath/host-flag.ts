// Keeps the flag `host policy` of `node_config` equal to whether the node is a subject: row {identity 1, layer 0} of table `subject`. The flag
// spares every packet of an unpoliced node a look-up. Whoever writes the row (a commit, its undoing, a repair) goes through here.
import type { BpfMap } from '@axoneme/bpf';
import { NodeFlag, nodeConfig, subjectKey } from '@axoneme/datapath';
import type { Table } from '../ports/tables.ts';

const hostKey = Buffer.from(subjectKey.encode({ identity: 1, layer: 0 }));
const configKey = Buffer.alloc(4);

const contains = (keys: Buffer, key: Buffer): boolean => {
  for (let at = 0; at + key.length <= keys.length; at += key.length) {
    if (key.compare(keys, at, at + key.length) === 0) return true;
  }
  return false;
};

export const hostEnforced = (subject: BpfMap): boolean => subject.lookup(hostKey) !== undefined;

/** `subject` whose writes are followed by the flag. */
export function followHost(table: Table, subject: BpfMap, config: BpfMap): Table {
  const follow = (keys: Buffer): void => {
    if (!contains(keys, hostKey)) return;
    const row = config.lookup(configKey);
    if (row === undefined) return;
    const now = nodeConfig.decode(row);
    const flags = hostEnforced(subject) ? now.flags | NodeFlag.hostPolicy : now.flags & ~NodeFlag.hostPolicy;
    if (flags !== now.flags) config.update(configKey, Buffer.from(nodeConfig.encode({ ...now, flags })));
  };
  return {
    ...table,
    put(keys, values) {
      table.put(keys, values);
      follow(keys);
    },
    remove(keys) {
      table.remove(keys);
      follow(keys);
    },
  };
}
