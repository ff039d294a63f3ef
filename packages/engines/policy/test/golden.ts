// Texts that are reviewed once and compared ever after. UPDATE_GOLDEN=1 writes them: a question to the reviewer.
import fs from 'node:fs';
import path from 'node:path';
import { expect } from '@jest/globals';

const folder = path.join(import.meta.dirname, 'golden');

export function expectGolden(name: string, lines: readonly string[]): void {
  const file = path.join(folder, name);
  const text = `${lines.join('\n').trim()}\n`;
  if (process.env.UPDATE_GOLDEN === '1') {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
  }
  expect(fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : `${name} is missing: run with UPDATE_GOLDEN=1`).toBe(text);
}

/** Golden files without a case of their own. */
export const strangers = (under: string, names: readonly string[]): string[] => {
  const at = path.join(folder, under);
  return fs.existsSync(at) ? fs.readdirSync(at).filter((f) => !names.includes(f)) : [];
};
