// Every example is right, the page of docs names every field, changes by command keep a file's comments.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { compileBalancer } from '@axoneme/service';
import { unwrap } from '@axoneme/std';
import { describe, expect, test } from '@jest/globals';
import { problemText, readStateFile, withState } from '../src/index.ts';

const folder = fileURLToPath(new URL('../../../../examples/lb/', import.meta.url));
const files = readdirSync(folder).filter((f) => f.endsWith('.yaml') && f !== 'fleet.yaml');
const read = (file: string): string => readFileSync(`${folder}${file}`, 'utf8');

test.each(files)('%s compiles', (file) => {
  const state = readStateFile(read(file));
  if (!state.ok) throw new Error(state.problems.map((p) => problemText(file, p)).join('\n'));
  expect(compileBalancer(state.spec, new Set()).sets.size).toBeGreaterThan(0);
});

describe('problems have lines', () => {
  const lines = (text: string): string[] => {
    const state = readStateFile(text);
    return state.ok ? [] : state.problems.map((p) => problemText('lb.yaml', p));
  };
  test('of the field, or of what should have it', () => {
    expect(lines(read('snat.yaml').replace('8443, weight: 50', '84430').replace('    sourceRanges', '    sourceranges'))).toEqual([
      'lb.yaml:14: services[0].sourceranges is no field of this: did you mean sourceRanges?',
      'lb.yaml:11: services[0].backends[1].port 84430 is out of range: write 1 to 65535',
    ]);
    expect(lines('services:\n  - vips: []\n')[0]).toBe(
      'lb.yaml:2: services[0].name is missing: write small letters, digits and dashes, 63 at most',
    );
  });
  test('of what is no YAML', () => {
    expect(lines('services: [\n')[0]).toMatch(/^lb\.yaml:\d: is no YAML: /);
    expect(lines('')).toEqual(['lb.yaml: null is no mapping: write the fields maglevTableSize, noBackend, services']);
  });
});

describe('drain', () => {
  test.each(files)('%s: changes what it has to, and is right', (file) => {
    const before = read(file);
    const first = /10\.[\d.]+/.exec(before)?.[0] ?? '';
    const drained = unwrap(withState(before, first, 'maintenance'));
    expect(drained.text.replaceAll(', state: maintenance', '')).toBe(before.replaceAll(', state: maintenance', ''));
    const state = readStateFile(drained.text);
    const states = state.ok ? state.spec.services.flatMap((s) => s.backends).filter((b) => b.address === first) : [];
    expect(states.map((b) => b.state)).toEqual(['maintenance']);
    const back = unwrap(withState(drained.text, first, 'active')).text;
    expect(back).toBe(drained.text.replace('state: maintenance', 'state: active'));
    expect(readStateFile(back).ok).toBe(true);
  });
  test('in block style, with a port, in JSON', () => {
    const block =
      'services:\n  - name: a\n    backends:\n      - address: 10.0.0.1 # first\n        port: 80 # its port\n      - address: 10.0.0.2\n';
    expect(unwrap(withState(block, '10.0.0.1:80', 'maintenance')).text).toBe(block.replace('80 #', '80\n        state: maintenance #'));
    const text = JSON.stringify({ services: [{ backends: [{ address: 'fd00::1', port: 80 }] }] });
    expect(JSON.parse(unwrap(withState(text, '[fd00::1]:80', 'maintenance')).text)).toEqual({
      services: [{ backends: [{ address: 'fd00::1', port: 80, state: 'maintenance' }] }],
    });
  });
  test('says when there is no such backend', () => {
    const none = withState(read('snat.yaml'), '10.9.9.9', 'maintenance');
    expect(none.ok ? '' : none.error.message).toBe('the file has no backend 10.9.9.9');
  });
});
