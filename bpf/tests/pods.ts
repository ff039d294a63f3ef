// Two pods of one node for packet tests: a (1001) and b (1002), with IPv4 and IPv6 alike.
import { createLab, dp, type Lab, type LabOptions } from './kit.ts';
import { PROTO } from './names.ts';
import { type PacketSpec, packet, TCP } from './packet.ts';

export const A = { ifindex: 11, identity: 1001, id: 1, mac: '02:00:00:00:00:01', hostMac: '02:00:00:00:00:0a' } as const;
export const B = { ifindex: 12, identity: 1002, id: 2, mac: '02:00:00:00:00:02', hostMac: '02:00:00:00:00:0b' } as const;
export const ADDRESS = {
  4: { a: '10.0.1.1', b: '10.0.1.2', c: '10.0.2.3', router: '10.0.1.254', node: '192.168.9.1', world: '8.8.8.8', tunnel: '192.168.9.2' },
  6: { a: 'fd00:1::1', b: 'fd00:1::2', c: 'fd00:2::3', router: 'fd00:1::fe', node: 'fd99::1', world: '2001:db8::8', tunnel: 'fd99::2' },
} as const;
export const FAMILIES = [4, 6] as const;
export type Family = (typeof FAMILIES)[number];
export const DENY = { ingress: dp.SubjectFlag.denyIngress, egress: dp.SubjectFlag.denyEgress } as const;

export function createPods(options: LabOptions = {}): Lab {
  const lab = createLab(options);
  lab.config({ nodeIp4: Buffer.from([192, 168, 9, 1]), flags: dp.NodeFlag.tunnel });
  for (const [p, n] of [
    [A, 'a'],
    [B, 'b'],
  ] as const)
    lab.pod({ ...p, ips: [ADDRESS[4][n], ADDRESS[6][n]] });
  for (const f of FAMILIES) {
    lab.host(ADDRESS[f].node);
    lab.ipcache(`${ADDRESS[f].tunnel}/${f === 4 ? 32 : 128}`, 6, ADDRESS[4].tunnel);
    lab.host(ADDRESS[f].router);
    lab.ipcache(`${ADDRESS[f].c}/${f === 4 ? 32 : 128}`, 1003, ADDRESS[4].tunnel);
    lab.ipcache(f === 4 ? '10.0.2.0/24' : 'fd00:2::/64', 99, ADDRESS[4].tunnel);
    lab.ipcache(f === 4 ? '10.0.1.0/24' : 'fd00:1::/64', 99, ADDRESS[4].node);
  }
  open(lab);
  return lab;
}

/** No policy for anybody. */
export function open(lab: Lab): void {
  for (const id of [A.identity, B.identity]) lab.policy(id, 0);
  lab.bump();
}

let port = 2000;
/** A source port no test has used. */
export const freshPort = (): number => ++port;

const syn = (f: Family, from: 'a' | 'b' | 'c', to: 'a' | 'b' | 'c', s: Partial<PacketSpec>): Buffer =>
  packet({ src: ADDRESS[f][from], dst: ADDRESS[f][to], sport: freshPort(), dport: 80, flags: TCP.syn, payload: Buffer.alloc(60), ...s });

/** From pod a to pod b unless the spec says otherwise. */
export const ab = (f: Family, s: Partial<PacketSpec> = {}): Buffer => syn(f, 'a', 'b', s);
export const ba = (f: Family, s: Partial<PacketSpec> = {}): Buffer => syn(f, 'b', 'a', s);
export const between = syn;
export const icmpProto = (f: Family): number => (f === 4 ? PROTO.icmp : PROTO.icmp6);
export const echo = (f: Family): number => (f === 4 ? 8 : 128);
export const echoReply = (f: Family): number => (f === 4 ? 0 : 129);
