// Regenerates everything that is committed but derived: proto code, CRD YAML, chart CRDs, datapath codecs.
// `--check` writes nothing and fails when a committed file differs from a fresh one.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const check = process.argv.includes('--check');

// [name, directories that hold the result, program, args, cwd]
const generators = [
  ['proto', ['packages/contracts/proto/src/gen'], path.join(root, 'node_modules/.bin/buf'), ['generate'], 'packages/contracts/proto'],
  ['crds', ['crds', 'charts/axoneme/crds'], process.execPath, ['packages/contracts/crds/generate.ts'], '.'],
  ['datapath codecs', ['packages/contracts/datapath/src/gen'], process.execPath, ['packages/contracts/datapath/generate.ts'], '.'],
];

function snapshot(dir) {
  const abs = path.join(root, dir);
  if (!fs.existsSync(abs)) return {};
  const files = fs.readdirSync(abs, { recursive: true, withFileTypes: true }).filter((e) => e.isFile());
  return Object.fromEntries(
    files.map((e) => [path.relative(abs, path.join(e.parentPath, e.name)), fs.readFileSync(path.join(e.parentPath, e.name))]),
  );
}

let different = 0;
for (const [name, dirs, program, args, cwd] of generators) {
  if (args[0]?.endsWith('.ts') && !fs.existsSync(path.join(root, cwd, args[0]))) continue;
  const before = dirs.map(snapshot);
  const backup = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-gen-'));
  if (check)
    dirs.forEach(
      (d, i) => fs.existsSync(path.join(root, d)) && fs.cpSync(path.join(root, d), path.join(backup, String(i)), { recursive: true }),
    );
  const r = spawnSync(program, args, { cwd: path.join(root, cwd), encoding: 'utf8' });
  if (r.status !== 0) {
    process.stderr.write(`${name}: generator failed\n${r.stdout}${r.stderr}\n`);
    different += 1;
  }
  dirs.forEach((d, i) => {
    const after = snapshot(d);
    const names = new Set([...Object.keys(before[i]), ...Object.keys(after)]);
    for (const f of names) {
      if (before[i][f] && after[f] && before[i][f].equals(after[f])) continue;
      if (check) process.stderr.write(`${name}: ${d}/${f} differs from its source; run npm run generate\n`);
      different += check ? 1 : 0;
    }
    if (check && fs.existsSync(path.join(backup, String(i)))) {
      fs.rmSync(path.join(root, d), { recursive: true, force: true });
      fs.cpSync(path.join(backup, String(i)), path.join(root, d), { recursive: true });
    }
  });
  fs.rmSync(backup, { recursive: true, force: true });
}
process.exit(different === 0 ? 0 : 1);
