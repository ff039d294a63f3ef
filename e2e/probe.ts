// Questions to the network from inside pods, asked with e2e/native/probe.c. Used by the suites of protocols and pods.
import path from 'node:path';
import { type Fixture, type PodInfo, root } from './fixture.ts';

const tool = path.join(root, 'e2e/native/build/probe');

export interface ProbeResult {
  readonly ok: boolean;
  readonly error?: string;
  readonly bytes?: number;
  readonly received?: number;
  readonly sent?: number;
  readonly firstMs?: number;
  readonly lastMs?: number;
}

export async function probe(f: Fixture, from: PodInfo, ...args: readonly (string | number)[]): Promise<ProbeResult> {
  return JSON.parse(await f.kubectl('exec', '-n', from.namespace, from.name, '--', tool, ...args.map(String))) as ProbeResult;
}

/** A server of the tool in a pod, which ends by itself; resolves when it has been started. */
export function serveInPod(f: Fixture, pod: PodInfo, ...args: readonly (string | number)[]): Promise<string> {
  const command = `"$@" >/dev/null 2>&1 &`;
  return f.kubectl('exec', '-n', pod.namespace, pod.name, '--', 'sh', '-c', command, 'sh', tool, ...args.map(String));
}

/** Same node or other node, and family: how results are named. */
export const pathName = (from: PodInfo, to: PodInfo, ip: string): string =>
  `${from.node === to.node ? 'same' : 'other'} v${ip.includes(':') ? 6 : 4}`;
