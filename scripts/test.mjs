// `npm test`: static checks, unit and property suites, kernel suites, end-to-end suites; ends with `N passed, N failed`.
// Arguments: any of `check unit kernel e2e` (default all), or jest path filters after `--`.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { runChecks } from './check.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const args = process.argv.slice(2);
const split = args.indexOf('--');
const phases = (split < 0 ? args : args.slice(0, split)).filter(Boolean);
const filters = split < 0 ? [] : args.slice(split + 1);
const wanted = (p) => phases.length === 0 || phases.includes(p);

/** A suite that leaves timers or sockets behind keeps jest alive for ever: that is a failure, not a wait. */
const EXIT_GRACE_MS = 30_000;
const LINE_MAX = 400;
const MESSAGE_LINES_MAX = 14;
const SLOW_MS = 20_000;

let interrupted = false;
const tally = { passed: 0, failed: 0, skipped: 0 };
const say = (text) => process.stdout.write(`${text}\n`);
const short = (line) => (line.length > LINE_MAX ? `${line.slice(0, LINE_MAX)} … (${line.length} characters)` : line);

/** Runs jest to its end; its own report goes through with overlong lines cut. Says whether it had to be killed after its last result. */
function run(argv, resultFile) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, argv, {
      cwd: root,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    const lines = readline.createInterface({ input: child.stderr });
    lines.on('line', (l) => process.stderr.write(`${short(l)}\n`));
    const forward = (signal) => {
      interrupted = true;
      child.kill(signal);
    };
    for (const s of ['SIGINT', 'SIGTERM']) process.on(s, forward);
    let stuck = false;
    let seenAt;
    const watch = setInterval(() => {
      if (seenAt === undefined && fs.existsSync(resultFile)) seenAt = Date.now();
      if (seenAt === undefined || Date.now() - seenAt < EXIT_GRACE_MS) return;
      stuck = true;
      child.kill('SIGKILL');
    }, 1000);
    child.on('error', () => undefined);
    // 'exit', not 'close': a process that a suite left behind may hold the pipe
    child.on('exit', (code, signal) => {
      clearInterval(watch);
      for (const s of ['SIGINT', 'SIGTERM']) process.off(s, forward);
      setImmediate(() => {
        lines.close();
        child.stderr.destroy();
        resolve({ code, signal, stuck });
      });
    });
  });
}

/** The failures again in few lines, after the noise: file, test, start of the message. */
function summarise(res) {
  for (const suite of res.testResults) {
    const file = path.relative(root, suite.name);
    const took = suite.endTime - suite.startTime;
    if (took > SLOW_MS) say(`slow ${file}: ${(took / 1000).toFixed(0)} s`);
    const failed = suite.assertionResults.filter((t) => t.status === 'failed');
    if (failed.length === 0 && suite.status === 'failed') say(`FAIL ${file}\n${excerpt(suite.message)}`);
    for (const t of failed) say(`FAIL ${file}: ${t.fullName}\n${excerpt(t.failureMessages.join('\n'))}`);
  }
}

function excerpt(message) {
  const lines = stripVTControlCharacters(message ?? '')
    .split('\n')
    .filter((l) => l.trim() !== '' && !/^\s+at .*node_modules/.test(l));
  const shown = lines.slice(0, MESSAGE_LINES_MAX).map((l) => `    ${short(l)}`);
  if (lines.length > shown.length) shown.push(`    … ${lines.length - shown.length} more lines above`);
  return shown.join('\n');
}

async function jest(name, extra) {
  if (interrupted) return;
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-jest-'));
  const out = path.join(dir, 'result.json');
  const argv = ['--experimental-vm-modules', '--no-warnings', path.join(root, 'node_modules/jest/bin/jest.js')];
  argv.push('--json', `--outputFile=${out}`, '--silent=false', ...extra);
  if (filters.length > 0) argv.push('--passWithNoTests');
  say(`\n== ${name}`);
  const started = Date.now();
  const end = await run(argv, out);
  const before = { ...tally };
  const res = fs.existsSync(out) ? JSON.parse(fs.readFileSync(out, 'utf8')) : undefined;
  fs.rmSync(dir, { recursive: true, force: true });
  if (res !== undefined) {
    summarise(res);
    tally.passed += res.numPassedTests;
    tally.failed += res.numFailedTests + res.numRuntimeErrorTestSuites;
    tally.skipped += res.numPendingTests + res.numTodoTests;
  }
  if (end.stuck) {
    say(`FAIL ${name}: jest was still running ${EXIT_GRACE_MS / 1000} s after its last test: a suite left something open`);
    tally.failed += 1;
  } else if (end.code !== 0 && tally.failed === before.failed) {
    say(`FAIL ${name}: jest ended without saying why (exit ${end.code ?? end.signal})`);
    tally.failed += 1;
  }
  const took = ((Date.now() - started) / 1000).toFixed(0);
  say(`== ${name}: ${tally.passed - before.passed} passed, ${tally.failed - before.failed} failed in ${took} s`);
}

if (wanted('check')) {
  const t = runChecks();
  tally.passed += t.passed;
  tally.failed += t.failed;
}
/** The suites of one phase: those whose path ends so and, with filters, contains one of them. */
const paths = (suffix) => ['--testPathPatterns', ...(filters.length === 0 ? [''] : filters).map((f) => `^(?=.*${f}).*${suffix}$`)];
const KERNEL = '\\.kernel\\.test\\.ts';
const elsewhere = ['--testPathIgnorePatterns', '/node_modules/', '/e2e/'];
if (wanted('unit'))
  await jest('unit, property and golden suites', ['--maxWorkers=2', ...paths('\\.test\\.ts'), ...elsewhere, `${KERNEL}$`]);
if (wanted('kernel')) await jest('kernel suites', ['-i', ...paths(KERNEL), ...elsewhere]);
if (wanted('e2e')) await jest('end-to-end suites', ['-i', ...paths('/e2e/.*\\.test\\.ts')]);

const skipped = tally.skipped > 0 ? `, ${tally.skipped} skipped` : '';
say(`\n${tally.passed} passed, ${tally.failed} failed${skipped}`);
process.exitCode = tally.failed === 0 && tally.passed > 0 ? 0 : 1;
