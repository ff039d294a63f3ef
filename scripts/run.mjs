// Entry of the root npm scripts: makes sure the machine is set up, then runs the command on Node 24.
import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { node24, root, setup, tools } from './setup.mjs';

const [command = 'help', ...args] = process.argv.slice(2);
const env = {
  ...process.env,
  PATH: `${path.dirname(node24)}:${path.join(root, 'node_modules/.bin')}:${path.join(tools, 'bin')}:${process.env.PATH}:/usr/sbin:/sbin`,
};

const commands = {
  demo: ['e2e/demo/main.ts'],
  sandbox: ['packages/apps/sandbox/src/main.ts'],
  axoneme: ['packages/apps/cli/src/main.ts'],
  bench: ['packages/testing/bench/src/main.ts'],
  test: ['scripts/test.mjs'],
  nightly: ['scripts/nightly.mjs'],
  check: ['scripts/check.mjs'],
  generate: ['scripts/generate.mjs'],
  guest: ['scripts/guest.mjs'],
};

try {
  setup();
} catch (e) {
  process.stderr.write(`setup: failed: ${e.message}\n`);
  process.exit(1);
}
if (command === 'build') process.exit(0);
const entry = commands[command];
if (entry === undefined) {
  process.stderr.write(`unknown command ${command}; known: build ${Object.keys(commands).join(' ')}\n`);
  process.exit(2);
}
if (command === 'axoneme' || command === 'sandbox') {
  // the program's own exit code and terminal
  const r = spawnSync(node24, [...entry, ...args], { cwd: root, env, stdio: 'inherit' });
  process.exit(r.status ?? 1);
}
const child = spawn(node24, [...entry, ...args], { cwd: root, env, stdio: 'inherit' });
for (const s of ['SIGINT', 'SIGTERM']) process.on(s, () => child.kill(s));
child.on('exit', (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
