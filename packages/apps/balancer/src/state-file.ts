// The state file as text: YAML or JSON → spec, or problems with the line they are on; and changes of a file that keep its comments. Called by
// `lb run`, `lb check` and `lb drain`.
import { renameSync, statSync, writeFileSync } from 'node:fs';
import { type BalancerSpec, type Problem, readBalancerSpec } from '@axoneme/service';
import { AppError, fail, ok, type Result } from '@axoneme/std';
import { type Document, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument, type YAMLMap } from 'yaml';

export interface PlacedProblem extends Problem {
  /** From 1; 0: unknown. */
  readonly line: number;
}

export type ReadFile =
  | { readonly ok: true; readonly spec: BalancerSpec }
  | { readonly ok: false; readonly problems: readonly PlacedProblem[] };

/** `services[0].backends[2].port` → steps of a path. */
const stepsOf = (at: string): (string | number)[] =>
  [...at.matchAll(/([^.[\]]+)|\[(\d+)\]/g)].map((m) => (m[2] === undefined ? m[1]! : Number(m[2])));

/** Line of the place, or of the nearest thing around it that is there. */
function lineOf(doc: Document, counter: LineCounter, at: string): number {
  for (const steps = stepsOf(at); ; steps.pop()) {
    const node = doc.getIn(steps, true);
    if (isNode(node) && node.range) return counter.linePos(node.range[0]).line;
    if (steps.length === 0) return 0;
  }
}

export function readStateFile(text: string): ReadFile {
  const counter = new LineCounter();
  const doc = parseDocument(text, { lineCounter: counter, prettyErrors: false });
  const broken = doc.errors.map((e): PlacedProblem => {
    const line = counter.linePos(e.pos[0]).line;
    return { at: '', line, message: `is no YAML: ${e.message}`, fix: 'mend the syntax of this line' };
  });
  if (broken.length > 0) return { ok: false, problems: broken };
  const read = readBalancerSpec(doc.toJS());
  if (read.ok) return read;
  return { ok: false, problems: read.problems.map((p) => ({ ...p, line: lineOf(doc, counter, p.at) })) };
}

/** `lb.yaml:12: services[0].vips[0].port: "80" is no whole number: write 1 to 65535, without quotes` */
export const problemText = (file: string, p: PlacedProblem): string =>
  `${file}${p.line > 0 ? `:${p.line}` : ''}: ${p.at === '' ? '' : `${p.at} `}${p.message}: ${p.fix}`;

export const problemsError = (file: string, problems: readonly PlacedProblem[]): AppError =>
  new AppError({
    code: 'balancer/bad-file',
    message: problems.map((p) => problemText(file, p)).join('\n'),
    fields: { problems: problems.length },
  });

/** Whole, or not at all; with the rights of the file that was there. */
export function replaceFile(path: string, text: string): void {
  const temp = `${path}.new`;
  let mode = 0o644;
  try {
    mode = statSync(path).mode & 0o777;
  } catch {
    // a new one
  }
  writeFileSync(temp, text, { mode });
  renameSync(temp, path);
}

interface Edit {
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

/** What to write where, so that this backend has the state and nothing else of the file changes. */
function editOf(text: string, backend: YAMLMap, state: string, columnOf: (at: number) => number): Edit | undefined {
  const quoted = text[rangeOf(backend.items[0]?.key)[0]] === '"';
  const word = (w: string): string => (quoted ? `"${w}"` : w);
  const known = backend.items.find((p) => isScalar(p.key) && p.key.value === 'state')?.value;
  if (isNode(known)) {
    const [from, to] = rangeOf(known);
    return { from, to, text: word(state) };
  }
  if (state === 'active') return undefined;
  const [, end] = rangeOf(backend.items.at(-1)?.value);
  const between = backend.flow === true ? ', ' : `\n${' '.repeat(columnOf(rangeOf(backend.items[0]?.key)[0]))}`;
  return { from: end, to: end, text: `${between}${word('state')}: ${word(state)}` };
}

const rangeOf = (node: unknown): readonly [from: number, to: number] => {
  const range = isNode(node) ? node.range : undefined;
  return range ? [range[0], range[1]] : [0, 0];
};

/** The file with another state for every backend at `backend` (`address` or `address:port`), and how many they are. Errors: `balancer/no-backend`. */
export function withState(text: string, backend: string, state: 'active' | 'maintenance'): Result<{ text: string; changed: number }> {
  const counter = new LineCounter();
  const services = parseDocument(text, { lineCounter: counter }).get('services');
  const columnOf = (at: number): number => counter.linePos(at).col - 1;
  const edits: Edit[] = [];
  let changed = 0;
  for (const s of isSeq(services) ? services.items : []) {
    const backends = isMap(s) ? s.get('backends') : undefined;
    for (const b of isSeq(backends) ? backends.items : []) {
      if (!isMap(b)) continue;
      const address = String(b.get('address'));
      const host = address.includes(':') ? `[${address}]` : address;
      if (backend !== address && backend !== `${host}:${String(b.get('port'))}`) continue;
      changed += 1;
      const edit = editOf(text, b, state, columnOf);
      if (edit !== undefined) edits.push(edit);
    }
  }
  if (changed === 0) {
    const hint = 'name it as the file does, with or without :port';
    return fail({ code: 'balancer/no-backend', message: `the file has no backend ${backend}`, hint });
  }
  let next = text;
  for (const e of edits.reverse()) next = `${next.slice(0, e.from)}${e.text}${next.slice(e.to)}`;
  return ok({ text: next, changed });
}
