// A pod's network namespace and its attachment to the cluster network. Host-network pods have neither.
import type { KubeObject } from '../apiserver/types.ts';
import { nameOf, nsOf, uidOf } from '../client/object.ts';
import { mustRun, run } from '../nodes/run.ts';
import type { CniAttachment } from './cni.ts';
import type { KubeletDeps } from './deps.ts';
import { podSpecOf } from './pod-types.ts';

export interface PodSandbox {
  readonly attachment: CniAttachment;
  readonly ips: readonly string[];
}

export function attachmentOf(pod: KubeObject): CniAttachment {
  const uid = uidOf(pod);
  const spec = podSpecOf(pod);
  return {
    containerId: uid.replaceAll('-', ''),
    netns: `/var/run/netns/cni-${uid}`,
    namespace: nsOf(pod),
    pod: nameOf(pod),
    uid,
    ports: spec.containers.flatMap((c) => c.ports ?? []),
  };
}

/** Enters the node's mount namespace only; the caller's network stays until told otherwise. */
const enterMounts = (d: KubeletDeps): string[] => ['cgroup', `${d.node.cgroup}/system`, 'joinpid', String(d.node.holder.pid), 'nmu'];

/** Makes the namespace and calls ADD. On failure nothing is left behind. */
export async function createPodSandbox(d: KubeletDeps, pod: KubeObject): Promise<PodSandbox> {
  const attachment = attachmentOf(pod);
  await mustRun('create network namespace', d.sbx, [
    ...enterMounts(d),
    'unshare',
    'n',
    'loup',
    'mkdir',
    '/run/netns',
    'pinnet',
    attachment.netns,
  ]);
  try {
    return { attachment, ips: await d.cni.add(attachment) };
  } catch (e) {
    // the specification asks for DEL after a failed ADD
    await d.cni.del(attachment).catch(() => undefined);
    await removeNamespace(d, attachment);
    throw e;
  }
}

async function removeNamespace(d: KubeletDeps, a: CniAttachment): Promise<void> {
  await run(d.sbx, [...enterMounts(d), 'umount', a.netns, 'unlink', a.netns]);
}

/** Calls DEL until it succeeds or `tries` are used up, then removes the namespace. */
export async function destroyPodSandbox(d: KubeletDeps, s: PodSandbox, tries = 5): Promise<void> {
  for (let i = 1; i <= tries; i++) {
    try {
      await d.cni.del(s.attachment);
      break;
    } catch (e) {
      d.log.warn('CNI DEL failed', { pod: s.attachment.pod, try: i, error: String(e) });
      await d.clock.sleep(200 * i);
    }
  }
  await removeNamespace(d, s.attachment);
}
