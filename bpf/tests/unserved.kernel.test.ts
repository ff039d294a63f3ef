// Packets of pods to services that nobody serves, and to addresses that are nothing but services: they do not leave for the world.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { build, dp, type Lab, VERDICT } from './kit.ts';
import { IP, PROTO } from './names.ts';
import { type PacketSpec, type Parsed, packet, parse, TCP } from './packet.ts';
import { A, ADDRESS, createPods, echo, FAMILIES, type Family, freshPort, icmpProto, open } from './pods.ts';

const { LbFlag } = dp;
const NO_BACKEND = dp.Drop.noServiceBackend;
let lab: Lab;
beforeAll(() => {
  build();
  lab = createPods();
});
afterAll(() => lab.close());
beforeEach(() => {
  for (const [key] of [...lab.map('lb_frontend').entries()]) lab.map('lb_frontend').delete(key);
  open(lab);
  lab.events();
});

let answered: Parsed | undefined;
const VIP = { 4: '203.0.113.7', 6: 'fd20::7' } as const;

interface Front {
  readonly port: number;
  readonly proto?: number;
  readonly count?: number;
  readonly flags?: number;
}

function front(f: Family, { port, proto = PROTO.tcp, count = 0, flags = 0 }: Front, address: string = VIP[f]): void {
  const counts = { setOut: 1n, setIn: 1n, countOut: count, countIn: count };
  const value = { ...counts, maglevSize: 0, serviceId: 1, affinityS: 0, flags };
  lab.put(dp.tables.lb_frontend, { addr: IP.table(address), port, proto, family: f }, value);
  lab.bump();
}

/** The reason for a drop, undefined for what leaves. What is answered instead is dropped too: the packet is the answer then. */
function sent(f: Family, s: Partial<PacketSpec> = {}): number | undefined {
  const frame = packet({ src: ADDRESS[f].a, dst: VIP[f], sport: freshPort(), dport: 80, flags: TCP.syn, payload: Buffer.alloc(60), ...s });
  const r = lab.run('from_pod', frame, A.ifindex);
  const last = lab.events().at(-1);
  answered = r.verdict === VERDICT.redirect && last?.type === dp.EventType.drop ? parse(r.packet) : undefined;
  return r.verdict === VERDICT.drop || answered !== undefined ? last?.reason : undefined;
}

describe.each(FAMILIES)('IPv%i', (f) => {
  test.each([
    ['silent', 0],
    ['refusing', LbFlag.reject],
  ])('a service without backends, %s at the socket', (_name, flags) => {
    const before = sent(f);
    front(f, { port: 80, flags });
    front(f, { port: 53, proto: PROTO.udp, flags });
    for (const s of [{}, { proto: PROTO.udp, dport: 53 }]) {
      expect(sent(f, s)).toBe(NO_BACKEND);
      const unreachable = { src: IP.text(IP(VIP[f])), dst: IP.text(IP(ADDRESS[f].a)), proto: icmpProto(f), sumsRight: true };
      if (flags === 0) expect(answered).toBeUndefined();
      else expect(answered).toMatchObject(unreachable);
      if (flags !== 0) expect([...answered!.l4.subarray(0, 2)]).toEqual(f === 4 ? [3, 3] : [1, 4]);
    }
    // other ports, other protocols, other addresses: as before there was a service
    for (const s of [{ dport: 81 }, { proto: PROTO.udp, dport: 80 }, { dst: ADDRESS[f].world }]) expect(sent(f, s)).toBe(before);
    expect(before).not.toBe(NO_BACKEND);
    expect(lab.dropped(NO_BACKEND, 1)).toBeGreaterThan(0);
  });

  test('an address of services alone answers on their ports only', () => {
    const before = sent(f);
    front(f, { port: 0, proto: 0, flags: LbFlag.blackhole });
    for (const s of [{ dport: 81 }, { proto: PROTO.udp }, { proto: icmpProto(f), type: echo(f) }]) expect(sent(f, s)).toBe(NO_BACKEND);
    expect(sent(f, { dst: ADDRESS[f].world })).toBe(before);
  });

  test('pods are no services, whatever has their address', () => {
    for (const to of ['b', 'c'] as const) {
      front(f, { port: 80 }, ADDRESS[f][to]);
      expect(sent(f, { dst: ADDRESS[f][to] })).toBeUndefined();
    }
  });
});
