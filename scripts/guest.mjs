// `npm run guest -- [--kernel 6.1] [--shell '<command>'] [-- <suites>]`: kernel suites on another kernel than this machine's, in a QEMU
// guest without acceleration that shares this checkout read only. Slow, so no part of `npm test`. docs/guest.md.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { parseArgs } from 'node:util';
import { buildInitramfs, fetchKernel, installPrograms, known } from './guest/kernel.mjs';
import { node24, root } from './setup.mjs';

/** What runs without filters: the objects' loads, hooks, and one suite for each thing that a packet can meet. */
const DEFAULT_SUITES = [
  ...['attach', 'xdp', 'object', 'ring'].map((s) => `packages/edges/bpf/test/${s}\\.`),
  ...['links', 'objects', 'node', 'services'].map((s) => `packages/apps/agent/test/${s}\\.`),
  ...['link', 'policy', 'sock', 'services', 'north-rows', 'answer', 'sctp', 'xdp'].map((s) => `bpf/tests/${s}\\.`),
  '\\.guest\\.ts$',
];
/** Those end so that need what the machines of `npm test` may lack: SCTP, 802.1Q. No other command runs them. */
const MATCH = ['**/*.kernel.test.ts', '**/*.guest.ts'];
const MEMORY_MB = 4096;
const JEST = 'node_modules/jest/bin/jest.js';
/** Emulation is some twelve times slower than the machine. */
const TEST_TIMEOUT_MS = 900_000;

const split = process.argv.indexOf('--', 2);
const own = process.argv.slice(2, split < 0 ? undefined : split);
const { values, positionals } = parseArgs({
  args: own,
  allowPositionals: true,
  options: { kernel: { type: 'string', default: '6.1' }, shell: { type: 'string' }, minutes: { type: 'string', default: '60' } },
});
const filters = [...positionals, ...(split < 0 ? [] : process.argv.slice(split + 1))];
const quoted = (s) => `'${s.replaceAll("'", `'\\''`)}'`;

function jestCommand() {
  const suites = filters.length > 0 ? filters : DEFAULT_SUITES;
  const args = [JEST, '-i', '--roots', 'bpf', 'packages', '--testMatch', ...MATCH, '--json', '--outputFile=/run/axo-guest/result.json'];
  args.push('--testPathPatterns', ...suites);
  return `AXONEME_PATIENCE=10 AXONEME_TEST_TIMEOUT_MS=${TEST_TIMEOUT_MS} node --experimental-vm-modules --no-warnings ${args.map(quoted).join(' ')}`;
}

/** What failed and how many ran, from jest's own report. */
function summarise(file) {
  if (!fs.existsSync(file)) return;
  const result = JSON.parse(fs.readFileSync(file, 'utf8'));
  const say = (text) => process.stdout.write(`${text}\n`);
  for (const suite of result.testResults) {
    const of = (status) => suite.assertionResults.filter((t) => t.status === status);
    const name = path.relative(root, suite.name);
    say(
      `${suite.status === 'failed' ? 'FAIL' : 'ok  '} ${name}: ${of('passed').length} passed, ${of('failed').length} failed, ${of('pending').length} skipped`,
    );
    for (const t of of('failed')) say(`     ${t.fullName}`);
  }
  say(
    `${result.numPassedTests} passed, ${result.numFailedTests + result.numRuntimeErrorTestSuites} failed, ${result.numPendingTests} skipped`,
  );
}

function qemuArgs(kernel, initramfs, out) {
  const line = `console=ttyS0 quiet loglevel=3 panic=-1 axo.checkout=${root} axo.release=${kernel.release} axo.modules=${kernel.modules}`;
  const share = (folder, tag, more) => ['-virtfs', `local,path=${folder},mount_tag=${tag},security_model=none,multidevs=remap${more}`];
  return [
    ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', String(MEMORY_MB)],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-serial', 'stdio', '-no-reboot', '-nic', 'none'],
    ...['-kernel', kernel.vmlinuz, '-initrd', initramfs, '-append', line],
    ...share('/', 'host', ',readonly=on'),
    ...share(out, 'out', ''),
  ];
}

function boot(args) {
  const started = Date.now();
  const child = spawn('qemu-system-x86_64', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const limit = setTimeout(() => child.kill('SIGKILL'), Number(values.minutes) * 60_000);
  for (const s of ['SIGINT', 'SIGTERM']) process.on(s, () => child.kill('SIGKILL'));
  readline.createInterface({ input: child.stdout }).on('line', (l) => process.stdout.write(`${l.replace(/\r+$/, '')}\n`));
  return new Promise((resolve) => {
    child.on('close', () => {
      clearTimeout(limit);
      resolve((Date.now() - started) / 1000);
    });
  });
}

try {
  installPrograms();
  const kernel = fetchKernel(values.kernel);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-guest-'));
  const out = path.join(folder, 'out');
  fs.mkdirSync(out);
  const env = `export PATH=${path.dirname(node24)}:${path.join(root, 'node_modules/.bin')}:$PATH`;
  fs.writeFileSync(path.join(out, 'command'), `${env}\nuname -sr\n${values.shell ?? jestCommand()}\n`);
  const seconds = await boot(qemuArgs(kernel, buildInitramfs(kernel, folder), out));
  const status = path.join(out, 'status');
  const code = fs.existsSync(status) ? Number(fs.readFileSync(status, 'utf8')) : undefined;
  summarise(path.join(out, 'result.json'));
  fs.rmSync(folder, { recursive: true, force: true });
  process.stdout.write(
    `guest: kernel ${kernel.release}, ${seconds.toFixed(0)} s, ${code === undefined ? 'ended before its command did' : `exit ${code}`}\n`,
  );
  process.exitCode = code ?? 1;
} catch (e) {
  process.stderr.write(`guest: ${e.message}\nknown kernels: ${known.join(', ')}\n`);
  process.exitCode = 1;
}
