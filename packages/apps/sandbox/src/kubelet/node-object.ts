// The Node object of a sandbox node and its Ready condition.
import { cpus, release, totalmem } from 'node:os';
import type { KubeObject } from '../apiserver/types.ts';
import { nowIso } from '../client/object.ts';
import type { SandboxNode } from '../nodes/node.ts';
import type { Condition } from './pod-types.ts';

export const NODE_LABEL_HOSTNAME = 'kubernetes.io/hostname';
const PODS_MAX = 250;

export function nodeObject(node: SandboxNode, labels: Readonly<Record<string, string>>): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: node.name,
      labels: {
        [NODE_LABEL_HOSTNAME]: node.name,
        'kubernetes.io/os': 'linux',
        'kubernetes.io/arch': process.arch === 'x64' ? 'amd64' : process.arch,
        ...labels,
      },
    },
    spec: {},
  };
}

/** Ready follows the network: a node without CNI configuration takes no pods that need one. */
export function nodeStatus(
  node: SandboxNode,
  networkProblem: string | undefined,
  nowMs: number,
  previous: readonly Condition[],
  nameIsAddress: boolean,
): Record<string, unknown> {
  const ready = networkProblem === undefined;
  const status = ready ? 'True' : 'False';
  const old = previous.find((c) => c.type === 'Ready');
  const since = old?.status === status ? (old.lastTransitionTime ?? nowIso(nowMs)) : nowIso(nowMs);
  const memory = `${Math.floor(totalmem() / 1024)}Ki`;
  const amounts = { cpu: String(cpus().length), memory, pods: String(PODS_MAX), 'ephemeral-storage': '100Gi' };
  return {
    addresses: [
      { type: 'InternalIP', address: node.address.v4 },
      { type: 'InternalIP', address: node.address.v6 },
      ...(nameIsAddress ? [{ type: 'Hostname', address: node.name }] : []),
    ],
    capacity: amounts,
    allocatable: amounts,
    conditions: [
      {
        type: 'Ready',
        status,
        reason: ready ? 'KubeletReady' : 'KubeletNotReady',
        message:
          networkProblem === undefined ? 'kubelet is posting ready status' : `container runtime network not ready: ${networkProblem}`,
        lastHeartbeatTime: nowIso(nowMs),
        lastTransitionTime: since,
      },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: 10250 } },
    nodeInfo: {
      machineID: node.name,
      systemUUID: node.name,
      bootID: node.name,
      kernelVersion: release(),
      osImage: 'Axoneme sandbox',
      containerRuntimeVersion: 'sandbox://1.0',
      kubeletVersion: 'v1.36.0-sandbox',
      kubeProxyVersion: '',
      operatingSystem: 'linux',
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    },
  };
}
