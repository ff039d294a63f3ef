// ADD requests straight at an agent's socket, all in the same moment: what a kubelet with no limit of its own would do.
// The pods are network namespaces that nobody else knows. Called by the cluster bench.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { AppError } from '@axoneme/std';
import { type BenchNode, type Cluster, until } from './cluster.ts';
import { cpuMsOf, netnsOf } from './processes.ts';

export interface Burst {
  /** From the moment all requests were written to each one's answer. */
  readonly answersMs: readonly number[];
  readonly cpuMsEach: number;
}

const START_TIMEOUT_MS = 30_000;

/** Through the node's own file system; `/var/run` would lead back to ours, it is an absolute link. */
const socketOf = (node: BenchNode): string => `/proc/${node.holderPid}/root/run/axoneme/agent.sock`;

const ask = (node: BenchNode, command: 'ADD' | 'DEL', pid: number): Promise<number> =>
  new Promise((resolve, reject) => {
    const socket = connect(socketOf(node));
    socket.on('error', reject);
    const conf = { cniVersion: '1.1.0', name: 'axoneme', type: 'axoneme-cni' };
    const request = { command, containerId: `burst${pid}`, netns: `/proc/${pid}/ns/net`, ifname: 'eth0', args: '', conf };
    const begin = performance.now();
    socket.write(`${JSON.stringify(request)}\n`);
    const lines = createInterface(socket);
    lines.on('error', reject); // it repeats the socket's
    lines.once('line', (line) => {
      const took = performance.now() - begin;
      socket.end();
      const { error } = JSON.parse(line) as { readonly error?: { readonly msg: string } };
      if (error === undefined) resolve(took);
      else reject(new AppError({ code: 'bench/cni', message: `${command}: ${error.msg}` }));
    });
  });

/** A process that does nothing in a network namespace of its own. */
async function startPod(): Promise<ChildProcess> {
  const child = spawn('unshare', ['-n', 'sleep', '600'], { stdio: 'ignore' });
  const own = readlinkSync('/proc/self/ns/net');
  await until('a network namespace', START_TIMEOUT_MS, 5, async () => (['', own].includes(netnsOf(child.pid ?? 0)) ? undefined : true));
  return child;
}

export async function measureBurst(c: Cluster, count: number): Promise<Burst> {
  const node = c.nodes[0]!;
  const agent = c.agentPid(node);
  const pods = await Promise.all(Array.from({ length: count }, startPod));
  try {
    const cpuBefore = cpuMsOf(agent);
    const answersMs = await Promise.all(pods.map((p) => ask(node, 'ADD', p.pid ?? 0)));
    const cpuMsEach = (cpuMsOf(agent) - cpuBefore) / count;
    await Promise.all(pods.map((p) => ask(node, 'DEL', p.pid ?? 0)));
    return { answersMs, cpuMsEach };
  } finally {
    await Promise.all(
      pods.map(async (p) => {
        p.kill('SIGKILL');
        if (p.exitCode === null && p.signalCode === null) await once(p, 'exit');
      }),
    );
  }
}
