// Takes a stopped balancer off a machine: programs, maps, devices. Called by the app `balancer` when somebody says so; never by an agent.
import { rmSync } from 'node:fs';
import { detachClsact, hasTcx, pinnedLink, unpin } from '@axoneme/bpf';
import { deleteLink, listLinks, NetlinkSocket, tolerate } from '@axoneme/netlink';
import { hostName } from '../datapath/network.ts';
import { namesIn } from '../store/errno.ts';

/** What was found and is gone; empty when there was nothing. */
export function removeBalancer(config: {
  readonly bpffs: string;
  readonly stateDir: string;
  readonly devices: readonly string[];
}): readonly string[] {
  const root = `${config.bpffs}/axoneme`;
  const gone: string[] = [];
  for (const pin of namesIn(`${root}/links`)) {
    const link = pinnedLink(`${root}/links/${pin}`);
    link?.detach();
    link?.close();
    unpin(`${root}/links/${pin}`);
    gone.push(`program ${pin}`);
  }
  const socket = new NetlinkSocket();
  try {
    for (const link of hasTcx() ? [] : listLinks(socket).filter((l) => config.devices.includes(l.name)))
      for (const direction of ['ingress', 'egress'] as const)
        if (detachClsact(link.ifindex, direction)) gone.push(`program ${link.name} ${direction}`);
    for (const link of listLinks(socket).filter((l) => l.name === hostName)) {
      socket.execute([tolerate(deleteLink(link.ifindex), 'ENODEV')]);
      gone.push(`device ${link.name}`);
    }
  } finally {
    socket.close();
  }
  for (const set of namesIn(`${root}/progs`)) {
    for (const p of namesIn(`${root}/progs/${set}`)) unpin(`${root}/progs/${set}/${p}`);
    gone.push(`objects ${set.slice(0, 12)}`);
  }
  for (const map of namesIn(`${root}/maps`)) unpin(`${root}/maps/${map}`);
  rmSync(root, { recursive: true, force: true });
  rmSync(`${config.stateDir}/store`, { recursive: true, force: true });
  return gone;
}
