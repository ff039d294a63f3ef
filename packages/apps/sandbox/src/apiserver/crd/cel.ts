// Runs x-kubernetes-validations. Rules are compiled once and cached by text. Called by ./runtime.ts.
import type { Environment } from '@marcbachmann/cel-js';
import { isObj, type Obj } from '../obj.ts';
import type { Schema } from '../schema/model.ts';
import { itemElement } from '../ssa/walk.ts';
import type { Cause } from '../status-error.ts';
import { createCelEnvironment } from './cel-env.ts';

type Program = (ctx: Record<string, unknown>) => unknown;

export interface CelRunner {
  /** Appends a cause for each rule that fails. `old` is undefined on create. */
  run(v: unknown, old: unknown, s: Schema, path: string, out: Cause[]): void;
  hasRules(s: Schema): boolean;
  /** Why an expression does not parse, or undefined. */
  syntaxError(expression: string): string | undefined;
}

interface Rule {
  readonly rule: string;
  readonly message?: string;
  readonly messageExpression?: string;
  readonly reason?: string;
  readonly fieldPath?: string;
  readonly optionalOldSelf?: boolean;
}

const programsMax = 5000;

export function createCelRunner(): CelRunner {
  const env: Environment = createCelEnvironment(['self', 'oldSelf']);
  const programs = new Map<string, Program | string>();
  const compiled = (text: string): Program | string => {
    let p = programs.get(text);
    if (p === undefined) {
      try {
        p = env.parse(text) as unknown as Program;
      } catch (e) {
        p = (e as Error).message.split('\n')[0] ?? 'syntax error';
      }
      if (programs.size >= programsMax) programs.clear();
      programs.set(text, p);
    }
    return p;
  };
  const withRules = new WeakMap<Schema, boolean>();
  const hasRules = (s: Schema): boolean => {
    const known = withRules.get(s);
    if (known !== undefined) return known;
    const own = Array.isArray(s.raw?.['x-kubernetes-validations']);
    const children = [
      ...Object.values(s.properties ?? {}),
      ...(s.items === undefined ? [] : [s.items]),
      ...(s.values === undefined ? [] : [s.values]),
    ];
    const found = own || children.some((c) => c.ref === undefined && hasRules(c));
    withRules.set(s, found);
    return found;
  };
  const run: CelRunner['run'] = (v, old, s, path, out) => {
    if (v === undefined || v === null || !hasRules(s)) return;
    const rules = (s.raw?.['x-kubernetes-validations'] ?? []) as Rule[];
    if (rules.length > 0) {
      const self = toCel(v, s);
      const oldSelf = old === undefined ? undefined : toCel(old, s);
      for (const rule of rules) runRule(rule, { self, oldSelf }, v, path, compiled, out);
    }
    descend(v, old, s, path, (x, o, c, p) => run(x, o, c, p, out));
  };
  return {
    run,
    hasRules,
    syntaxError(expression) {
      const p = compiled(expression);
      return typeof p === 'string' ? p : undefined;
    },
  };
}

function runRule(
  rule: Rule,
  ctx: { readonly self: unknown; readonly oldSelf: unknown },
  v: unknown,
  path: string,
  compiled: (t: string) => Program | string,
  out: Cause[],
): void {
  const transition = /\boldSelf\b/.test(rule.rule);
  if (transition && ctx.oldSelf === undefined) return;
  const scope: Record<string, unknown> = transition ? { self: ctx.self, oldSelf: ctx.oldSelf } : { self: ctx.self };
  const field = rule.fieldPath === undefined ? path : `${path}${rule.fieldPath}`.replace(/^\./, '');
  const add = (message: string): void => {
    out.push({ reason: rule.reason ?? 'FieldValueInvalid', field, message: `Invalid value: ${shown(v)}: ${message}` });
  };
  const program = compiled(rule.rule);
  if (typeof program === 'string') {
    add(`rule compile error: ${program}`);
    return;
  }
  try {
    if (program(scope) === true) return;
  } catch (e) {
    add(`${(e as Error).message.split('\n')[0]} evaluating rule: ${rule.message ?? rule.rule}`);
    return;
  }
  const why = messageOf(rule, scope, compiled);
  if (!isObj(v) && !Array.isArray(v)) add(why);
  else out.push({ reason: rule.reason ?? 'FieldValueInvalid', field, message: `Invalid value: ${why}` });
}

function messageOf(rule: Rule, scope: Record<string, unknown>, compiled: (t: string) => Program | string): string {
  if (rule.messageExpression !== undefined) {
    const p = compiled(rule.messageExpression);
    try {
      const text = typeof p === 'string' ? undefined : p(scope);
      if (typeof text === 'string' && text.trim() !== '') return text;
    } catch {
      // falls back to the plain message
    }
  }
  return rule.message ?? `failed rule: ${rule.rule.trim()}`;
}

const shown = (v: unknown): string => (isObj(v) ? '"object"' : Array.isArray(v) ? '"array"' : JSON.stringify(v));

type Visit = (v: unknown, old: unknown, s: Schema, path: string) => void;

/** Old values follow by key; items of atomic lists have no old value. */
function descend(v: unknown, old: unknown, s: Schema, path: string, visit: Visit): void {
  if (Array.isArray(v)) {
    if (s.items === undefined) return;
    const before = new Map<string, unknown>();
    if (s.listType === 'map' && Array.isArray(old)) for (const x of old) before.set(itemElement(x, s), x);
    v.forEach((x, i) => visit(x, before.get(itemElement(x, s)), s.items as Schema, `${path}[${i}]`));
    return;
  }
  if (!isObj(v)) return;
  for (const key in v) {
    const child = s.properties?.[key] ?? s.values;
    if (child !== undefined && child.ref === undefined)
      visit(v[key], isObj(old) ? old[key] : undefined, child, path === '' ? key : `${path}.${key}`);
  }
}

const reserved = new Set(
  'true false null in as break const continue else for function if import let loop package namespace return var void while'.split(' '),
);

/** Property names that are no CEL identifiers travel in their escaped form. */
function celName(key: string): string {
  if (reserved.has(key)) return `__${key}__`;
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(key) && !key.includes('__')) return key;
  return key.replaceAll('__', '__underscores__').replaceAll('.', '__dot__').replaceAll('-', '__dash__').replaceAll('/', '__slash__');
}

/** Integers are CEL ints (BigInt), timestamps are Dates. */
export function toCel(v: unknown, s?: Schema): unknown {
  if (typeof v === 'number') return s?.type === 'number' ? v : Number.isInteger(v) ? BigInt(v) : v;
  if (typeof v === 'string') return s?.format === 'date-time' && s.ref === undefined && s.raw !== undefined ? new Date(v) : v;
  if (Array.isArray(v)) return v.map((x) => toCel(x, s?.items));
  if (!isObj(v)) return v;
  const out: Obj = {};
  for (const key in v) {
    const named = s?.properties?.[key];
    out[named === undefined ? key : celName(key)] = toCel(v[key], named ?? s?.values);
  }
  return out;
}
