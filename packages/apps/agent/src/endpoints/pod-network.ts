// The pod's side of the network: a veth pair into its namespace, addresses, routes. Synchronous; the namespace is entered and left in one
// go. Called by the endpoint manager.
import { closeSync, existsSync, statSync } from 'node:fs';
import { netnsCookie } from '@axoneme/bpf';
import {
  addAddress,
  createVeth,
  deleteLink,
  deleteLinkGroup,
  getLink,
  inNetns,
  type Link,
  listAddresses,
  NetlinkSocket,
  openNetns,
  setLink,
  setRoute,
  tolerate,
  writeSysctl,
} from '@axoneme/netlink';
import { AppError, hash64, invariant } from '@axoneme/std';
import { expedited } from '../datapath/expedite.ts';

export interface PodLinkSpec {
  readonly hostIfname: string;
  readonly ifname: string;
  readonly netns: string;
  readonly mac: string;
  readonly hostMac: string;
  readonly mtu: number;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly router4: string;
  readonly router6: string;
  /** Shown by `ip link`, for people. */
  readonly alias: string;
}

/** Name of the host side: stable for one attachment, at most 15 characters. */
export const hostIfnameOf = (containerId: string, ifname: string): string =>
  `axo${hash64(containerId, '/', ifname).toString(16).padStart(16, '0').slice(0, 11)}`;

/** A locally administered unicast address made of a name. */
export function macOf(...name: readonly string[]): string {
  const b = Buffer.alloc(8);
  b.writeBigUInt64LE(hash64(...name));
  b[0] = ((b[0] as number) & 0xfc) | 2;
  return [...b.subarray(0, 6)].map((x) => x.toString(16).padStart(2, '0')).join(':');
}

export const netnsExists = (path: string): boolean => path !== '' && existsSync(path);

/** A namespace file whose namespace is gone is an ordinary empty file. */
export function sameNetns(a: string, b: string): boolean {
  try {
    return statSync(a).ino === statSync(b).ino;
  } catch {
    return false;
  }
}

export interface NetnsCookies {
  /** 0 if the namespace is gone. */
  of(e: { readonly id: number; readonly netns: string }): bigint;
  /** Returns what it was, 0 if it was never asked for. */
  forget(e: { readonly id: number }): bigint;
}

/** Cookies of namespaces: asked of each once. */
export function createNetnsCookies(): NetnsCookies {
  const known = new Map<number, bigint>();
  const ask = (path: string): bigint => {
    try {
      return inNetns(path, netnsCookie);
    } catch {
      return 0n;
    }
  };
  return {
    of(e) {
      const cookie = known.get(e.id) ?? ask(e.netns);
      if (cookie !== 0n) known.set(e.id, cookie);
      return cookie;
    },
    forget(e) {
      const cookie = known.get(e.id) ?? 0n;
      known.delete(e.id);
      return cookie;
    },
  };
}

const families = (s: PodLinkSpec): { readonly address: string; readonly router: string; readonly bits: number; readonly all: string }[] =>
  [
    { address: s.ipv4, router: s.router4, bits: 32, all: '0.0.0.0/0' },
    { address: s.ipv6, router: s.router6, bits: 128, all: '::/0' },
  ].filter((f) => f.address !== '');

/** Inside the pod's namespace. */
function configureInside(s: PodLinkSpec): void {
  const socket = new NetlinkSocket();
  try {
    const link = getLink(socket, s.ifname);
    invariant(link !== undefined, 'the pod side of a pair that was just made is there');
    const sysctl = (name: string, value: number): void => {
      writeSysctl(['net', 'ipv6', 'conf', s.ifname, name], value);
    };
    if (s.ipv6 !== '') {
      sysctl('disable_ipv6', 0);
      sysctl('accept_ra', 0);
      sysctl('accept_dad', 0);
    }
    socket.execute([
      setLink('lo', { up: true }),
      ...families(s).map((f) => addAddress({ ifindex: link.ifindex, address: `${f.address}/${f.bits}` })),
      setLink(link.ifindex, { up: true }),
      ...families(s).flatMap((f) => [
        setRoute({ to: `${f.router}/${f.bits}`, ifindex: link.ifindex, scope: 'link' }),
        setRoute({ to: f.all, ifindex: link.ifindex, via: f.router, src: f.address }),
      ]),
    ]);
  } finally {
    socket.close();
  }
}

/** Makes the pair; the host side stays down. A pair of the same name is replaced. */
export function createPodLink(socket: NetlinkSocket, s: PodLinkSpec): Link {
  const netnsFd = openNetns(s.netns);
  try {
    if (getLink(socket, s.hostIfname)) socket.execute([tolerate(deleteLink(s.hostIfname), 'ENODEV')]);
    socket.execute([createVeth({ name: s.hostIfname, mac: s.hostMac, mtu: s.mtu }, { name: s.ifname, mac: s.mac, mtu: s.mtu, netnsFd })]);
    const host = getLink(socket, s.hostIfname);
    if (!host) throw new AppError({ code: 'agent/pod-link', message: `${s.hostIfname} went away while it was made`, retry: 'later' });
    return host;
  } finally {
    closeSync(netnsFd);
  }
}

/** Addresses and routes of the pod, then both sides up. */
export function startPodLink(socket: NetlinkSocket, s: PodLinkSpec, host: Link): void {
  socket.execute([setLink(host.ifindex, { up: true, alias: s.alias })]);
  inNetns(s.netns, () => configureInside(s));
}

export function removePodLink(socket: NetlinkSocket, hostIfname: string): void {
  if (getLink(socket, hostIfname)) socket.execute([tolerate(deleteLink(hostIfname), 'ENODEV')]);
}

/** Marks devices that are about to be deleted together. */
const doomed = 0x61786f;

export interface Unlinker {
  /** Resolves when the device is gone; those asked for in the same moment go in one sweep. */
  remove(hostIfname: string): Promise<void>;
}

export function createUnlinker(socket: NetlinkSocket): Unlinker {
  let waiting: string[] = [];
  let sweep: Promise<void> | undefined;
  const run = (): void => {
    const names = waiting.filter((n) => getLink(socket, n) !== undefined);
    waiting = [];
    sweep = undefined;
    if (names.length === 0) return;
    socket.tryExecute(names.map((n) => setLink(n, { up: false, group: doomed })));
    expedited(() => socket.execute([tolerate(deleteLinkGroup(doomed), 'ENODEV')]));
  };
  return {
    remove(hostIfname) {
      waiting.push(hostIfname);
      sweep ??= new Promise((resolve) => setTimeout(resolve, 2)).then(run);
      return sweep;
    },
  };
}

/** Why the pod's side is not as it should be, or undefined. */
export function inspectPodLink(s: Pick<PodLinkSpec, 'netns' | 'ifname' | 'mac' | 'ipv4' | 'ipv6'>): string | undefined {
  return inNetns(s.netns, () => {
    const socket = new NetlinkSocket();
    try {
      const link = getLink(socket, s.ifname);
      if (!link) return `the pod has no interface ${s.ifname}`;
      if (!link.up) return `interface ${s.ifname} of the pod is down`;
      if (link.mac !== s.mac) return `interface ${s.ifname} of the pod has MAC ${link.mac} instead of ${s.mac}`;
      const have = new Set(listAddresses(socket, link.ifindex).map((a) => a.address));
      const missing = [s.ipv4, s.ipv6].find((a) => a !== '' && !have.has(a));
      return missing && `interface ${s.ifname} of the pod has no address ${missing}`;
    } finally {
      socket.close();
    }
  });
}
