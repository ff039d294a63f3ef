// Sets of (protocol, port): intersection, difference, words. Canonical, so equal sets have equal text. Called by plan and invariants.
import { protocolName } from '@axoneme/model';
import { portMax, type Region } from './regions.ts';

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Protocols that are not listed: all ports of them or none. A listed protocol always differs from that. */
export interface Reach {
  readonly protocols: ReadonlyMap<number, readonly PortRange[]>;
  readonly others: boolean;
  readonly text: string;
}

const whole: readonly PortRange[] = [{ first: 0, last: portMax }];

export function createReach(protocols: Iterable<readonly [number, readonly PortRange[]]>, others: boolean): Reach {
  const kept = [...protocols].filter(([, ranges]) => !isDefault(ranges, others)).sort(([a], [b]) => a - b);
  const text = [...kept.map(([p, ranges]) => `${p}:${ranges.map((r) => `${r.first}-${r.last}`).join(',')}`), `*:${others ? 1 : 0}`].join(
    ';',
  );
  return { protocols: new Map(kept), others, text };
}

const isDefault = (ranges: readonly PortRange[], others: boolean): boolean =>
  others ? ranges.length === 1 && ranges[0]!.first === 0 && ranges[0]!.last === portMax : ranges.length === 0;

export const everything: Reach = createReach([], true);
export const nothing: Reach = createReach([], false);
export const isNothing = (r: Reach): boolean => r.text === nothing.text;

/** What the region lets through. */
export function reachOf(region: Region): Reach {
  const protocols = [...region.protocols].map(([p, segments]) => {
    const ranges: PortRange[] = [];
    for (const s of segments) {
      if (!s.decision.allowed) continue;
      const before = ranges.at(-1);
      if (before?.last === s.first - 1) ranges[ranges.length - 1] = { first: before.first, last: s.last };
      else ranges.push({ first: s.first, last: s.last });
    }
    return [p, ranges] as const;
  });
  return createReach(protocols, region.others.allowed);
}

const rangesIn = (r: Reach, protocol: number): readonly PortRange[] => r.protocols.get(protocol) ?? (r.others ? whole : []);

function combine(a: Reach, b: Reach, ranges: (x: readonly PortRange[], y: readonly PortRange[]) => PortRange[], others: boolean): Reach {
  const protocols = new Set([...a.protocols.keys(), ...b.protocols.keys()]);
  return createReach(
    [...protocols].map((p) => [p, ranges(rangesIn(a, p), rangesIn(b, p))] as const),
    others,
  );
}

/** In both. */
export const intersect = (a: Reach, b: Reach): Reach =>
  a.text === b.text || b.text === everything.text
    ? a
    : a.text === everything.text
      ? b
      : combine(a, b, intersectRanges, a.others && b.others);

/** In `a`, not in `b`. */
export const subtract = (a: Reach, b: Reach): Reach => combine(a, b, (x, y) => intersectRanges(x, complement(y)), a.others && !b.others);

function intersectRanges(x: readonly PortRange[], y: readonly PortRange[]): PortRange[] {
  const out: PortRange[] = [];
  for (let i = 0, j = 0; i < x.length && j < y.length; ) {
    const [a, b] = [x[i]!, y[j]!];
    const first = Math.max(a.first, b.first);
    const last = Math.min(a.last, b.last);
    if (first <= last) out.push({ first, last });
    if (a.last < b.last) i++;
    else j++;
  }
  return out;
}

function complement(ranges: readonly PortRange[]): PortRange[] {
  const out: PortRange[] = [];
  let at = 0;
  for (const r of ranges) {
    if (at < r.first) out.push({ first: at, last: r.first - 1 });
    at = r.last + 1;
  }
  if (at <= portMax) out.push({ first: at, last: portMax });
  return out;
}

export const reachAllows = (r: Reach, protocol: number, port: number): boolean =>
  rangesIn(r, protocol).some((x) => x.first <= port && port <= x.last);

const icmp = new Set([1, 58]);
const rangeText = (r: PortRange): string => (r.first === r.last ? String(r.first) : `${r.first}-${r.last}`);

/** `TCP 80,443; UDP 53; ICMP type 8`, `everything`, `everything but TCP 22`. */
export function reachText(r: Reach): string {
  if (r.text === everything.text) return 'everything';
  if (r.text === nothing.text) return 'nothing';
  const words = (ranges: readonly PortRange[], p: number): string => {
    if (ranges.length === 1 && ranges[0]!.first === 0 && ranges[0]!.last === portMax) return `all ${protocolName(p)}`;
    return `${protocolName(p)} ${icmp.has(p) ? 'type ' : ''}${ranges.map(rangeText).join(',')}`;
  };
  if (!r.others) return [...r.protocols].map(([p, ranges]) => words(ranges, p)).join('; ');
  const missing = subtract(everything, r);
  return `everything but ${[...missing.protocols].map(([p, ranges]) => words(ranges, p)).join('; ')}`;
}
