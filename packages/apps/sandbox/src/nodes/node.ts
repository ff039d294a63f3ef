// One node: network, mount and host-name namespace with a file system of its own. /usr and the like are the machine's, read-only; what a
// node changes (/etc, /opt, /var, /run, /tmp) is a memory file system that looks like the machine's; what the kubelet must see from
// outside is bound from the state directory.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type AddressPair, nodeAddress } from './addresses.ts';
import { createCgroup } from './cgroup.ts';
import { type Fabric, FORWARDING_STEPS } from './fabric.ts';
import { type Holder, startHolder, words, writeSteps } from './holder.ts';
import { mustRun, type RunOptions, type RunResult, run } from './run.ts';

export interface NodeConfig {
  readonly name: string;
  readonly index: number;
  readonly sbx: string;
  /** Directory of this node's state on the machine. */
  readonly dir: string;
  /** cgroup of this node on the machine. */
  readonly cgroup: string;
  /** Directories that must be visible inside even if they lie in /tmp, /var or /opt (the checkout). */
  readonly visible: readonly string[];
}

export interface SandboxNode {
  readonly name: string;
  readonly index: number;
  readonly address: AddressPair;
  readonly cgroup: string;
  readonly holder: Holder;
  /** The machine's path of a directory the node has a bind mount of. */
  readonly paths: NodePaths;
  /** Runs a program in all of the node's namespaces. */
  exec(argv: readonly string[], opts?: RunOptions): Promise<RunResult>;
  /** Steps that bring a process into this node. */
  enter(): string[];
}

export interface NodePaths {
  readonly dir: string;
  readonly cniConf: string;
  readonly cniBin: string;
  readonly kubelet: string;
  readonly pods: string;
  readonly steps: string;
}

const PRIVATE_TOP = 'proc,sys,dev,run,tmp,etc,var,opt,lost+found';

/** Steps that fill `root` with the machine's read-only trees and private copies of the rest. `host` is where the originals are. */
export function rootSteps(
  root: string,
  from: { readonly top: string; readonly etc: string; readonly opt: string; readonly var: string },
): string[] {
  return [
    ...words('toplevel', from.top, root, PRIVATE_TOP),
    ...words('bind', root, from.etc, '/.host/etc', 'ro'),
    ...words('bind', root, from.opt, '/.host/opt', 'ro?'),
    ...words('bind', root, from.var, '/.host/var', 'ro'),
    ...words('symlink', '/usr', `${root}/.host/usr`),
    ...words('mirror', from.etc, `${root}/etc`, '/.host/etc', 'cni,axoneme,resolv.conf,hostname,hosts'),
    ...words('mirror', from.opt, `${root}/opt`, '/.host/opt', 'cni'),
    ...words('mirror', from.var, `${root}/var`, '/.host/var', 'lib,run,lock,log,tmp'),
    ...words('mirror', `${from.var}/lib`, `${root}/var/lib`, '/.host/var/lib', 'axoneme,kubelet,cni'),
    ...words('mkdir', `${root}/run`, 'mkdir', `${root}/var/log`, 'symlink', '/run', `${root}/var/run`),
    ...words('mount', 'tmpfs', 'tmpfs', `${root}/tmp`, 'mode=1777', 'mount', 'tmpfs', 'tmpfs', `${root}/var/tmp`, 'mode=1777'),
    ...words('bind', root, '/proc', '/proc', 'r', 'bind', root, '/dev', '/dev', 'r'),
  ];
}

function nodeSteps(c: NodeConfig, p: NodePaths, root: string, hosts: string): string[] {
  return [
    ...words('cgroup', join(c.cgroup, 'system'), 'umask', '022', 'unshare', 'nmu', 'propagation', 'private', 'hostname', c.name, 'loup'),
    ...FORWARDING_STEPS,
    ...words('mount', 'tmpfs', 'tmpfs', root, 'mode=755'),
    ...rootSteps(root, { top: '/', etc: '/etc', opt: '/opt', var: '/var' }),
    ...c.visible.flatMap((v) => ['bind', root, v, v, 'ro']),
    ...words('mountin', root, 'sysfs', 'sysfs', '/sys', 'rw', 'bind', root, c.cgroup, '/sys/fs/cgroup', 'r'),
    ...words('mountin', root, 'bpf', 'bpf', '/sys/fs/bpf', 'mode=700'),
    ...words('bind', root, p.cniConf, '/etc/cni/net.d', 'r', 'bind', root, p.cniBin, '/opt/cni/bin', 'r'),
    ...words('bind', root, p.kubelet, '/var/lib/kubelet', 'r', 'bind', root, join(c.dir, 'axoneme'), '/var/lib/axoneme', 'r'),
    ...words('mkdir', `${root}/run/netns`, 'mkdir', `${root}/run/axoneme`, 'mkdir', `${root}/.c`),
    ...words('write', `${root}/etc/hostname`, `${c.name}\n`, 'write', `${root}/etc/hosts`, hosts, 'write', `${root}/etc/resolv.conf`, ''),
    ...words('pivot', root, 'propagation', 'shared', 'hold'),
  ];
}

export async function createNode(c: NodeConfig, fabric: Fabric): Promise<SandboxNode> {
  const sub = (name: string): string => {
    const path = join(c.dir, name);
    mkdirSync(path, { recursive: true });
    return path;
  };
  const paths: NodePaths = {
    dir: c.dir,
    cniConf: sub('cni-conf'),
    cniBin: sub('cni-bin'),
    kubelet: sub('kubelet'),
    pods: sub('kubelet/pods'),
    steps: sub('steps'),
  };
  sub('axoneme');
  createCgroup(join(c.cgroup, 'system'));
  createCgroup(join(c.cgroup, 'kubepods'));
  const address = nodeAddress(fabric.subnet, c.index);
  const hosts = `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n${address.v4}\t${c.name}\n${address.v6}\t${c.name}\n`;
  const holder = await startHolder(c.sbx, [writeSteps(join(paths.steps, 'node'), nodeSteps(c, paths, sub('root'), hosts))]);
  await fabric.connect(c.index, holder);
  const enter = (): string[] => ['cgroup', join(c.cgroup, 'system'), 'joinpid', String(holder.pid), 'nmu'];
  return {
    name: c.name,
    index: c.index,
    address,
    cgroup: c.cgroup,
    holder,
    paths,
    exec: (argv, opts) => run(c.sbx, [...enter(), 'chdir', '/', 'exec', ...argv], opts),
    enter,
  };
}

/** Ends what a node is made of, except its cgroup (the caller removes it). */
export async function stopNode(node: SandboxNode, fabric: Fabric): Promise<void> {
  await fabric.disconnect(node.index);
  try {
    process.kill(node.holder.pid, 'SIGKILL');
  } catch {
    // already gone
  }
}

/** Throws unless the program ends with 0 in the node. */
export const mustExec = (sbx: string, node: SandboxNode, what: string, argv: readonly string[]): Promise<string> =>
  mustRun(what, sbx, [...node.enter(), 'exec', ...argv]);
