// How long other backends of a Service take to be in force: one Service, and a thousand at once. kube-proxy's tools are run as it runs them,
// with no more than the chains that change; ours are the rows of the same Services, encoded and written as a node applies a commit.

import { iptablesChange, nftablesChange, type VirtualService } from './kube-proxy.ts';
import { removeSlots, rowsOf, writeServices } from './rows.ts';
import { inNode, servicesFor, type Way } from './ways.ts';

/** The same Services with other ports behind them. */
const moved = (services: readonly VirtualService[], step: number): VirtualService[] =>
  services.map((s) => ({ ...s, targets: s.targets.map((t) => ({ ...t, port: t.port + 20_000 * (step % 2) })) }));

let generation = 1;

function apply(way: Way, before: readonly VirtualService[], after: readonly VirtualService[]): void {
  const { bed } = way;
  if (way.kind === 'iptables') inNode(bed, 'iptables-legacy-restore', ['-w', '--noflush'], iptablesChange(after));
  else if (way.kind === 'nftables') inNode(bed, 'nft', ['-f', '-'], nftablesChange(after));
  else {
    writeServices(bed.world, rowsOf(after));
    removeSlots(bed.world, rowsOf(before));
    bed.world.write('generation', [[1, ++generation]]);
  }
}

/** Milliseconds. `count` Services from the front: the measured one stays as it is. */
export function timeChange(way: Way, size: number, count: number, round: number): number {
  const { all } = servicesFor(size);
  const services = all.slice(0, count);
  const [before, after] = [moved(services, round), moved(services, round + 1)];
  const begin = performance.now();
  apply(way, before, after);
  return performance.now() - begin;
}
