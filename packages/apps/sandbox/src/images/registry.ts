// Image names → programs. Ours map to the workspace, well-known demo images to built-in programs; anything else runs what its
// `command:` names on the machine's own file system.
import { dirname, join, resolve } from 'node:path';
import type { NativePrograms } from '../native/build.ts';

export interface ImageProgram {
  /** What runs when the container has no `command`. */
  readonly entrypoint: readonly string[];
  /** Arguments when the container has neither `command` nor `args`. */
  readonly defaults: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly workingDir?: string;
}

export interface ImageRegistry {
  /** undefined = the image is not known and only a container with a `command` can run. */
  find(image: string): ImageProgram | undefined;
}

export interface ImageConfig {
  readonly native: NativePrograms;
  /** Root of the checkout. */
  readonly repo: string;
  /** The Node binary that runs our programs. */
  readonly node: string;
}

export const repoRoot = (): string => resolve(import.meta.dirname, '../../../../..');

/** `registry:5000/a/b:tag@digest` → `a/b`, with `library/` dropped. */
export function repositoryOf(image: string): string {
  const name = image.replace(/@.*$/, '').replace(/:[^/:]*$/, '');
  const parts = name.split('/');
  const first = parts[0] ?? '';
  const path = parts.length > 1 && (/[.:]/.test(first) || first === 'localhost') ? parts.slice(1) : parts;
  return (path[0] === 'library' ? path.slice(1) : path).join('/');
}

/** Last two path parts, so that any registry prefix maps alike. */
const tail = (repository: string): string => repository.split('/').slice(-2).join('/');

const forever: readonly string[] = ['sleep', 'infinity'];

function programs(c: ImageConfig): ReadonlyMap<string, ImageProgram> {
  const app = (name: string): ImageProgram => ({
    entrypoint: [c.node, '--disable-warning=ExperimentalWarning', join(c.repo, 'packages/apps', name, 'src/main.ts')],
    defaults: [],
    workingDir: c.repo,
  });
  const demo = (...args: readonly string[]): ImageProgram => ({ entrypoint: [c.native.demo], defaults: args });
  const shell: ImageProgram = { entrypoint: [], defaults: ['sh'] };
  const http = demo('--mode', 'echo', '--http', '80', '--echo', '7');
  const mock = demo('--mode', 'echo', '--http', '8080', '--echo', '7');
  const idle: ImageProgram = { entrypoint: [], defaults: forever };
  const dns: ImageProgram = {
    entrypoint: [c.node, '--disable-warning=ExperimentalWarning', join(c.repo, 'packages/apps/sandbox/src/dns/main.ts')],
    defaults: [],
    workingDir: c.repo,
  };
  return new Map<string, ImageProgram>([
    ['axoneme/operator', app('operator')],
    ['axoneme/agent', { ...app('agent'), entrypoint: [c.node, join(c.repo, 'packages/apps/agent/bin/axoneme-agent.mjs')] }],
    ['axoneme/starwars', demo('--mode', 'starwars', '--http', '80')],
    ['axoneme/echo', http],
    ['axoneme/sandbox-dns', dns],
    ['cilium/starwars', demo('--mode', 'starwars', '--http', '80')],
    ['cilium/json-mock', mock],
    ['cilium/alpine-curl', idle],
    ['cilium/echoserver', http],
    ['curlimages/curl', { entrypoint: ['curl'], defaults: [] }],
    ['tgraf/netperf', idle],
    ['nginx', http],
    ['httpd', http],
    ['traefik/whoami', http],
    ['hashicorp/http-echo', demo('--mode', 'echo', '--http', '5678')],
    ['e2e-test-images/agnhost', idle],
    ['redis', { entrypoint: ['redis-server'], defaults: ['--protected-mode', 'no'], workingDir: '/tmp' }],
    ['valkey/valkey', { entrypoint: ['redis-server'], defaults: ['--protected-mode', 'no'], workingDir: '/tmp' }],
    ['pause', idle],
    ['busybox', shell],
    ['alpine', shell],
    ['debian', { entrypoint: [], defaults: ['bash'] }],
    ['ubuntu', { entrypoint: [], defaults: ['bash'] }],
    ['nicolaka/netshoot', idle],
  ]);
}

export function createImageRegistry(c: ImageConfig): ImageRegistry {
  const known = programs({ ...c, repo: resolve(c.repo), node: join(dirname(c.node), 'node') });
  return {
    find(image) {
      const repository = repositoryOf(image);
      return (
        known.get(repository) ?? known.get(tail(repository)) ?? (repository.includes('/') ? known.get(lastSingle(repository)) : undefined)
      );
    },
  };
}

/** `bitnami/redis` and `registry.k8s.io/pause` are known by their last part; ours and other two-part names are not. */
function lastSingle(repository: string): string {
  const last = repository.split('/').at(-1) ?? '';
  return ['redis', 'nginx', 'pause', 'busybox', 'alpine', 'httpd'].includes(last) ? last : '';
}
