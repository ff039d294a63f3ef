// Broken and doubtful objects: every one is refused or remarked upon, with words that are reviewed.
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import {
  cidrGroupKind,
  invariantKind,
  type PolicyIssue,
  type PolicyObject,
  parseCidrGroup,
  parseInvariant,
  parsePolicy,
  renderIssue,
} from '../src/index.ts';
import { expectGolden, strangers } from './golden.ts';

const folder = path.join(import.meta.dirname, 'corpus');
const files = fs.readdirSync(folder).filter((f) => f.endsWith('.yaml'));
const objectsIn = (file: string): PolicyObject[] =>
  parseAllDocuments(fs.readFileSync(path.join(folder, file), 'utf8'))
    .map((d) => d.toJS() as PolicyObject | null)
    .filter((o) => o !== null);

function issuesOf(o: PolicyObject): readonly PolicyIssue[] {
  if (o.kind === cidrGroupKind) return parseCidrGroup(o).issues;
  const r = o.kind === invariantKind ? parseInvariant(o, { clusterName: 'main' }) : parsePolicy(o, { clusterName: 'main' });
  if (!r.ok) return r.error;
  return 'issues' in r.value ? r.value.issues : [];
}

const verdict = (issues: readonly PolicyIssue[]): string =>
  issues.some((i) => i.severity === 'error') ? 'refused' : issues.length > 0 ? 'remarked' : 'SILENT';

describe('the corpus', () => {
  test('P3-a: every broken or empty policy is refused or remarked upon', () => {
    const all = files.flatMap((f) => objectsIn(f).map((o) => [`${f} ${o.kind} ${o.metadata.name}`, verdict(issuesOf(o))] as const));
    expect(all.length).toBeGreaterThanOrEqual(200);
    expect(all.filter(([, v]) => v === 'SILENT').map(([name]) => name)).toEqual([]);
  });

  test.each(files)('%s: the words', (file) => {
    const lines = objectsIn(file).flatMap((o) => {
      const issues = issuesOf(o);
      return [`${o.metadata.name}: ${verdict(issues)}`, ...issues.map((i) => `  ${i.severity} ${renderIssue(i)}`)];
    });
    expectGolden(`corpus/${file.replace('.yaml', '.txt')}`, lines);
  });

  test('an error names a field, and says what to do where that is not plain', () => {
    for (const o of files.flatMap(objectsIn)) {
      for (const i of issuesOf(o))
        expect([o.metadata.name, /^(spec|specs|metadata|kind|apiVersion)/.test(i.path) || i.path === 'specx']).toEqual([
          o.metadata.name,
          true,
        ]);
    }
  });

  test('no golden file is left over', () => {
    expect(
      strangers(
        'corpus',
        files.map((f) => f.replace('.yaml', '.txt')),
      ),
    ).toEqual([]);
  });
});
