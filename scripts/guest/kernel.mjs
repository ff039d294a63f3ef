// Kernels for the guest: Debian's packages, fetched and unpacked under .tools/guest, never installed here; and the little initial
// file system that finds this machine's one. Called by guest.mjs.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { root, tools } from '../setup.mjs';

/** What Debian calls each; the newest package that matches is taken. `suite`: not one of this machine's own sources. */
const KERNELS = {
  '5.10': { package: /^linux-image-5\.10\.0-\d+-amd64$/, suite: 'bullseye' },
  6.1: { package: /^linux-image-6\.1\.0-\d+-amd64$/ },
  6.12: { package: /^linux-image-6\.12\.\d+\+deb12-amd64$/ },
};
export const known = Object.keys(KERNELS);

/** What reads this machine's file system; each loads what it needs first. */
const BOOT_MODULES = ['virtio_pci', '9pnet_virtio', '9p', 'overlay'];
const HOST_PROGRAMS = {
  'qemu-system-x86': 'qemu-system-x86_64',
  kmod: 'depmod',
  cpio: 'cpio',
  ethtool: 'ethtool',
  'xz-utils': 'xz',
  'busybox-static': 'busybox',
};

const step = (text) => process.stderr.write(`guest: ${text}\n`);

function run(program, args, options = {}) {
  const r = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 28, ...options });
  if (r.status !== 0) throw new Error(`${program} ${args.join(' ')} failed (${r.error?.message ?? `exit ${r.status}`})\n${r.stderr ?? ''}`);
  return r.stdout;
}

const has = (program) => `${process.env.PATH}:/usr/sbin:/sbin`.split(':').some((d) => fs.existsSync(path.join(d, program)));

export function installPrograms() {
  const missing = Object.keys(HOST_PROGRAMS).filter((name) => !has(HOST_PROGRAMS[name]));
  if (missing.length === 0) return;
  step(`installing Debian packages: ${missing.join(' ')}`);
  run('apt-get', ['update', '-qq']);
  run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing], {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
}

/** Lists of their own for another release than this machine's, so that nothing of it is ever installed here. */
function aptOptions(dir, suite) {
  if (suite === undefined) return [];
  const apt = path.join(dir, 'apt');
  for (const d of ['lists/partial', 'cache/archives/partial']) fs.mkdirSync(path.join(apt, d), { recursive: true });
  const sources = path.join(apt, 'sources.list');
  const signed = '[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg check-valid-until=no]';
  const lines = [
    `deb ${signed} http://deb.debian.org/debian ${suite} main`,
    `deb ${signed} http://deb.debian.org/debian-security ${suite}-security main`,
  ];
  fs.writeFileSync(sources, `${lines.join('\n')}\n`);
  const set = {
    'Dir::Etc::SourceList': sources,
    'Dir::Etc::SourceParts': '/dev/null',
    'Dir::State::Lists': `${apt}/lists`,
    'Dir::Cache': `${apt}/cache`,
  };
  return Object.entries(set).flatMap(([k, v]) => ['-o', `${k}=${v}`]);
}

const byVersion = (a, b) => a.localeCompare(b, 'en', { numeric: true });

/** Fetches and unpacks the package once; returns where its vmlinuz and modules are. */
export function fetchKernel(version) {
  const wanted = KERNELS[version];
  if (wanted === undefined) throw new Error(`no kernel ${version}; known: ${known.join(', ')}`);
  const dir = path.join(tools, 'guest', version);
  const stamp = path.join(dir, 'release');
  if (!fs.existsSync(stamp)) {
    fs.rmSync(dir, { recursive: true, force: true });
    fs.mkdirSync(dir, { recursive: true });
    const options = aptOptions(dir, wanted.suite);
    run('apt-get', [...options, 'update', '-qq']);
    const names = run('apt-cache', [...options, 'pkgnames', 'linux-image-'])
      .split('\n')
      .filter((n) => wanted.package.test(n));
    const name = names.sort(byVersion).at(-1);
    if (name === undefined) throw new Error(`Debian's mirror has no package for kernel ${version}`);
    step(`fetching ${name}`);
    run('apt-get', [...options, 'download', '-qq', name], { cwd: dir });
    const deb = fs.readdirSync(dir).find((f) => f.endsWith('.deb'));
    run('dpkg-deb', ['-x', deb, 'image'], { cwd: dir });
    fs.rmSync(path.join(dir, deb));
    const release = fs.readdirSync(path.join(dir, 'image/lib/modules'))[0];
    run('depmod', ['-b', path.join(dir, 'image'), release]);
    fs.writeFileSync(stamp, release);
  }
  const release = fs.readFileSync(stamp, 'utf8');
  return {
    dir,
    release,
    vmlinuz: path.join(dir, 'image/boot', `vmlinuz-${release}`),
    modules: path.join(dir, 'image/lib/modules', release),
  };
}

const moduleName = (file) => path.basename(file).replace(/\.ko(\.xz)?$/, '');

/** Files of the boot modules in the order of their loading. A line of modules.dep names all a module needs, the deepest last. */
function withNeeded(kernel) {
  const lines = fs.readFileSync(path.join(kernel.modules, 'modules.dep'), 'utf8').trim().split('\n');
  const needs = new Map(lines.map((l) => [moduleName(l.split(':')[0]), l.split(/:? /).filter(Boolean).reverse()]));
  return [...new Set(BOOT_MODULES.flatMap((name) => (needs.get(name) ?? []).map((f) => f.replace(/:$/, ''))))];
}

/** busybox, the modules that read this machine's file system, and init.sh; in a folder of this run's own, because several may boot at once. */
export function buildInitramfs(kernel, folder) {
  const tree = path.join(folder, 'tree');
  for (const d of ['bin', 'modules', 'proc', 'sys', 'dev', 'lower', 'upper', 'new']) fs.mkdirSync(path.join(tree, d), { recursive: true });
  const busybox = ['/bin/busybox', '/usr/bin/busybox'].find((f) => fs.existsSync(f));
  fs.copyFileSync(busybox, path.join(tree, 'bin/busybox'));
  fs.copyFileSync(path.join(root, 'scripts/guest/init.sh'), path.join(tree, 'init'));
  for (const f of ['bin/busybox', 'init']) fs.chmodSync(path.join(tree, f), 0o755);
  const order = [];
  for (const file of withNeeded(kernel)) {
    const name = moduleName(file);
    const to = path.join(tree, 'modules', `${name}.ko`);
    if (file.endsWith('.xz'))
      fs.writeFileSync(to, spawnSync('xz', ['-dc', path.join(kernel.modules, file)], { maxBuffer: 1 << 26 }).stdout);
    else fs.copyFileSync(path.join(kernel.modules, file), to);
    order.push(name);
  }
  fs.writeFileSync(path.join(tree, 'modules/order'), `${order.join('\n')}\n`);
  const image = path.join(folder, 'initramfs.cpio');
  run('sh', ['-c', `find . | cpio -o -H newc --quiet > '${image}'`], { cwd: tree });
  return image;
}
