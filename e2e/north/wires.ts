// The sandbox's wires as XDP programs expect them: real devices take what a program sends, and what they hand to a program has checksums.
import path from 'node:path';
import { AppError } from '@axoneme/std';
import { type Fixture, root } from '../fixture.ts';

const tool = path.join(root, 'e2e/native/build/veth');

/** Links of the network between the nodes: `n0` leads to the first node. */
export async function prepareForXdp(f: Fixture): Promise<void> {
  const { sandbox } = f;
  const done = [sandbox.fabricExec('worldPid', [tool, 'complete', 'eth0'])];
  for (const [i, n] of sandbox.nodes.entries())
    done.push(sandbox.fabricExec('routerPid', [tool, 'take', `n${i}`]), sandbox.nodeExec(n.name, [tool, 'complete', 'eth0']));
  for (const r of await Promise.all(done)) if (r.code !== 0) throw new AppError({ code: 'e2e/veth', message: r.stderr.trim() });
}
