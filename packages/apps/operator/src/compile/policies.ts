// Policy objects → parsed rules, remembered per object version; what each object's status will say. Called by the compiler.
import { modeAnnotation, type PolicyIssue, type PolicyObject, parsePolicy, type Rule, renderIssue } from '@axoneme/policy';
import { describeError } from '@axoneme/std';
import type { PolicyRow } from '../world/rows.ts';

export interface ParsedRow {
  readonly row: PolicyRow;
  /** Empty when the object is not valid. */
  readonly rules: readonly Rule[];
  readonly problems: readonly string[];
  readonly unsupported: readonly string[];
  readonly warnings: readonly string[];
}

const isObject = (v: unknown): v is Readonly<Record<string, unknown>> => typeof v === 'object' && v !== null && !Array.isArray(v);

const texts = (issues: readonly PolicyIssue[], severity: PolicyIssue['severity']): string[] =>
  issues.filter((i) => i.severity === severity).map(renderIssue);

/** What is to be said of one policy object, whatever it is. Admission and compiler both ask here, so they cannot disagree. */
export function readPolicy(kind: string, object: Readonly<Record<string, unknown>>, clusterName: string): Omit<ParsedRow, 'row'> {
  try {
    const metadata = isObject(object.metadata) ? object.metadata : {};
    const parsed = parsePolicy({ ...object, kind, metadata } as unknown as PolicyObject, { clusterName });
    const issues = parsed.ok ? parsed.value.issues : parsed.error;
    return {
      rules: parsed.ok ? parsed.value.rules : [],
      problems: parsed.ok ? [] : texts(issues, 'error'),
      unsupported: texts(issues, 'unsupported'),
      warnings: texts(issues, 'lint'),
    };
  } catch (error) {
    // one object that cannot be read must not stop all others
    return { rules: [], problems: [`the object cannot be read: ${describeError(error)}`], unsupported: [], warnings: [] };
  }
}

const parseRow = (row: PolicyRow, clusterName: string): ParsedRow => ({ row, ...readPolicy(row.kind, row.object, clusterName) });

/** Annotations are outside of the generation. */
const modeOf = (row: PolicyRow): unknown => {
  const { annotations } = isObject(row.object.metadata) ? row.object.metadata : {};
  return isObject(annotations) ? annotations[modeAnnotation] : undefined;
};

const sameVersion = (a: PolicyRow, b: PolicyRow): boolean =>
  a.uid === b.uid && a.generation === b.generation && b.generation > 0 && modeOf(a) === modeOf(b);

export interface PolicyParser {
  /** Parses one object; status-only changes keep the result of before. */
  parse(key: string, row: PolicyRow): { readonly parsed: ParsedRow; readonly changed: boolean };
  forget(key: string): ParsedRow | undefined;
  all(): ReadonlyMap<string, ParsedRow>;
}

export function createPolicyParser(clusterName: string): PolicyParser {
  const held = new Map<string, ParsedRow>();
  return {
    parse(key, row) {
      const old = held.get(key);
      if (old !== undefined && sameVersion(old.row, row)) {
        return { parsed: old, changed: false };
      }
      const parsed = parseRow(row, clusterName);
      held.set(key, parsed);
      return { parsed, changed: true };
    },
    forget(key) {
      const old = held.get(key);
      held.delete(key);
      return old;
    },
    all: () => held,
  };
}
