// Reads fields of a plain object that somebody wrote by hand; what is wrong is noted with its place and what to write instead, and reading
// goes on, so that one look shows everything. Called by read-spec.ts.

export interface Problem {
  /** `services[0].backends[2].port`; empty: the whole. */
  readonly at: string;
  readonly message: string;
  /** What to write instead. */
  readonly fix: string;
}

export type Fields = Readonly<Record<string, unknown>>;

export interface FieldReader {
  readonly problems: readonly Problem[];
  problem(at: string, message: string, fix: string): void;
  /** Fields of a mapping; unknown ones are problems. */
  fields(at: string, value: unknown, known: readonly string[]): Fields;
  list(at: string, value: unknown, need: 'may be empty' | 'one at least'): readonly unknown[];
  text(at: string, value: unknown, fallback: string): string;
  whole(at: string, value: unknown, limits: Limits): number;
  choice<T extends string>(at: string, value: unknown, choices: readonly T[], fallback: T): T;
  /** `1s`, `500ms`, `3h` in milliseconds. */
  duration(at: string, value: unknown, limits: Limits): number;
}

export interface Limits {
  readonly min: number;
  readonly max: number;
  /** Undefined: it must be written. */
  readonly fallback?: number;
}

const shown = (v: unknown): string => {
  const text = JSON.stringify(v) ?? String(v);
  return text.length > 40 ? `${text.slice(0, 37)}...` : text;
};
const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** 3600000 → `1h`. */
export function durationText(ms: number): string {
  const unit = ms === 0 ? 'ms' : (['h', 'm', 's', 'ms'].find((u) => ms % units[u]! === 0) ?? 'ms');
  return `${ms / units[unit]!}${unit}`;
}

/** The known name that is meant, if one letter or its case is wrong. */
function nearest(name: string, known: readonly string[]): string | undefined {
  const letters = (t: string): string => [...t.toLowerCase()].sort().join('');
  const close = (a: string, b: string): boolean =>
    a.startsWith(b) || b.startsWith(a) || letters(a) === letters(b) || [...a].some((_, i) => a.slice(0, i) + a.slice(i + 1) === b);
  return known.find((k) => close(k.toLowerCase(), name.toLowerCase()) || close(name.toLowerCase(), k.toLowerCase()));
}

export function createFieldReader(): FieldReader {
  const problems: Problem[] = [];
  const problem = (at: string, message: string, fix: string): void => void problems.push({ at, message, fix });
  const missing = (at: string, fix: string): void => problem(at, 'is missing', fix);
  const checkRange = (at: string, n: number, value: unknown, l: Limits, show: (n: number) => string): number => {
    if (n >= l.min && n <= l.max) return n;
    problem(at, `${shown(value)} is out of range`, `write ${show(l.min)} to ${show(l.max)}`);
    return l.fallback ?? l.min;
  };
  return {
    problems,
    problem,
    fields(at, value, known) {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) {
        problem(at, value === undefined ? 'is missing' : `${shown(value)} is no mapping`, `write the fields ${known.join(', ')}`);
        return {};
      }
      for (const name of Object.keys(value)) {
        if (known.includes(name)) continue;
        const meant = nearest(name, known);
        const place = at === '' ? name : `${at}.${name}`;
        problem(place, 'is no field of this', meant === undefined ? `the fields are ${known.join(', ')}` : `did you mean ${meant}?`);
      }
      return value as Fields;
    },
    list(at, value, need) {
      if (!Array.isArray(value)) {
        if (value === undefined || value === null) {
          if (need === 'one at least') missing(at, 'write a list with one entry at least');
        } else problem(at, `${shown(value)} is no list`, 'write a list');
        return [];
      }
      if (value.length === 0 && need === 'one at least') problem(at, 'is empty', 'write one entry at least');
      return value;
    },
    text(at, value, fallback) {
      if (value === undefined || value === null) return fallback;
      if (typeof value === 'string' && value !== '') return value;
      problem(at, `${shown(value)} is no text`, 'write text, in quotes if it looks like a number');
      return fallback;
    },
    whole(at, value, l) {
      if (value === undefined || value === null) {
        if (l.fallback === undefined) missing(at, `write a whole number from ${l.min} to ${l.max}`);
        return l.fallback ?? l.min;
      }
      if (typeof value === 'number' && Number.isInteger(value)) return checkRange(at, value, value, l, String);
      problem(at, `${shown(value)} is no whole number`, `write ${l.min} to ${l.max}, without quotes`);
      return l.fallback ?? l.min;
    },
    choice(at, value, choices, fallback) {
      if (value === undefined || value === null) return fallback;
      const found = typeof value === 'string' ? choices.find((c) => c.toLowerCase() === value.toLowerCase()) : undefined;
      if (found === undefined) problem(at, `${shown(value)} is not known`, `write ${choices.join(' or ')}`);
      return found ?? fallback;
    },
    duration(at, value, l) {
      if (value === undefined || value === null) return l.fallback ?? l.min;
      const parts = typeof value === 'string' ? /^(\d{1,9})(ms|s|m|h)$/.exec(value) : null;
      if (parts !== null) return checkRange(at, Number(parts[1]) * units[parts[2]!]!, value, l, durationText);
      problem(at, `${shown(value)} is no duration`, 'write a number with its unit, as in 500ms, 2s, 10m or 3h');
      return l.fallback ?? l.min;
    },
  };
}
