// `npm test`: static checks, unit and property suites, kernel suites, end-to-end suites; ends with `N passed, N failed`.
// Arguments: any of `check unit kernel e2e` (default all), or jest path filters after `--`.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { runChecks } from './check.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const args = process.argv.slice(2);
const split = args.indexOf('--');
const phases = (split < 0 ? args : args.slice(0, split)).filter(Boolean);
const filters = split < 0 ? [] : args.slice(split + 1);
const wanted = (p) => phases.length === 0 || phases.includes(p);

const tally = { passed: 0, failed: 0, skipped: 0 };

function jest(name, extra) {
  const out = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-jest-')), 'result.json');
  const argv = [
    '--experimental-vm-modules',
    '--no-warnings',
    path.join(root, 'node_modules/jest/bin/jest.js'),
    '--json',
    `--outputFile=${out}`,
    '--silent=false',
    ...extra,
    ...filters,
  ];
  process.stdout.write(`\n== ${name}\n`);
  const r = spawnSync(process.execPath, argv, {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  if (!fs.existsSync(out)) {
    process.stdout.write(`FAIL ${name}: jest ended without a result (exit ${r.status})\n`);
    tally.failed += 1;
    return;
  }
  const res = JSON.parse(fs.readFileSync(out, 'utf8'));
  tally.passed += res.numPassedTests;
  tally.failed += res.numFailedTests + res.numRuntimeErrorTestSuites;
  tally.skipped += res.numPendingTests + res.numTodoTests;
  if (r.status !== 0 && res.numFailedTests + res.numRuntimeErrorTestSuites === 0) tally.failed += 1;
  fs.rmSync(path.dirname(out), { recursive: true, force: true });
}

if (wanted('check')) {
  const t = runChecks();
  tally.passed += t.passed;
  tally.failed += t.failed;
}
if (wanted('unit'))
  jest('unit, property and golden suites', [
    '--maxWorkers=2',
    '--testPathIgnorePatterns',
    '\\.kernel\\.test\\.ts$',
    '/e2e/',
    '/node_modules/',
  ]);
if (wanted('kernel'))
  jest('kernel suites', ['-i', '--testPathPatterns', '\\.kernel\\.test\\.ts$', '--testPathIgnorePatterns', '/e2e/', '/node_modules/']);
if (wanted('e2e')) jest('end-to-end suites', ['-i', '--testPathPatterns', '/e2e/.*\\.test\\.ts$']);

const skipped = tally.skipped > 0 ? `, ${tally.skipped} skipped` : '';
process.stdout.write(`\n${tally.passed} passed, ${tally.failed} failed${skipped}\n`);
process.exit(tally.failed === 0 && tally.passed > 0 ? 0 : 1);
