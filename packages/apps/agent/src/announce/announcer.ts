// Announces addresses on the local network while the operator's leader lets it: rows of `l2_announce` that end by themselves, and frames that
// tell others at takeover and now and then. Called by wiring; `docs/design/services.md` has the rules.
import type { BpfMap } from '@axoneme/bpf';
import { l2AnnounceKey, l2AnnounceValue } from '@axoneme/datapath';
import { type IpAddr, ipBytes, ipFamily, parseIp } from '@axoneme/model';
import type { FrameSender, GroupMember, Link } from '@axoneme/netlink';
import { L2Leases } from '@axoneme/proto';
import { type Clock, describeError, type Health, type Log, type Timer } from '@axoneme/std';
import type { LeaseHandlers } from '@axoneme/stream';
import { solicitedNode, takeoverFrames } from './frames.ts';

export interface AnnouncerDeps {
  readonly map: BpfMap;
  /** Those of the node that run our programs. */
  readonly devices: () => readonly Link[];
  readonly sender: FrameSender;
  readonly groups: GroupMember;
  /** CLOCK_MONOTONIC, as the kernel's programs read it. */
  readonly nowNs: () => bigint;
  readonly clock: Pick<Clock, 'after'>;
  readonly log: Log;
}

export interface Announcer {
  /** Content of `l2/leases`; undefined: nothing is announced. What is not in it is not announced any more when this returns. */
  setLeases(blob: Buffer | undefined): void;
  readonly leases: LeaseHandlers;
  /** Addresses with their devices and milliseconds they are still announced. */
  status(): readonly { readonly address: string; readonly devices: readonly string[]; readonly epoch: number; readonly validMs: number }[];
  health(): Health;
  stop(): void;
}

/** Artifact with the addresses. */
export const l2Leases = 'l2/leases';

const MS = 1_000_000n;
/** After a commit is acknowledged; and while there is no answer yet. */
const SOON_MS = 10;
const IMPATIENT_MS = 250;
/** Frames are lost, and switches forget. */
const TAKEOVER_MS = [0, 250, 1000] as const;
const REMIND_MS = 30_000;

interface Lease {
  readonly address: IpAddr;
  readonly epoch: number;
  readonly on: readonly RegExp[];
}

/** One address on one device. */
interface Spot {
  readonly key: Buffer;
  readonly address: IpAddr;
  readonly device: Link;
  until: bigint;
}

const keyOf = (address: IpAddr, ifindex: number): Buffer =>
  Buffer.from(l2AnnounceKey.encode({ ifindex, family: ipFamily(address), addr: ipBytes(address) }));

/** The operator has read them before; what cannot be read matches nothing. */
function expression(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    return /(?!)/;
  }
}

function readLeases(blob: Buffer): { readonly leases: readonly Lease[]; readonly renewMs: number } {
  const { leases, renewMs } = L2Leases.decode(blob);
  return {
    renewMs,
    leases: leases.flatMap((l): Lease[] => {
      const ip = parseIp(l.address);
      return ip.ok ? [{ address: ip.value, epoch: l.epoch, on: l.interfaces.map(expression) }] : [];
    }),
  };
}

