// Three ways from pod to pod on one node: the kernel's routing, a program that only redirects, and ours with policy and events.

import { attachTcx, type BpfLink } from '@axoneme/bpf';
import { addressKey, dirPlen, ipcacheKeyOf, macBytes, precedence, type Row, SubjectFlag, Verdict } from '@axoneme/datapath';
import { type Cidr, type IpAddr, ipBytes } from '@axoneme/model';
import { deleteNetns, inNetns, setNeighbour, setRoute, writeSysctl } from '@axoneme/netlink';
import { createEnd, type End } from '../end.ts';
import { openWorld, type World } from '../world.ts';

export type PlaceKind = 'routing' | 'redirect_peer' | 'axoneme';

export interface Place {
  readonly kind: PlaceKind;
  readonly client: string;
  readonly server: string;
  readonly serverIp: string;
  readonly world: World;
  close(): void;
}

const GATEWAY = '10.0.1.254';
const POLICY_PORTS = 16; // rows on each side besides the allowing one

export function createPlace(kind: PlaceKind): Place {
  const world = openWorld({ routing: [], redirect_peer: ['floor'], axoneme: ['pod'] }[kind]);
  const end = (n: number): End => createEnd(world, { name: 'lxc', n, ip: `10.0.1.${n}`, gateway: GATEWAY });
  const ends = [end(1), end(2)] as const;
  const links: BpfLink[] = [];
  inNetns(world.netns, () => {
    for (const key of ['ip_forward']) writeSysctl(['net', 'ipv4', key], 1);
    for (const name of ['all', ends[0].link.name, ends[1].link.name]) writeSysctl(['net', 'ipv4', 'conf', name, 'rp_filter'], 0);
  });
  world.socket.execute(
    ends.flatMap((e) => [
      setRoute({ to: `${e.ip}/32`, ifindex: e.link.ifindex }),
      setNeighbour({ ifindex: e.link.ifindex, address: e.ip, mac: e.mac }),
    ]),
  );
  if (kind !== 'routing') fillEndpoints(world, ends);
  if (kind === 'axoneme') fillPolicy(world, ends);
  inNetns(world.netns, () => {
    for (const e of ends) {
      if (kind === 'redirect_peer') links.push(attachTcx(world.program('floor_peer'), e.link.ifindex, 'ingress'));
      if (kind === 'axoneme') {
        links.push(attachTcx(world.program('from_pod'), e.link.ifindex, 'ingress'));
        links.push(attachTcx(world.program('to_pod'), e.link.ifindex, 'egress'));
      }
    }
  });
  return {
    kind,
    world,
    client: ends[0].netns,
    server: ends[1].netns,
    serverIp: ends[1].ip,
    close() {
      for (const l of links) l.close();
      for (const e of ends) deleteNetns(e.netns);
      world.close();
    },
  };
}

const identityOf = (e: End): number => 10_000 + Number(e.ip.at(-1));

function fillEndpoints(world: World, ends: readonly End[]): void {
  const value = (e: End) => ({
    ifindex: e.link.ifindex,
    identity: identityOf(e),
    id: 1,
    flags: 0,
    mac: macBytes(e.mac),
    hostMac: macBytes(e.hostMac),
  });
  world.write(
    'endpoint',
    ends.map((e): Row<'endpoint'> => [addressKey(e.ip as IpAddr), value(e)]),
  );
}

/** Default deny on both ends, the measured ports allowed from the other end, some rows more to search among. */
function fillPolicy(world: World, ends: readonly End[]): void {
  world.write(
    'endpoint_if',
    ends.map((e): Row<'endpoint_if'> => {
      const own = { identity: identityOf(e), id: 1, flags: 0, mac: macBytes(e.mac), hostMac: macBytes(e.hostMac) };
      return [{ ifindex: e.link.ifindex }, { ...own, ip4: ipBytes(e.ip as IpAddr).subarray(0, 4), ip6: new Uint8Array(16) }];
    }),
  );
  const none = new Uint8Array(16);
  world.write('ipcache', [[ipcacheKeyOf('10.0.1.0/24' as Cidr), { identity: 99, tunnelFamily: 0, flags: 0, tunnel: none }]]);
  const config = { nodeIp4: Uint8Array.of(172, 16, 0, 1), routerIp4: Uint8Array.of(10, 0, 1, 254), nodeIp6: none, routerIp6: none };
  const zero = {
    ifindexVxlan: 0,
    ifindexHost: 0,
    ifindexNet: 0,
    ifindexNetdev: 0,
    flags: 0,
    vxlanPort: 8472,
    snatMin: 32_768,
    snatMax: 60_999,
    nodePortMin: 30_000,
    nodePortMax: 32_767,
    pathMtu: 0,
    netnsCookie: 0n,
  };
  const macs = { macHost: new Uint8Array(6), macNet: new Uint8Array(6) };
  world.write('node_config', [[0, { ...config, ...zero, ...macs, eventSample: 0, dropSample: 0 }]]);
  for (const e of ends) {
    const handle = BigInt(identityOf(e));
    const peer = identityOf(ends.find((x) => x !== e)!);
    const allow = { precedence: precedence('allow'), ruleId: 1, proxyPort: 0, verdict: Verdict.allow, flags: 0 };
    const rows: Row<'policy'>[] = (['ingress', 'egress'] as const).flatMap((d) => [
      [{ handle, peer, proto: 6, dirPlen: dirPlen(d, 1), port: 0 }, allow] as const,
      ...Array.from(
        { length: POLICY_PORTS },
        (_, i): Row<'policy'> => [{ handle, peer: 30_000 + i, proto: 6, dirPlen: dirPlen(d, 16), port: 80 + i }, allow],
      ),
    ]);
    world.write('policy', rows);
    const mask = (1 << 1) | (1 << 16);
    const flags = SubjectFlag.denyIngress | SubjectFlag.denyEgress;
    world.write('subject', [
      [
        { identity: identityOf(e), layer: 0 },
        { handle, denyRule: [0, 0], peerMask: [mask, mask], anyMask: [0, 0], flags },
      ],
    ]);
  }
  world.bumpGeneration();
}
