// The state packets are judged in: two pods here, one elsewhere, ten thousand strangers, policy on both ends.
// The same numbers as in the measurements the budgets come from.
import { createHash } from 'node:crypto';
import {
  addressKey,
  dirPlen,
  ipcacheKeyOf,
  Layer,
  macBytes,
  NodeFlag,
  precedence,
  type Row,
  SubjectFlag,
  Verdict,
} from '@axoneme/datapath';
import { type Cidr, type IpAddr, ipBytes, ipFamily } from '@axoneme/model';
import { createVeth, createVxlan, getLink, setLink } from '@axoneme/netlink';
import { invariant } from '@axoneme/std';
import type { World } from '../world.ts';

export const IDENTITY = { a: 10_001, b: 10_002, c: 10_003, remoteNode: 6, denied: 10_004 } as const;
export const PORT = 80;
export const DENIED_PORT = 81;
const STRANGERS = 10_000;
const LOCAL_PODS = 112;

export interface Pod {
  readonly ip4: IpAddr;
  readonly ip6: IpAddr;
  readonly ifindex: number;
  readonly mac: string;
  readonly hostMac: string;
}

export interface Scene {
  readonly a: Pod;
  readonly b: Pod;
  /** On another node. */
  readonly c: Pick<Pod, 'ip4' | 'ip6'>;
  /** Every subject gets `n` rows a side, one of which allows the measured flow, and one more layer or lookup. */
  setPolicy(n: number, extra?: Extra): void;
  setEvents(on: boolean): void;
}

const ip = (text: string): IpAddr => text as IpAddr; // literals of this file
const cidrOf = (a: IpAddr): Cidr => `${a}/${ipFamily(a) === 4 ? 32 : 128}` as Cidr;

export function createScene(world: World): Scene {
  const [a, b] = (['1', '2'] as const).map((n) => createPod(world, n)) as [Pod, Pod];
  world.socket.execute([createVxlan({ name: 'axo_vxlan', external: true, up: true })]);
  const vxlan = getLink(world.socket, 'axo_vxlan');
  invariant(vxlan !== undefined, 'vxlan device');
  const c = { ip4: ip('10.0.2.5'), ip6: ip('fd00:2::5') };
  writeEndpoints(world, a, b);
  writeIpcache(world, a, b, c);
  const config = (on: boolean): Row<'node_config'> => [
    0,
    {
      nodeIp4: Uint8Array.of(172, 16, 0, 1),
      routerIp4: Uint8Array.of(10, 0, 1, 254),
      nodeIp6: ipBytes(ip('fd00:ffff::1')),
      routerIp6: ipBytes(ip('fd00:1::fe')),
      ifindexVxlan: vxlan.ifindex,
      ifindexHost: 0,
      ifindexNet: 0,
      ifindexNetdev: 0,
      macHost: new Uint8Array(6),
      macNet: new Uint8Array(6),
      flags: NodeFlag.tunnel | (on ? 0 : NodeFlag.noEvents),
      vxlanPort: 8472,
      snatMin: 32_768,
      snatMax: 60_999,
      nodePortMin: 30_000,
      nodePortMax: 32_767,
      pathMtu: 0,
      netnsCookie: 0n,
      eventSample: 0,
      dropSample: 0,
    },
  ];
  const scene: Scene = {
    a,
    b,
    c,
    setPolicy: (n, extra) => setPolicy(world, n, extra),
    setEvents: (on) => world.write('node_config', [config(on)]),
  };
  scene.setEvents(false);
  scene.setPolicy(1);
  writeClasses(world);
  return scene;
}

function createPod(world: World, n: '1' | '2'): Pod {
  const [mac, hostMac] = [`02:00:00:00:01:0${n}`, `02:00:00:00:02:0${n}`];
  world.socket.execute([
    createVeth({ name: `lxc${n}`, mac: hostMac, up: true }, { name: `pod${n}`, mac }),
    setLink(`pod${n}`, { up: true }),
  ]);
  const link = getLink(world.socket, `lxc${n}`);
  invariant(link !== undefined, 'veth');
  return { ip4: ip(`10.0.1.${n}`), ip6: ip(`fd00:1::${n}`), ifindex: link.ifindex, mac, hostMac };
}

function writeEndpoints(world: World, a: Pod, b: Pod): void {
  const value = (p: Pod, id: number) => ({
    ifindex: p.ifindex,
    identity: id,
    id,
    flags: 0,
    mac: macBytes(p.mac),
    hostMac: macBytes(p.hostMac),
  });
  const rows: Row<'endpoint'>[] = [
    [addressKey(a.ip4), value(a, IDENTITY.a)],
    [addressKey(a.ip6), value(a, IDENTITY.a)],
    [addressKey(b.ip4), value(b, IDENTITY.b)],
    [addressKey(b.ip6), value(b, IDENTITY.b)],
  ];
  for (let i = 0; i < LOCAL_PODS; i++) rows.push([addressKey(ip(`10.0.1.${10 + i}`)), value(b, IDENTITY.b)]);
  world.write('endpoint', rows);
  const own = (p: Pod, id: number): Row<'endpoint_if'> => [
    { ifindex: p.ifindex },
    {
      identity: id,
      id,
      flags: 0,
      mac: macBytes(p.mac),
      hostMac: macBytes(p.hostMac),
      ip4: ipBytes(p.ip4).subarray(0, 4),
      ip6: ipBytes(p.ip6),
    },
  ];
  world.write('endpoint_if', [own(a, IDENTITY.a), own(b, IDENTITY.b)]);
}