export function createAnnouncer(d: AnnouncerDeps): Announcer {
  const spots = new Map<string, Spot>();
  let leases: readonly Lease[] = [];
  let renewMs = 1000;
  /** Until when the operator lets us. */
  let until = 0n;
  let ask: ((askedMs: number) => void) | undefined;
  let timer: Timer | undefined;
  let reminder: Timer | undefined;
  let stopped = false;
  let failure: string | undefined;

  const attempt = (what: () => void): void => {
    try {
      what();
      failure = undefined;
    } catch (e) {
      failure = describeError(e);
      d.log.warn('an address cannot be announced', { error: e });
    }
  };
  const tell = (spot: Spot): void => {
    if (stopped || spot.until <= d.nowNs() || spots.get(spot.key.toString('hex')) !== spot) return;
    attempt(() => {
      for (const frame of takeoverFrames(spot.address, spot.device.mac)) d.sender.send(spot.device.ifindex, frame);
    });
  };
  const group = (spot: Spot, change: 'join' | 'leave'): void => {
    if (ipFamily(spot.address) === 4) return;
    const name = solicitedNode(spot.address);
    const others = [...spots.values()].some(
      (s) => s !== spot && s.device.ifindex === spot.device.ifindex && ipFamily(s.address) === 6 && solicitedNode(s.address) === name,
    );
    if (!others) attempt(() => d.groups[change](spot.device.ifindex, name));
  };

  /** Spots as leases and devices have them now. Rows of others go at once. */
  const place = (): void => {
    const wanted = new Map<string, Spot>();
    const devices = d.devices();
    for (const { address, on } of leases)
      for (const device of devices) {
        if (on.length > 0 && !on.some((r) => r.test(device.name))) continue;
        const key = keyOf(address, device.ifindex);
        wanted.set(key.toString('hex'), { key, address, device, until: 0n });
      }
    for (const [text, old] of spots) {
      const next = wanted.get(text);
      if (next?.device.mac === old.device.mac) wanted.set(text, old);
      else if (next === undefined) group(old, 'leave');
    }
    const gone = [...spots].flatMap(([text, s]) => (wanted.has(text) ? [] : [s.key]));
    if (gone.length > 0) d.map.deleteBatch(Buffer.concat(gone), gone.length);
    const fresh = [...wanted].flatMap(([text, s]) => (spots.has(text) ? [] : [s]));
    spots.clear();
    for (const [text, s] of wanted) spots.set(text, s);
    for (const s of fresh) group(s, 'join');
  };
  /** Rows say how long we may; who begins to be answered is told to everybody. */
  const renew = (): void => {
    const now = d.nowNs();
    if (until <= now || spots.size === 0) return;
    const all = [...spots.values()];
    const taken = all.filter((s) => s.until <= now);
    const values = all.map((s) => Buffer.from(l2AnnounceValue.encode({ untilNs: until, mac: macBytes(s.device.mac) })));
    d.map.updateBatch(Buffer.concat(all.map((s) => s.key)), Buffer.concat(values), all.length);
    for (const s of all) s.until = until;
    for (const s of taken) for (const ms of TAKEOVER_MS) d.clock.after(ms, () => tell(s));
    if (taken.length > 0) d.log.info('addresses are announced', { addresses: [...new Set(taken.map((s) => s.address))] });
  };
  const update = (): void =>
    attempt(() => {
      place();
      renew();
    });

  const remind = (): void => {
    for (const s of spots.values()) tell(s);
    reminder = d.clock.after(REMIND_MS, remind);
  };
  const due = (ms: number): void => {
    timer?.cancel();
    timer = undefined;
    if (stopped || ask === undefined || leases.length === 0) return;
    timer = d.clock.after(ms, () => {
      ask?.(Number(d.nowNs() / MS));
      due(until > d.nowNs() ? renewMs : Math.min(renewMs, IMPATIENT_MS));
    });
  };

  reminder = d.clock.after(REMIND_MS, remind);
  forgetRows(d.map);
  return {
    setLeases(blob) {
      const next = blob === undefined ? { leases: [], renewMs } : readLeases(blob);
      leases = next.leases;
      renewMs = Math.max(100, next.renewMs);
      update();
      due(SOON_MS);
    },
    leases: {
      start(fn, signal) {
        ask = fn;
        signal.addEventListener('abort', () => {
          if (ask === fn) ask = undefined;
        });
        due(SOON_MS);
      },
      granted(untilMs) {
        const next = BigInt(untilMs) * MS;
        if (next <= until || next <= d.nowNs()) return;
        until = next;
        update();
      },
    },
    status: () =>
      leases.map(({ address, epoch }) => {
        const on = [...spots.values()].filter((s) => s.address === address);
        const left = on.length > 0 ? until - d.nowNs() : 0n;
        return { address, devices: on.map((s) => s.device.name), epoch, validMs: left > 0n ? Number(left / MS) : 0 };
      }),
    health() {
      if (failure !== undefined) return { state: 'degraded', reason: failure };
      const deaf = leases.find((l) => ![...spots.values()].some((s) => s.address === l.address));
      if (deaf !== undefined) return { state: 'degraded', reason: `no device of this node is one to announce ${deaf.address} on` };
      if (leases.length > 0 && until <= d.nowNs()) return { state: 'degraded', reason: 'the operator does not let this node announce' };
      return { state: 'ok' };
    },
    stop() {
      stopped = true;
      timer?.cancel();
      reminder?.cancel();
    },
  };
}

const macBytes = (mac: string): Uint8Array => Buffer.from(mac.replaceAll(':', ''), 'hex');

/** What an earlier process announced is announced again when somebody lets us; who has it meanwhile is not known here. */
function forgetRows(map: BpfMap): void {
  const { keys } = map.dump();
  if (keys.length > 0) map.deleteBatch(keys, keys.length / map.keySize);
}
