// Policy objects → parsed rules, remembered per object version; what each object's status will say. Called by the compiler.
import { type ParsedPolicy, type PolicyIssue, type PolicyObject, parsePolicy, type Rule, renderIssue } from '@axoneme/policy';
import type { PolicyRow } from '../world/rows.ts';

export interface ParsedRow {
  readonly row: PolicyRow;
  /** Empty when the object is not valid. */
  readonly rules: readonly Rule[];
  readonly problems: readonly string[];
  readonly unsupported: readonly string[];
  readonly warnings: readonly string[];
}

const texts = (issues: readonly PolicyIssue[], severity: PolicyIssue['severity']): string[] =>
  issues.filter((i) => i.severity === severity).map(renderIssue);

function parseRow(row: PolicyRow, clusterName: string): ParsedRow {
  const parsed = parsePolicy({ kind: row.kind, ...row.object } as unknown as PolicyObject, { clusterName });
  const issues = parsed.ok ? (parsed.value as ParsedPolicy).issues : parsed.error;
  return {
    row,
    rules: parsed.ok ? parsed.value.rules : [],
    problems: parsed.ok ? [] : texts(issues, 'error'),
    unsupported: texts(issues, 'unsupported'),
    warnings: texts(issues, 'lint'),
  };
}

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
      if (old !== undefined && old.row.uid === row.uid && old.row.generation === row.generation && row.generation > 0) {
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
