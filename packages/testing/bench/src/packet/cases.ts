// What is measured: for each case a packet, a program, and the state that must hold. Numbers and budgets are those of DESIGN §11.
import type { IpAddr } from '@axoneme/model';
import { buildFrame, tcpFlags } from '@axoneme/testkit';
import type { Budget } from '../report.ts';
import { DENIED_PORT, type Extra, PORT, type Scene } from './scene.ts';

export interface Case {
  readonly name: string;
  readonly program: string;
  readonly packet: Buffer;
  readonly ifindex: number;
  readonly v6: boolean;
  /** Source ports to walk, 0 = one flow. */
  readonly walk: number;
  readonly stride: number;
  readonly repeat: number;
  /** Rows on each side; undefined = 1. */
  readonly policyRows: number;
  readonly extra?: Extra;
  readonly events: boolean;
  /** `fresh`: the flow table is emptied first, so every packet opens a flow. */
  readonly flows: 'fresh' | 'established';
  readonly verdict: number;
  readonly budget?: Budget;
  /** Case whose cost this one is compared with; default the program that only redirects. */
  readonly reference?: string;
}

export const FLOWS = 60_000;
const RANDOM_STRIDE = 7919;
const REDIRECT = 7;
const SHOT = 2;
const LENGTH = 100;
const SOURCE_PORT = 1024;
const ESTABLISHED = 'established, same node';
const FLAT = 1.05;
const NEW = 'new flow, no event';
/** The same again: the first cases with an empty flow table pay for its cold list of free entries. */
const NEW_WARM = 'new flow, 1 policy row';
/** What rows and layers may add to a new flow. */
const GROWTH = 1.5;

function tcp(src: IpAddr, dst: IpAddr, ports: readonly [number, number], flags: number): Buffer {
  const l4 = { kind: 'tcp', srcPort: ports[0], dstPort: ports[1], flags } as const;
  const bare = buildFrame({ src, dst, l4 });
  return buildFrame({ src, dst, l4: { ...l4, payload: Buffer.alloc(Math.max(0, LENGTH - bare.length)) } });
}

const max = (ratio: number): Budget => ({ kind: 'max', ratio });

export function casesOf(s: Scene): readonly Case[] {
  const base = {
    program: 'from_pod',
    ifindex: s.a.ifindex,
    v6: false,
    walk: 0,
    stride: 1,
    repeat: 300_000,
    policyRows: 1,
    events: false,
  } as const;
  const ack4 = tcp(s.a.ip4, s.b.ip4, [SOURCE_PORT, PORT], tcpFlags.ack);
  const syn4 = tcp(s.a.ip4, s.b.ip4, [SOURCE_PORT, PORT], tcpFlags.syn);
  const denied = tcp(s.a.ip4, s.b.ip4, [SOURCE_PORT, DENIED_PORT], tcpFlags.syn);
  const est = { ...base, flows: 'established', verdict: REDIRECT } as const;
  const fresh = { ...base, flows: 'fresh', verdict: REDIRECT, repeat: FLOWS, walk: FLOWS } as const;
  const random = { walk: FLOWS, stride: RANDOM_STRIDE } as const;
  return [
    { ...est, name: ESTABLISHED, packet: ack4, budget: max(4) },
    {
      ...est,
      name: 'established reply, same node',
      packet: tcp(s.b.ip4, s.a.ip4, [PORT, SOURCE_PORT], tcpFlags.ack),
      ifindex: s.b.ifindex,
      budget: max(4),
    },
    {
      ...est,
      name: 'established, same node, IPv6',
      packet: tcp(s.a.ip6, s.b.ip6, [SOURCE_PORT, PORT], tcpFlags.ack),
      v6: true,
      budget: max(4),
    },
    { ...est, name: 'established, other node (VXLAN)', packet: tcp(s.a.ip4, s.c.ip4, [SOURCE_PORT, PORT], tcpFlags.ack), budget: max(4) },
    { ...est, name: 'established, 60k flows at random', packet: ack4, ...random, budget: max(12) },
    { ...est, name: 'established, 100 policy rows', packet: ack4, policyRows: 100, reference: ESTABLISHED, budget: max(FLAT) },
    { ...est, name: 'established, 10k policy rows', packet: ack4, policyRows: 10_000, reference: ESTABLISHED, budget: max(FLAT) },
    { ...fresh, name: NEW, packet: syn4, budget: max(20) },
    { ...fresh, name: 'new flow, event read', packet: syn4, events: true, budget: max(30) },
    {
      ...fresh,
      name: 'new flow, IPv6, no event',
      packet: tcp(s.a.ip6, s.b.ip6, [SOURCE_PORT, PORT], tcpFlags.syn),
      v6: true,
      budget: max(20),
    },
    { ...fresh, name: 'new flow, other node, no event', packet: tcp(s.a.ip4, s.c.ip4, [SOURCE_PORT, PORT], tcpFlags.syn), budget: max(20) },
    { ...fresh, name: NEW_WARM, packet: syn4, reference: NEW },
    ...[100, 10_000].map(
      (n): Case => ({
        ...fresh,
        name: `new flow, ${n} policy rows`,
        packet: syn4,
        policyRows: n,
        reference: NEW_WARM,
        budget: max(GROWTH),
      }),
    ),
    ...(['admin', 'classes', 'shadow'] as const).map(
      (extra): Case => ({
        ...fresh,
        name: `new flow, + ${extra} on both ends`,
        packet: syn4,
        extra,
        reference: NEW_WARM,
        budget: max(GROWTH),
      }),
    ),
    { ...fresh, name: 'denied, no event', packet: denied, verdict: SHOT, walk: 0, budget: max(8) },
    { ...fresh, name: 'denied, event read', packet: denied, verdict: SHOT, walk: 0, events: true, budget: max(15) },
  ];
}
