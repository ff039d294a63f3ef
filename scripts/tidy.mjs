// House rules a linter does not know: file size, kebab-case, header comment, one index per package, no deep imports,
// no skipped tests, SPDX in C. Exceptions stand in scripts/tidy-exceptions.json; the list only shrinks.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const exceptions = JSON.parse(fs.readFileSync(path.join(root, 'scripts/tidy-exceptions.json'), 'utf8'));
const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: root, encoding: 'utf8' }).trim().split('\n');
const LINES_MAX = 600;

const rules = [
  [
    'lines',
    (f, text) =>
      /\.(ts|c|h|mjs)$/.test(f) && text.split('\n').length > LINES_MAX + 1 && `${text.split('\n').length} lines, limit ${LINES_MAX}`,
  ],
  [
    'kebab-case',
    (f) => /\.ts$/.test(f) && !/^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9-]+)*\.ts$/.test(path.basename(f)) && 'file name is not kebab-case',
  ],
  [
    'header',
    (f, text) =>
      /\/src\/.*\.ts$/.test(f) &&
      !/index\.ts$/.test(f) &&
      !/^(\/\/|\/\*|#!)/.test(text) &&
      'no comment at the top that says what the file owns',
  ],
  ['deep-import', (f, text) => /\.ts$/.test(f) && /from '(@axoneme\/[a-z-]+|kopf-ts)\/[^']+'/.test(text) && 'imports past a package index'],
  [
    'skipped-test',
    (f, text) =>
      /\.test\.ts$/.test(f) && /\b(test|it|describe)\.(skip|only|todo)\b|\bx(it|test|describe)\(/.test(text) && 'skipped or focused test',
  ],
  [
    'spdx',
    (f, text) => /\.(c|h)$/.test(f) && !text.split('\n', 1)[0].includes('SPDX-License-Identifier') && 'first line is not an SPDX line',
  ],
  [
    'bare-error',
    (f, text) =>
      /\/src\/.*\.ts$/.test(f) && !/\.test\.ts$/.test(f) && /throw new Error\(/.test(text) && 'throws a bare Error; use AppError',
  ],
];

let found = 0;
for (const f of files) {
  if (/\/src\/gen\/|\/node_modules\/|\/data\//.test(f) || !/\.(ts|mjs|c|h)$/.test(f) || !fs.existsSync(path.join(root, f))) continue;
  const text = fs.readFileSync(path.join(root, f), 'utf8');
  for (const [name, rule] of rules) {
    const problem = rule(f, text);
    if (!problem || exceptions[name]?.includes(f)) continue;
    process.stderr.write(`${f}: ${problem} [${name}]\n`);
    found += 1;
  }
}
process.exit(found === 0 ? 0 : 1);
