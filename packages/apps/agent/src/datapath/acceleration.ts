// XDP on the node's devices: which mode each of them gets, and what to say where it gets none. tc does everything XDP does, so a device
// without it is slower, not wrong. Called by the datapath.
import { type BpfMap, queryXdp, type XdpMode } from '@axoneme/bpf';
import type { Link } from '@axoneme/netlink';
import { describeError, type Health, type Log } from '@axoneme/std';
import type { Links } from './links.ts';

/** `best-effort`: in the driver where it can, after it where it cannot. */
export type AccelerationMode = 'disabled' | 'native' | 'best-effort' | 'generic';

const program = 'axo_xdp';
/** Devices that a program may send to. */
export const deviceMap = 'xdp_device';

export interface Accelerated {
  readonly pins: readonly string[];
  /** Degraded: why a device has no XDP. */
  readonly health: Health;
}

const rowOf = (n: number): Buffer => {
  const b = Buffer.alloc(4);
  b.writeUInt32LE(n);
  return b;
};

/** A driver takes no frames from a program in another driver unless it has XDP; programs behind drivers can send anywhere. */
function targetsOf(attached: ReadonlyMap<number, XdpMode>): ReadonlySet<number> {
  const native = [...attached].filter(([, mode]) => mode === 'native').map(([ifindex]) => ifindex);
  return new Set(native.length > 0 ? native : attached.keys());
}

function setTargets(map: BpfMap, wanted: ReadonlySet<number>): void {
  for (const [key] of [...map.entries()]) if (!wanted.has(key.readUInt32LE(0))) map.delete(key);
  for (const ifindex of wanted) map.update(rowOf(ifindex), rowOf(1));
}

/** What worked before is not taken away to try for more. */
function tries(links: Links, mode: AccelerationMode, ifindex: number, pin: string): readonly XdpMode[] {
  if (mode !== 'best-effort') return mode === 'disabled' ? [] : [mode];
  return queryXdp(ifindex)?.mode === 'generic' && links.pins().includes(pin) ? ['generic', 'native'] : ['native', 'generic'];
}

/** Brings XDP on `devices` to `mode`. Pins that are not in the answer are the caller's to remove. Does not throw for what a device cannot do. */
export function accelerate(
  { links, targets, log }: { readonly links: Links; readonly targets: BpfMap | undefined; readonly log: Log },
  mode: AccelerationMode,
  devices: readonly Link[],
): Accelerated {
  const pins: string[] = [];
  const problems: string[] = [];
  const attached = new Map<number, XdpMode>();
  for (const device of mode === 'disabled' ? [] : devices) {
    const pin = `xdp-${device.name}`;
    const refused: string[] = [];
    for (const m of tries(links, mode, device.ifindex, pin)) {
      try {
        const outcome = links.ensure({ pin, program, hook: { kind: 'xdp', ifindex: device.ifindex, mode: m } });
        if (outcome !== 'kept') log.info('program attached', { pin, program, outcome, mode: m });
        if (outcome !== 'kept' && refused.length > 0)
          log.warn('the driver of this device takes no XDP program, it runs after the driver', { device: device.name, reason: refused[0] });
        pins.push(pin);
        attached.set(device.ifindex, m);
        break;
      } catch (e) {
        refused.push(describeError(e));
      }
    }
    if (!attached.has(device.ifindex)) problems.push(`no XDP on ${device.name}: ${refused.join('; ')}`);
  }
  if (targets !== undefined) setTargets(targets, targetsOf(attached));
  return { pins, health: problems.length === 0 ? { state: 'ok' } : { state: 'degraded', reason: problems.join('; ') } };
}
