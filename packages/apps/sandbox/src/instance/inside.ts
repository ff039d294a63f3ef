// Programs inside of a sandbox that is up: in a node, in the world outside the cluster, in the router between. Routes of the world to
// addresses that no node has by itself. Part of the handle that `up` hands out.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { AppError } from '@axoneme/std';
import { WORLD } from '../nodes/addresses.ts';
import { type RunOptions, type RunResult, run } from '../nodes/run.ts';
import type { FabricRecord, SandboxState } from './state.ts';

export interface Inside {
  /** Runs a program in all namespaces of a node and in its cgroup: what the node's programs see of Services it sees too. */
  nodeExec(node: string, argv: readonly string[], opts?: RunOptions): Promise<RunResult>;
  /** As nodeExec, but it keeps running; the caller ends it. */
  nodeStart(node: string, argv: readonly string[]): ChildProcess;
  /** Runs a program in the network of what lies outside the cluster, or of the router between it and the nodes. */
  fabricExec(where: keyof FabricRecord, argv: readonly string[], opts?: RunOptions): Promise<RunResult>;
  fabricStart(where: keyof FabricRecord, argv: readonly string[]): ChildProcess;
  /** Sends what the world says to this address or prefix to these nodes; several share it by the hash of addresses and ports. None: nowhere. */
  route(prefix: string, nodes: readonly string[]): Promise<void>;
}

const HASH_OF_PORTS = ['net.ipv4.fib_multipath_hash_policy=1', 'net.ipv6.fib_multipath_hash_policy=1'];

export function insideOf(state: SandboxState): Inside {
  const nodeOf = (name: string): SandboxState['nodes'][number] => {
    const n = state.nodes.find((x) => x.name === name);
    if (n === undefined) throw new AppError({ code: 'sandbox/no-node', message: `no node is called ${name}` });
    return n;
  };
  const inNode = (node: string, argv: readonly string[]): [string, string[]] => {
    const { holderPid } = nodeOf(node);
    const enter = ['cgroup', join(state.cgroup, node, 'system'), 'joinpid', String(holderPid), 'nmu', 'chdir', '/'];
    return [state.sbx ?? '', [...enter, 'exec', ...argv]];
  };
  const inFabric = (where: keyof FabricRecord, argv: readonly string[]): [string, string[]] => [
    'nsenter',
    ['-t', String(state.fabric?.[where] ?? 0), '-n', '--', ...argv],
  ];
  const mustIn = async (where: keyof FabricRecord, argv: readonly string[]): Promise<void> => {
    const r = await run(...inFabric(where, argv));
    if (r.code !== 0) throw new AppError({ code: 'sandbox/route', message: `${argv.join(' ')}: ${r.stderr.trim()}` });
  };
  return {
    nodeExec: async (node, argv, o) => run(...inNode(node, argv), o),
    nodeStart: (node, argv) => spawn(...inNode(node, argv)),
    fabricExec: (where, argv, o) => run(...inFabric(where, argv), o),
    fabricStart: (where, argv) => spawn(...inFabric(where, argv)),
    async route(prefix, nodes) {
      const six = prefix.includes(':');
      const ip = ['ip', six ? '-6' : '-4', 'route'];
      if (nodes.length === 0) {
        await run(...inFabric('worldPid', [...ip, 'del', prefix]));
        await run(...inFabric('routerPid', [...ip, 'del', prefix]));
        return;
      }
      const hops = nodes.map(nodeOf).flatMap((n) => ['nexthop', 'via', six ? n.ipv6 : n.ipv4]);
      await mustIn('routerPid', ['sysctl', '-qw', ...HASH_OF_PORTS]);
      await mustIn('routerPid', [...ip, 'replace', prefix, ...hops]);
      await mustIn('worldPid', [...ip, 'replace', prefix, 'via', six ? WORLD.gatewayV6 : WORLD.gatewayV4]);
    },
  };
}
