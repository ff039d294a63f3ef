// The same services as rows of our tables, made by the code that makes them in the operator's place: the codecs of the datapath contract.
import { type Row, tables } from '@axoneme/datapath';
import { type IpAddr, ipBytes } from '@axoneme/model';
import { hash32, hash64 } from '@axoneme/std';
import type { World } from '../world.ts';
import type { VirtualService } from './kube-proxy.ts';

const PROTO = { tcp: 6, udp: 17 } as const;
/** Bits of `lb_frontend.flags`: clients outside may use it. */
const EXTERNAL = 4096;
const LOAD_BALANCER = 2;

export interface ServiceRows {
  readonly slots: readonly Row<'lb_slot'>[];
  readonly frontends: readonly Row<'lb_frontend'>[];
  readonly sets: readonly bigint[];
}

/** Sets are named by content, as the compiler names them. */
const setOf = (s: VirtualService): bigint => hash64(s.protocol, s.targets.map((t) => `${t.ip} ${t.port}`).join('\n'));

export function rowsOf(services: readonly VirtualService[]): ServiceRows {
  const sets = services.map(setOf);
  const slots = services.flatMap((s, n) =>
    s.targets.map((t, index): Row<'lb_slot'> => {
      const backendId = hash32(`${t.ip} ${t.port} ${PROTO[s.protocol]}`);
      return [
        { set: sets[n]!, index },
        { addr: ipBytes(t.ip as IpAddr), port: t.port, family: 4, flags: 0, backendId },
      ];
    }),
  );
  const frontends = services.map((s, n): Row<'lb_frontend'> => {
    const count = s.targets.length;
    return [
      { addr: ipBytes(s.vip as IpAddr), port: s.port, proto: PROTO[s.protocol], family: 4 },
      {
        setOut: sets[n]!,
        setIn: sets[n]!,
        countOut: count,
        countIn: count,
        maglevSize: 0,
        serviceId: hash32(s.name),
        affinityS: 0,
        flags: EXTERNAL | LOAD_BALANCER,
      },
    ];
  });
  return { slots, frontends, sets };
}

/** In the order in which a node applies a commit: backends before what points at them. */
export function writeServices(world: World, rows: ServiceRows): void {
  world.write('lb_slot', rows.slots);
  world.write('lb_frontend', rows.frontends);
}

export function removeSlots(world: World, rows: ServiceRows): void {
  const { key } = tables.lb_slot;
  const keys = Buffer.concat(rows.slots.map(([k]) => key.encode(k)));
  world.map('lb_slot').deleteBatch(keys, rows.slots.length);
}
