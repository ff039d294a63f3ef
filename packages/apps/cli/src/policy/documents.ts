// Manifests from files, directories and stdin → objects with the place they stand at. Called by world.ts and `policy validate`.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { AppError } from '@axoneme/std';
import { type Document, isNode, LineCounter, parseAllDocuments } from 'yaml';

export type Json = Readonly<Record<string, unknown>>;

/** One Kubernetes object as it was written. */
export interface Manifest {
  /** As the user named it; `-` is stdin. */
  readonly file: string;
  /** Number of the document in the file, from 1. */
  readonly document: number;
  /** First line of the document, from 1. */
  readonly line: number;
  readonly object: Json;
  /** Line of the field, e.g. `spec.ingress[0].toPorts[0]`; of the closest one that exists. */
  lineOf(path: string): number;
}

/** A document that could not be read. */
export interface BrokenDocument {
  readonly file: string;
  readonly document: number;
  readonly line: number;
  readonly message: string;
}

export interface Documents {
  readonly manifests: readonly Manifest[];
  readonly broken: readonly BrokenDocument[];
}

const fileSizeMax = 64 << 20;
const filesMax = 20_000;
const extensions = /\.(ya?ml|json)$/i;

export const obj = (v: unknown): Json => (v !== null && typeof v === 'object' && !Array.isArray(v) ? (v as Json) : {});
export const list = (v: unknown): readonly unknown[] => (Array.isArray(v) ? v : []);
export const str = (v: unknown): string => (typeof v === 'string' ? v : '');

/** Directories are read with all below them, hidden ones and node_modules excepted; the order does not depend on the file system. */
function filesIn(path: string, out: string[]): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new AppError({ code: 'cli/no-file', message: `${path} does not exist` });
  if (!stat.isDirectory()) {
    out.push(path);
    return;
  }
  for (const entry of readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.name.startsWith('.') || entry.name === 'node_modules') continue;
    const below = join(path, entry.name);
    if (entry.isDirectory()) filesIn(below, out);
    else if (extensions.test(entry.name)) out.push(below);
    if (out.length > filesMax) throw new AppError({ code: 'cli/usage', message: `more than ${filesMax} files under ${path}` });
  }
}

export function readDocuments(paths: readonly string[], stdin: () => string): Documents {
  const manifests: Manifest[] = [];
  const broken: BrokenDocument[] = [];
  for (const path of paths) {
    if (path === '-') {
      readText('-', stdin(), manifests, broken);
      continue;
    }
    const files: string[] = [];
    filesIn(path, files);
    for (const file of files) {
      if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > fileSizeMax)
        broken.push({ file, document: 1, line: 1, message: `is larger than ${fileSizeMax >> 20} MiB` });
      else readText(file, readFileSync(file, 'utf8'), manifests, broken);
    }
  }
  return { manifests, broken };
}

/** Documents of one text; used by tests as well. */
export function parseText(file: string, text: string): Documents {
  const manifests: Manifest[] = [];
  const broken: BrokenDocument[] = [];
  readText(file, text, manifests, broken);
  return { manifests, broken };
}

function readText(file: string, text: string, manifests: Manifest[], broken: BrokenDocument[]): void {
  const lines = new LineCounter();
  const parsed = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false });
  const documents = Array.isArray(parsed) ? parsed : [];
  documents.forEach((doc, i) => {
    const lineAt = (offset: number): number => Math.max(1, lines.linePos(offset).line);
    const start = lineAt(doc.contents?.range?.[0] ?? doc.range[0]);
    const error = doc.errors[0];
    if (error !== undefined) {
      broken.push({ file, document: i + 1, line: lineAt(error.pos[0]), message: `cannot be read as YAML: ${firstLine(error.message)}` });
      return;
    }
    let value: unknown;
    try {
      value = doc.toJS({ maxAliasCount: 1000 });
    } catch (e) {
      broken.push({ file, document: i + 1, line: start, message: `cannot be read as YAML: ${firstLine((e as Error).message)}` });
      return;
    }
    addObjects({ file, document: i + 1, line: start, doc, lineAt }, [], value, manifests, broken);
  });
}

const firstLine = (text: string): string => text.split('\n', 1)[0]!.slice(0, 200);

interface Place {
  readonly file: string;
  readonly document: number;
  readonly line: number;
  readonly doc: Document.Parsed;
  readonly lineAt: (offset: number) => number;
}

/** Lists (`kind: List`, `PodList`, …) are opened; what is no object with a kind is none of ours. */
function addObjects(place: Place, at: readonly (string | number)[], value: unknown, manifests: Manifest[], broken: BrokenDocument[]): void {
  const object = obj(value);
  const kind = str(object.kind);
  if (kind === '') return;
  const line = lineIn(place, at);
  if (kind.endsWith('List') && Array.isArray(object.items)) {
    // Items of a typed list may leave their kind out.
    const own = kind === 'List' ? undefined : kind.slice(0, -4);
    object.items.forEach((item, i) => {
      const full = own === undefined || str(obj(item).kind) !== '' ? item : { apiVersion: object.apiVersion, kind: own, ...obj(item) };
      addObjects(place, [...at, 'items', i], full, manifests, broken);
    });
    return;
  }
  if (object.metadata === null || typeof object.metadata !== 'object' || Array.isArray(object.metadata)) {
    broken.push({ file: place.file, document: place.document, line, message: `the ${kind.slice(0, 64)} has no metadata` });
    return;
  }
  manifests.push({
    file: place.file,
    document: place.document,
    line,
    object,
    lineOf: (path) => lineIn(place, [...at, ...stepsOf(path)]),
  });
}

/** `spec.ingress[0].ports` → its steps; keys with dots (labels) are given up at the dot, the parent's line is close enough. */
const stepsOf = (path: string): (string | number)[] =>
  [...path.matchAll(/\[(\d+)\]|[^.[\]]+/g)].map((m) => (m[1] === undefined ? m[0] : Number(m[1])));

function lineIn(place: Place, steps: readonly (string | number)[]): number {
  for (let n = steps.length; n > 0; n--) {
    const line = lineOfPair(place, steps.slice(0, n));
    if (line !== undefined) return line;
  }
  return place.line;
}

/** The line of the key, not of what stands below it. */
function lineOfPair(place: Place, steps: readonly (string | number)[]): number | undefined {
  const last = steps.at(-1)!;
  const parent = steps.length === 1 ? place.doc.contents : place.doc.getIn(steps.slice(0, -1), true);
  const items = (parent as { readonly items?: readonly unknown[] } | undefined)?.items;
  if (items === undefined) return undefined;
  if (typeof last === 'number') return offsetLine(place, items[last]);
  const pair = items.find((p) => {
    const key = (p as { readonly key?: unknown }).key;
    return (key as { readonly value?: unknown } | null)?.value === last;
  }) as { readonly key: unknown } | undefined;
  return pair === undefined ? undefined : offsetLine(place, pair.key);
}

function offsetLine(place: Place, node: unknown): number | undefined {
  return isNode(node) && node.range !== undefined && node.range !== null ? place.lineAt(node.range[0]) : undefined;
}
