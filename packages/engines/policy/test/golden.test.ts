// Every example policy of the documentation → rows, as reviewed text.
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import { type PolicyObject, parseInvariant, policyKinds, portText, renderIssue } from '../src/index.ts';
import { expectGolden, strangers } from './golden.ts';
import { describe as describeObjects } from './town.ts';

const root = path.resolve(import.meta.dirname, '../../../..');
const folder = path.join(root, 'examples/policies');
const files = fs.readdirSync(folder).filter((f) => f.endsWith('.yaml'));
const objectsIn = (file: string): PolicyObject[] =>
  parseAllDocuments(fs.readFileSync(path.join(folder, file), 'utf8')).map((d) => d.toJS() as PolicyObject);
const golden = (file: string): string => `examples/${file.replace('.yaml', '.txt')}`;

describe('examples', () => {
  test('there are enough of every kind', () => {
    const kinds = new Map<string, number>();
    for (const o of files.flatMap(objectsIn)) kinds.set(o.kind!, (kinds.get(o.kind!) ?? 0) + 1);
    for (const kind of policyKinds) expect([kind, (kinds.get(kind) ?? 0) > 0]).toEqual([kind, true]);
    expect(files.length).toBeGreaterThanOrEqual(40);
  });

  test.each(files.filter((f) => !f.startsWith('invariant')))('%s', (file) => {
    expectGolden(golden(file), describeObjects(objectsIn(file)).lines);
  });

  test.each(files.filter((f) => f.startsWith('invariant')))('%s', (file) => {
    const lines = objectsIn(file).map((o) => {
      const r = parseInvariant(o, { clusterName: 'main' });
      if (!r.ok) return r.error.map(renderIssue).join('\n');
      const { name, from, to, ports, expect: what, action } = r.value;
      const target = to.kind === 'cidr' ? to.cidr : to.selector.text;
      return [`${name}: ${what}, ${action}`, `from ${from.text}`, `to ${target}`, `ports ${ports.map(portText).join(', ')}`].join('\n');
    });
    expectGolden(golden(file), lines);
  });

  test('no golden file is left over', () => {
    expect(
      strangers(
        'examples',
        files.map((f) => f.replace('.yaml', '.txt')),
      ),
    ).toEqual([]);
  });

  test('the documentation names every example, and only those', () => {
    const page = fs.readFileSync(path.join(folder, 'README.md'), 'utf8');
    const named = [...page.matchAll(/\(([a-z0-9-]+\.yaml)\)/g)].map((m) => m[1]!);
    expect([...new Set(named)].sort()).toEqual([...files].sort());
  });
});
