// From a container in a pod spec to the steps that start it: which program, which file system, which namespaces. Pure.
import { join } from 'node:path';
import { AppError, err, ok, type Result } from '@axoneme/std';
import type { ImageProgram } from '../images/registry.ts';
import { words } from '../nodes/holder.ts';
import { rootSteps } from '../nodes/node.ts';
import { expand } from './env.ts';
import type { Container, PodSpec, Volume, VolumeMount } from './pod-types.ts';

export interface ContainerPlace {
  /** Steps that bring a process into the node, without its cgroup. */
  readonly holderPid: number;
  /** cgroup of the container on the machine. */
  readonly cgroup: string;
  /** Path of the pod's network namespace inside the node; absent for host network. */
  readonly netns: string | undefined;
  /** Directory of the pod inside the node. */
  readonly podDir: string;
  readonly hostname: string;
  readonly etcHosts: string;
  readonly resolvConf: string;
  readonly visible: readonly string[];
}

const ROOT = '/.c';

/** The program with its arguments, $(NAME) replaced; an error is the text of ErrImagePull. */
export function argvOf(c: Container, image: ImageProgram | undefined, env: Readonly<Record<string, string>>): Result<string[]> {
  const vars = new Map(Object.entries(env));
  const given = [...(c.command ?? []), ...(c.args ?? [])];
  if (image === undefined && (c.command?.length ?? 0) === 0) {
    return err(
      new AppError({
        code: 'sandbox/unknown-image',
        message: `the sandbox has no program for image "${c.image}"`,
        hint: 'give the container a `command:`, it runs on the machine',
      }),
    );
  }
  const entry = c.command?.length ? c.command : (image?.entrypoint ?? []);
  const args = c.args?.length ? c.args : c.command?.length ? [] : (image?.defaults ?? []);
  const argv = [...entry, ...args].map((a) => (given.includes(a) ? expand(a, vars) : a));
  return argv.length > 0 ? ok(argv) : err(new AppError({ code: 'sandbox/no-command', message: 'no command specified' }));
}

function volumeSource(
  v: Volume,
  podDir: string,
): { readonly path: string; readonly prepare: readonly string[]; readonly optional: boolean } {
  if (v.hostPath === undefined) return { path: join(podDir, 'volumes', v.name), prepare: [], optional: false };
  const { path, type = '' } = v.hostPath;
  const create = type === '' || type === 'DirectoryOrCreate';
  return { path, prepare: create ? ['ensuredir', path] : [], optional: type === '' };
}

function mountSteps(m: VolumeMount, v: Volume, podDir: string): string[] {
  const s = volumeSource(v, podDir);
  const source = m.subPath === undefined || m.subPath === '' ? s.path : join(s.path, m.subPath);
  return [...s.prepare, 'bind', ROOT, source, m.mountPath, `r${m.readOnly === true ? 'o' : ''}${s.optional ? '?' : ''}`];
}

function sysSteps(privileged: boolean, netns: string | undefined): string[] {
  if (privileged || netns === undefined) return ['bind', ROOT, '/sys', '/sys', 'r'];
  return ['mountin', ROOT, 'sysfs', 'sysfs', '/sys', 'ro'];
}

const userSteps = (pod: PodSpec, c: Container): string[] => {
  const uid = c.securityContext?.runAsUser ?? pod.securityContext?.runAsUser;
  const gid = c.securityContext?.runAsGroup ?? pod.securityContext?.runAsGroup ?? uid;
  return uid === undefined || uid === 0 ? [] : ['user', String(uid), String(gid ?? uid)];
};

/** Every step from the sandbox's own namespaces to the container's program. */
export function containerSteps(
  pod: PodSpec,
  c: Container,
  place: ContainerPlace,
  argv: readonly string[],
  workingDir: string | undefined,
): Result<string[]> {
  const volumes = new Map((pod.volumes ?? []).map((v) => [v.name, v]));
  const mounts: string[] = [];
  for (const m of c.volumeMounts ?? []) {
    const v = volumes.get(m.name);
    if (v === undefined) return err(new AppError({ code: 'sandbox/volume', message: `volume "${m.name}" is not defined in the pod` }));
    mounts.push(...mountSteps(m, v, place.podDir));
  }
  const network = place.netns === undefined ? ['unshare', 'm'] : ['joinnet', place.netns, 'unshare', 'mu', 'hostname', place.hostname];
  return ok([
    ...words('cgroup', place.cgroup, 'session', 'umask', '022', 'joinpid', String(place.holderPid), 'nmu'),
    ...network,
    ...words('propagation', 'slave', 'mount', 'tmpfs', 'tmpfs', ROOT, 'mode=755'),
    ...rootSteps(ROOT, { top: '/', etc: '/.host/etc', opt: '/.host/opt', var: '/.host/var' }),
    ...place.visible.flatMap((v) => ['bind', ROOT, v, v, 'ro']),
    ...sysSteps(c.securityContext?.privileged === true, place.netns),
    ...words('write', `${ROOT}/etc/hosts`, place.etcHosts, 'write', `${ROOT}/etc/resolv.conf`, place.resolvConf),
    ...words('write', `${ROOT}/etc/hostname`, `${place.hostname}\n`),
    ...mounts,
    ...words('pivot', ROOT, 'mkdir', workingDir ?? '/', 'chdir', workingDir ?? '/'),
    ...userSteps(pod, c),
    ...words('exec', ...argv),
  ]);
}

/** Steps that bring one more process into a running container. */
export function joinSteps(cgroup: string, pid: number, hostNetwork: boolean, argv: readonly string[]): string[] {
  return ['cgroup', cgroup, 'joinpid', String(pid), hostNetwork ? 'nm' : 'nmu', 'chdir', '/', 'exec', ...argv];
}
