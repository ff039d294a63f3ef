// `npm run bench -- compile`: the policy engine alone, in memory: everything from nothing, by both compilers, and one identity more.
import { compileLayers, createLayeredCompiler, type LayeredCompiler, type ParsedPolicy, type PolicyIdentity } from '@axoneme/policy';
import { invariant } from '@axoneme/std';
import { waitForCalm } from '../quiet.ts';
import { createReport, plainRow, quantile, type Report, type Row } from '../report.ts';
import { config, oneSubjectPolicies, peer, subject, widePolicies } from './inputs.ts';
import { memoryMb, type ScaleRound, scaleRound, scaleRows, timed } from './scale-run.ts';

export interface CompileOptions {
  readonly rounds: number;
  readonly progress: (line: string) => void;
}

const IDENTITIES = 10_000;
/** The reference compiler looks at every pair of identities: at 10,000 it would run for minutes. */
const REFERENCE_IDENTITIES = 2000;
const POLICIES = 1000;
const ADDED = 200;

const peers = (n: number): readonly PolicyIdentity[] => Array.from({ length: n }, (_, i) => peer(i));

interface World {
  readonly identities: readonly PolicyIdentity[];
  readonly policies: readonly ParsedPolicy[];
}

const fill = (w: World): LayeredCompiler => {
  const compiler = createLayeredCompiler(config);
  compiler.update({ policies: w.policies, identities: w.identities });
  return compiler;
};

/** ms of each of many single additions, each taken back outside the measurement. */
function additions(compiler: LayeredCompiler, extra: (i: number) => PolicyIdentity): readonly number[] {
  return Array.from({ length: ADDED }, (_, i) => {
    const identity = extra(i);
    const [ms] = timed(() => compiler.update({ identities: [identity] }));
    compiler.update({ removedIdentities: [identity.id] });
    return ms;
  });
}

interface Wide {
  readonly all: number;
  readonly filledFew: number;
  readonly filled: number;
  readonly added: readonly number[];
  readonly edited: readonly number[];
  readonly heap: number;
  readonly rows: number;
}

function wideRound(w: World): Wide {
  const few = { ...w, identities: w.identities.slice(0, REFERENCE_IDENTITIES) };
  const rules = w.policies.flatMap((p) => p.rules);
  const [all, table] = timed(() => compileLayers({ rules, identities: few.identities, cidrIdentities: [] }, config));
  const [filledFew, same] = timed(() => fill(few));
  invariant(same.table().policies.size === table.policies.size, 'both compilers make the same handles');
  const before = memoryMb();
  const [filled, compiler] = timed(() => fill(w));
  const heap = memoryMb() - before;
  const rows = [...compiler.table().policies.values()].reduce((a, r) => a + r.count, 0);
  const added = additions(compiler, (i) => peer(IDENTITIES + i));
  const edited = w.policies
    .slice(0, ADDED)
    .map((p, i) => timed(() => compiler.update({ policies: [{ key: p.key, rules: w.policies[i + 40]!.rules }] }))[0]);
  return { all, filledFew, filled, added, edited, rows, heap };
}

interface One {
  /** 100 rules given to a compiler that knows 1,000 identities. */
  readonly full: number;
  readonly added: readonly number[];
}

function oneRound(): One {
  const small: World = { identities: [subject(), ...peers(1000)], policies: oneSubjectPolicies(100) };
  const compiler = createLayeredCompiler(config);
  compiler.update({ identities: small.identities });
  const [full] = timed(() => compiler.update({ policies: small.policies }));
  const large: World = { identities: [subject(), ...peers(IDENTITIES)], policies: oneSubjectPolicies(100) };
  return { full, added: additions(fill(large), (i) => peer(IDENTITIES + i)) };
}

export async function runCompileBench(options: CompileOptions): Promise<Report> {
  const world: World = { identities: peers(IDENTITIES), policies: widePolicies(POLICIES) };
  oneRound(); // the engine's code is compiled by V8 before it counts
  const [wide, one, scale]: [Wide[], One[], ScaleRound[]] = [[], [], []];
  for (let r = 0; r < options.rounds; r++) {
    const busy = await waitForCalm();
    wide.push(wideRound(world));
    one.push(oneRound());
    scale.push(scaleRound());
    options.progress(`round ${r + 1} of ${options.rounds}, machine ${Math.round(busy * 100)} % busy before it`);
  }
  return createReport(
    'Policy engine',
    options.rounds,
    [...rowsOf(wide, one), ...scaleRows(scale)],
    [
      `Wide: ${IDENTITIES} identities in 20 namespaces, ${POLICIES} policies of one rule with two ports; ${wide[0]!.rows} rows.`,
      'One subject: rules and peers as in the reference benches (Go: 4.1 ms for 100 rules × 1k identities, 0.78 ms for one identity at 10k).',
      'Each compile is one synchronous call: its time is the longest block of the event loop it causes.',
    ],
  );
}

function rowsOf(wide: readonly Wide[], one: readonly One[]): readonly Row[] {
  const [of, share] = [(f: (w: Wide) => number) => wide.map(f), quantile];
  return [
    plainRow(
      `compileLayers, wide, ${REFERENCE_IDENTITIES} identities`,
      'ms',
      of((w) => w.all),
      { note: 'the reference compiler, for tests only' },
    ),
    plainRow(
      `incremental compiler from nothing, wide, ${REFERENCE_IDENTITIES} identities`,
      'ms',
      of((w) => w.filledFew),
    ),
    plainRow(
      `incremental compiler from nothing, wide, ${IDENTITIES} identities`,
      'ms',
      of((w) => w.filled),
    ),
    plainRow(
      'one identity added, wide, p50',
      'ms',
      of((w) => share(w.added, 0.5)),
      { note: `${ADDED} a round` },
    ),
    plainRow(
      'one identity added, wide, p99',
      'ms',
      of((w) => share(w.added, 0.99)),
    ),
    plainRow(
      'one policy replaced, wide, p50',
      'ms',
      of((w) => share(w.edited, 0.5)),
      { note: `${ADDED} a round` },
    ),
    plainRow(
      'one policy replaced, wide, p99',
      'ms',
      of((w) => share(w.edited, 0.99)),
    ),
    plainRow(
      'heap of the incremental compiler, wide',
      'MB',
      of((w) => w.heap),
    ),
    plainRow(
      'one subject, 100 rules × 1k known identities',
      'ms',
      one.map((o) => o.full),
      { max: 4.1 },
    ),
    plainRow(
      'one subject, one identity added at 10k, p50',
      'ms',
      one.map((o) => share(o.added, 0.5)),
      { max: 0.078 },
    ),
    plainRow(
      'one subject, one identity added at 10k, p99',
      'ms',
      one.map((o) => share(o.added, 0.99)),
    ),
  ];
}