function writeIpcache(world: World, a: Pod, b: Pod, c: Scene['c']): void {
  const tunnel = ipBytes(ip('172.16.0.2'));
  const here = (identity: number) => ({ identity, tunnelFamily: 4, flags: 0, tunnel: ipBytes(ip('172.16.0.1')) });
  const there = (identity: number) => ({ identity, tunnelFamily: 4, flags: 0, tunnel });
  const rows: Row<'ipcache'>[] = [
    [ipcacheKeyOf(cidrOf(a.ip4)), here(IDENTITY.a)],
    [ipcacheKeyOf(cidrOf(b.ip4)), here(IDENTITY.b)],
    [ipcacheKeyOf(cidrOf(c.ip4)), there(IDENTITY.c)],
    [ipcacheKeyOf(cidrOf(c.ip6)), there(IDENTITY.c)],
  ];
  for (let i = 0; i < STRANGERS; i++) {
    rows.push([ipcacheKeyOf(cidrOf(ip(`10.${64 + (i >> 12)}.${(i >> 4) & 255}.${(i & 15) * 16 + 1}`))), there(20_000 + (i % 500))]);
  }
  world.write('ipcache', rows);
}

const PLEN_PORT = 16;

/** What a subject has beside the normal layer. */
export type Extra = 'admin' | 'classes' | 'shadow';
const EXTRA_FLAG = { admin: SubjectFlag.hasAdmin, classes: SubjectFlag.classes, shadow: SubjectFlag.hasShadow } as const;
const CLASS = 0x0200_0001;
const CLASS_ROWS = 10_000;

function writeClasses(world: World): void {
  const prefix = (i: number): string => `10.${i >> 8}.${i & 255}.0/24`;
  world.write('addr_class', [
    [ipcacheKeyOf('10.0.0.0/8' as Cidr), { class: CLASS }],
    ...Array.from({ length: CLASS_ROWS }, (_, i): Row<'addr_class'> => [ipcacheKeyOf(prefix(i) as Cidr), { class: CLASS + i }]),
  ]);
}

function setPolicy(world: World, n: number, extra?: Extra): void {
  const allow = { precedence: precedence('allow'), ruleId: 0xa110, proxyPort: 0, verdict: Verdict.allow, flags: 0 };
  for (const [index, subject] of [IDENTITY.a, IDENTITY.b].entries()) {
    const handle = createHash('sha256').update(`${subject}/${n}`).digest().readBigUInt64LE(0);
    const key = (direction: 'ingress' | 'egress', peer: number, port: number) => ({
      handle,
      peer,
      proto: 6,
      dirPlen: dirPlen(direction, PLEN_PORT),
      port,
    });
    const peers = index === 0 ? [IDENTITY.b, IDENTITY.c] : [IDENTITY.a, IDENTITY.c];
    const rows: Row<'policy'>[] = (['ingress', 'egress'] as const).flatMap((d) =>
      peers.map((p): Row<'policy'> => [key(d, p, PORT), allow]),
    );
    for (let i = 1; i < n; i++) for (const d of ['ingress', 'egress'] as const) rows.push([key(d, 30_000 + i, 1000 + (i % 5000)), allow]);
    world.write('policy', rows);
    const mask = 1 << PLEN_PORT;
    const value = { handle, denyRule: [0xdead, 0xdead], peerMask: [mask, mask], anyMask: [0, 0] } as const;
    const flags = SubjectFlag.denyIngress | SubjectFlag.denyEgress;
    if (extra === 'admin') {
      // nothing of it matches, so that the normal layer is asked too
      world.write('policy', [[{ handle: handle ^ 1n, peer: 30_000, proto: 6, dirPlen: dirPlen('egress', PLEN_PORT), port: PORT }, allow]]);
      world.write('subject', [
        [
          { identity: subject, layer: Layer.admin },
          { ...value, handle: handle ^ 1n, flags: 0 },
        ],
      ]);
    }
    if (extra === 'shadow')
      world.write('subject', [
        [
          { identity: subject, layer: Layer.shadowNormal },
          { ...value, flags },
        ],
      ]);
    world.write('subject', [
      [
        { identity: subject, layer: Layer.normal },
        { ...value, flags: flags | (extra === undefined ? 0 : EXTRA_FLAG[extra]) },
      ],
    ]);
  }
  world.bumpGeneration();
}
