// Static checks, each a named pass or fail: types, format and lint, type-aware lint, import arrows, proto, generated files, tidiness.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const bin = (name) => path.join(root, 'node_modules/.bin', name);

const checks = [
  ['types', bin('tsc'), ['-p', 'tsconfig.json', '--noEmit']],
  ['format and lint', bin('biome'), ['check', '.']],
  ['type-aware lint', bin('oxlint'), ['--type-aware', '-c', '.oxlintrc.json', 'packages', 'e2e']],
  ['import arrows', bin('depcruise'), ['--config', '.dependency-cruiser.mjs', 'packages', 'e2e']],
  ['proto lint', bin('buf'), ['lint'], 'packages/contracts/proto'],
  ['generated files', process.execPath, ['scripts/generate.mjs', '--check']],
  ['tidy', process.execPath, ['scripts/tidy.mjs']],
];

/** Runs all checks; returns how many passed and failed. */
export function runChecks() {
  const tally = { passed: 0, failed: 0 };
  for (const [name, program, args, cwd] of checks) {
    const started = Date.now();
    const r = spawnSync(program, args, { cwd: path.join(root, cwd ?? '.'), encoding: 'utf8', maxBuffer: 64 << 20 });
    const good = r.status === 0;
    tally[good ? 'passed' : 'failed'] += 1;
    process.stdout.write(`${good ? 'ok  ' : 'FAIL'} check: ${name} (${Date.now() - started} ms)\n`);
    if (!good)
      process.stdout.write(`${`${r.stdout ?? ''}${r.stderr ?? ''}${r.error?.message ?? ''}`.split('\n').slice(0, 80).join('\n')}\n`);
  }
  return tally;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const t = runChecks();
  process.stdout.write(`${t.passed} passed, ${t.failed} failed\n`);
  process.exit(t.failed === 0 ? 0 : 1);
}
