// How many flows each backend has, from the translation tables of the kernel. Called by the balancer when somebody asks.
import type { BpfMap } from '@axoneme/bpf';
import { NatFlag, natValue } from '@axoneme/datapath';

/** By backend id: rows from the client's side that are not over. Rows the kernel has not thrown out yet count too. */
export function countFlows(maps: readonly BpfMap[]): ReadonlyMap<number, number> {
  const found = new Map<number, number>();
  for (const map of maps) {
    for (const { values, count } of map.dumpChunks()) {
      for (let row = 0; row < count; row++) {
        const v = natValue.decode(values, row * map.valueSize);
        if ((v.flags & (NatFlag.reply | NatFlag.closing)) === 0 && v.backendId !== 0)
          found.set(v.backendId, (found.get(v.backendId) ?? 0) + 1);
      }
    }
  }
  return found;
}
