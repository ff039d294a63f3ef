// `npm run nightly`: the property suites of the policy engine with many more cases than CI has time for; ends with `N passed, N failed`.
// AXONEME_NIGHTLY_RUNS (default 100000) cases a property; AXONEME_SEED repeats one night. Needs no root.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const runs = Number(process.env.AXONEME_NIGHTLY_RUNS ?? 100_000);
const seed = Number(process.env.AXONEME_SEED ?? 0) || Math.floor(Math.random() * 0x7fff_ffff);
process.stdout.write(`nightly: ${runs} cases a property, seed ${seed}\n`);
const jest = path.join(root, 'node_modules/jest/bin/jest.js');
const filters = process.argv.slice(2);
const r = spawnSync(
  process.execPath,
  ['--experimental-vm-modules', '--no-warnings', jest, '-i', ...(filters.length > 0 ? filters : ['packages/engines'])],
  {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: { ...process.env, AXONEME_RUNS: String(runs), AXONEME_SEED: String(seed), AXONEME_TEST_TIMEOUT_MS: String(6 * 3_600_000) },
  },
);
process.stdout.write(r.stderr.slice(-20_000));
const count = (what) => Number(new RegExp(`^Tests:.*?(\\d+) ${what}`, 'm').exec(r.stderr)?.[1] ?? 0);
process.stdout.write(
  `seed ${seed}\n${count('passed')} passed, ${count('failed') + (r.status === 0 || count('failed') > 0 ? 0 : 1)} failed\n`,
);
process.exit(r.status ?? 1);
