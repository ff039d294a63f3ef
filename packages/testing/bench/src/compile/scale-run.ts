// The sizes the requirements name: a whole cluster from nothing, many policies on many pods, one pod more and one edit among them.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createLayeredCompiler, type LayeredCompiler } from '@axoneme/policy';
import { plainRow, quantile, type Row } from '../report.ts';
import { config } from './inputs.ts';
import { allMatching, editOf, extraPod, ownPolicies, type Scale, wholeCluster } from './scale.ts';

const MB = 2 ** 20;

export function timed<T>(work: () => T): readonly [ms: number, result: T] {
  const begin = performance.now();
  const result = work();
  return [performance.now() - begin, result];
}

/** Heap and buffers in use after a full collection. */
export function memoryMb(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const m = process.memoryUsage();
  return (m.heapUsed + m.arrayBuffers) / MB;
}

interface Filled {
  readonly parse: number;
  readonly cold: number;
  /** Of the objects, and of the compiler above them. */
  readonly inputs: number;
  readonly memory: number;
  readonly compiler: LayeredCompiler;
}

function fill(make: () => Scale): Filled {
  const empty = memoryMb();
  const [parse, scale] = timed(make);
  const inputs = memoryMb() - empty;
  const compiler = createLayeredCompiler(config);
  const [cold] = timed(() => compiler.update(scale));
  return { parse, cold, inputs, memory: memoryMb() - empty - inputs, compiler };
}

/** Each addition is taken back outside the measurement. */
const additions = (compiler: LayeredCompiler, count: number): number[] =>
  Array.from({ length: count }, (_, i) => {
    const identity = extraPod(i);
    const [ms] = timed(() => compiler.update({ identities: [identity] }));
    compiler.update({ removedIdentities: [identity.id] });
    return ms;
  });

const edits = (compiler: LayeredCompiler, count: number): number[] =>
  Array.from({ length: count }, () => {
    const policy = editOf(10);
    const [ms] = timed(() => compiler.update({ policies: [policy] }));
    compiler.update({ removedPolicies: [policy.key] });
    return ms;
  });

export interface ScaleRound {
  readonly whole: Omit<Filled, 'compiler'>;
  readonly all: Omit<Filled, 'compiler'> & { readonly added: readonly number[]; readonly edited: readonly number[] };
  readonly own: Omit<Filled, 'compiler'> & { readonly added: readonly number[] };
}

export const NAMESPACES = 25_000;
export const MANY = 10_000;
const SHARED = 100;

export function scaleRound(): ScaleRound {
  const { compiler: _, ...whole } = fill(() => wholeCluster(NAMESPACES));
  const { compiler: a, ...all } = fill(() => allMatching(MANY, MANY));
  const [added, edited] = [additions(a, 20), edits(a, 20)];
  const { compiler: o, ...own } = fill(() => ownPolicies(MANY, SHARED));
  return { whole, all: { ...all, added, edited }, own: { ...own, added: additions(o, 10) } };
}

export function scaleRows(rounds: readonly ScaleRound[]): readonly Row[] {
  const of = (name: string, unit: string, f: (r: ScaleRound) => number, more: { max?: number; note?: string } = {}): Row =>
    plainRow(name, unit, rounds.map(f), more);
  const cluster = '25k namespaces, 100k pods, 75k policies';
  const matching = '10k policies × 10k pods, all matching';
  return [
    of(`${cluster}: from nothing`, 'ms', (r) => r.whole.cold, { max: 15_000, note: '50k identities; one block' }),
    of(`${cluster}: objects parsed before`, 'ms', (r) => r.whole.parse, { note: 'one by one in the operator' }),
    of(`${cluster}: memory of objects and compiler`, 'MB', (r) => r.whole.inputs + r.whole.memory, { max: 2500 }),
    of(`${cluster}: of that the compiler`, 'MB', (r) => r.whole.memory),
    of(`${matching}: from nothing`, 'ms', (r) => r.all.cold),
    of(`${matching}: memory of objects and compiler`, 'MB', (r) => r.all.inputs + r.all.memory),
    of(`${matching}: one edit for 10 pods, p50`, 'ms', (r) => quantile(r.all.edited, 0.5), { note: '10,001 rules and 110k rows made' }),
    of(`${matching}: one identity added, p50`, 'ms', (r) => quantile(r.all.added, 0.5), { note: '10k subjects change' }),
    of('10k policies with rows of their own: from nothing', 'ms', (r) => r.own.cold, { note: '100 peers each' }),
    of('10k policies with rows of their own: one identity all admit, p50', 'ms', (r) => quantile(r.own.added, 0.5)),
    of('the same for each policy', 'ms', (r) => quantile(r.own.added, 0.5) / MANY, { max: 0.078 }),
  ];
}
