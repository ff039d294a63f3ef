// Typed access to plain JSON that may hold anything. Called by the parsers; absent (or null) and empty stay different.
import type { LabelSelector, LabelSelectorRequirement } from '@axoneme/model';
import type { IssueList } from './issues.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

export const isPresent = (value: unknown): boolean => value !== undefined && value !== null;

export function readObject(issues: IssueList, path: string, value: unknown): JsonObject | undefined {
  if (!isPresent(value)) return undefined;
  if (typeof value === 'object' && !Array.isArray(value)) return value as JsonObject;
  issues.error(path, 'must be an object');
  return undefined;
}

/** As `readObject` for an item of a list, which cannot be absent. */
export function readItem(issues: IssueList, path: string, value: unknown): JsonObject | undefined {
  if (!isPresent(value)) issues.error(path, 'must be an object');
  return readObject(issues, path, value);
}

/** More than any list of a policy holds; keeps the time one object takes bounded. */
const itemsMax = 20_000;

/** Undefined = absent; a wrong type is an error and counts as empty. */
export function readList(issues: IssueList, path: string, value: unknown, max = itemsMax): readonly unknown[] | undefined {
  if (!isPresent(value)) return undefined;
  if (!Array.isArray(value)) {
    issues.error(path, 'must be a list');
    return [];
  }
  if (value.length <= max) return value;
  issues.error(path, `has ${value.length} items, at most ${max} are possible`, 'split the policy');
  return [];
}

export function readString(issues: IssueList, path: string, value: unknown): string | undefined {
  if (!isPresent(value)) return undefined;
  if (typeof value === 'string') return value;
  issues.error(path, 'must be a string');
  return undefined;
}

export function readBoolean(issues: IssueList, path: string, value: unknown): boolean | undefined {
  if (!isPresent(value)) return undefined;
  if (typeof value === 'boolean') return value;
  issues.error(path, 'must be true or false');
  return undefined;
}

/** A whole number from `min` to `max`; undefined if absent or wrong (then reported). */
export function readInteger(issues: IssueList, path: string, value: unknown, min: number, max: number): number | undefined {
  if (!isPresent(value)) return undefined;
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
  issues.error(path, `${shown(value)} is not a whole number from ${min} to ${max}`);
  return undefined;
}

/** Length of a list field, 0 if it is absent or no list. */
export const listLength = (value: unknown): number => (Array.isArray(value) ? value.length : 0);

/** A value for a message: short, quoted if it is text. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return `"${value.slice(0, 64)}"`;
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  return String(value).slice(0, 64);
}

/** Text of a scalar that may be text or a number; empty for anything else. */
export const textOf = (value: unknown): string => (typeof value === 'string' || typeof value === 'number' ? String(value) : '');

/** The shape of a label selector; what the keys and values say is checked when it is compiled. */
export function readSelector(issues: IssueList, path: string, value: unknown): LabelSelector | undefined {
  const raw = readObject(issues, path, value);
  if (raw === undefined) return undefined;
  checkFields(issues, path, raw, ['matchLabels', 'matchExpressions']);
  const matchLabels: [string, string][] = [];
  for (const [key, v] of Object.entries(readObject(issues, `${path}.matchLabels`, raw.matchLabels) ?? {})) {
    if (typeof v === 'string') matchLabels.push([key, v]);
    else issues.error(`${path}.matchLabels`, `the value of "${key.slice(0, 64)}" must be a string`, 'put it in quotes');
  }
  const matchExpressions = (readList(issues, `${path}.matchExpressions`, raw.matchExpressions) ?? []).flatMap((e, i) =>
    readRequirement(issues, `${path}.matchExpressions[${i}]`, e),
  );
  return { matchLabels: Object.fromEntries(matchLabels), matchExpressions };
}

function readRequirement(issues: IssueList, path: string, value: unknown): LabelSelectorRequirement[] {
  const raw = readItem(issues, path, value) ?? {};
  checkFields(issues, path, raw, ['key', 'operator', 'values']);
  const key = readString(issues, `${path}.key`, raw.key);
  const operator = readString(issues, `${path}.operator`, raw.operator);
  if (!isPresent(raw.key)) issues.error(`${path}.key`, 'the label key is missing');
  if (!isPresent(raw.operator)) issues.error(`${path}.operator`, 'the operator is missing', 'use In, NotIn, Exists or DoesNotExist');
  const values = (readList(issues, `${path}.values`, raw.values) ?? []).flatMap(
    (v, i) => readString(issues, `${path}.values[${i}]`, v) ?? [],
  );
  return key === undefined || operator === undefined ? [] : [{ key, operator, values }];
}

/** A field nobody knows is an error: a misspelled peer field would otherwise leave an entry wider than it reads. */
export function checkFields(issues: IssueList, path: string, raw: JsonObject, known: readonly string[]): void {
  let strangers = 0;
  for (const key of Object.keys(raw)) {
    if (known.includes(key) || !isPresent(raw[key])) continue;
    if (++strangers > strangersMax) return;
    const near = nearest(key, known);
    const at = path === '' ? key.slice(0, 64) : `${path}.${key.slice(0, 64)}`;
    issues.error(at, 'unknown field', near === undefined ? 'is it in the wrong place?' : `do you mean ${near}?`);
  }
}

const strangersMax = 20;
const nameLengthMax = 40;
/** Words of other APIs and the words meant, where ours has them. */
const misnomers: Readonly<Record<string, string>> = {
  podSelector: 'endpointSelector',
  from: 'fromEndpoints',
  to: 'toEndpoints',
  fromPods: 'fromEndpoints',
  toPods: 'toEndpoints',
  toEndpoints: 'fromEndpoints',
  fromEndpoints: 'toEndpoints',
  ports: 'toPorts',
  name: 'serviceName',
};

/** The known name a misspelled one probably stands for. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const other = Object.hasOwn(misnomers, name) ? misnomers[name] : undefined;
  if (other !== undefined && known.includes(other)) return other;
  if (name.length > nameLengthMax) return undefined;
  let best: string | undefined;
  let least = Math.max(1, Math.floor(name.length / 4)) + 1;
  for (const k of known) {
    const d = distance(name.toLowerCase(), k.toLowerCase());
    if (d < least) [best, least] = [k, d];
  }
  return best;
}

/** Edits from one text to the other: insert, remove, replace, swap neighbours. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? before[j - 2]! + 1 : replaced;
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, replaced, swapped));
    }
    [before, row] = [row, next];
  }
  return row[b.length]!;
}
