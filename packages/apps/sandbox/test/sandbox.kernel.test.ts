// The sandbox with real namespaces, real kubectl and a trivial network plugin: everything but the datapath.
import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Sandbox, takeDown, upSandbox } from '../src/index.ts';
import { sandboxesDir } from '../src/instance/state.ts';
import { buildNative } from '../src/native/build.ts';
import { run } from '../src/nodes/run.ts';

const id = `kt${process.pid}`;
const base = mkdtempSync(join(tmpdir(), 'axoneme-sandbox-'));
const stateDir = join(base, 'state');
let sandbox: Sandbox;

async function until<T>(what: string, probe: () => Promise<T | undefined> | T | undefined, limitMs = 45_000): Promise<T> {
  const end = Date.now() + limitMs;
  for (;;) {
    const v = await probe();
    if (v !== undefined) return v;
    if (Date.now() > end) throw new Error(`${what}: not in ${limitMs} ms`);
    await new Promise((r) => setTimeout(r, 50));
  }
}

const kubectl = (...args: string[]): Promise<string> => sandbox.kubectl(args);
const apply = (o: unknown): Promise<string> => sandbox.kubectl(['apply', '-f', '-'], { input: JSON.stringify(o) });
const container = (command: string, extra: object = {}): object => ({
  name: 'c',
  image: 'busybox',
  command: ['sh', '-c', command],
  ...extra,
});
const pod = (name: string, spec: object, labels: Record<string, string> = {}): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, labels },
  spec: { terminationGracePeriodSeconds: 1, ...spec },
});
const ready = (name: string): Promise<string> => kubectl('wait', `pod/${name}`, '--for=condition=Ready', '--timeout=45s');

function installPlugin(): void {
  for (const n of sandbox.nodes) {
    const dir = join(stateDir, 'nodes', n.name);
    copyFileSync(join(import.meta.dirname, 'ptp-cni.sh'), join(dir, 'cni-bin/ptp'));
    writeFileSync(
      join(dir, 'cni-conf/10-test.conflist'),
      JSON.stringify({ name: 'test', cniVersion: '1.1.0', plugins: [{ type: 'ptp' }] }),
    );
  }
}

beforeAll(async () => {
  sandbox = await upSandbox({ id, stateDir, nodes: 2, install: false });
}, 120_000);

afterAll(async () => {
  await takeDown(stateDir);
  rmSync(base, { recursive: true, force: true });
}, 120_000);

describe('sandbox', () => {
  test('nodes are not ready and pods wait with a reason until there is a network', async () => {
    const nodes = await kubectl('get', 'nodes', '--no-headers');
    expect(nodes.match(/NotReady/g)).toHaveLength(2);
    await apply(pod('early', { nodeName: 'node-1', containers: [container('sleep 1000')] }));
    const why = await until('event', async () => {
      const text = await kubectl(
        'get',
        'events',
        '--field-selector',
        'involvedObject.name=early,reason=FailedCreatePodSandBox',
        '-o',
        'name',
      );
      return text === '' ? undefined : text;
    });
    expect(why).toContain('event');
    installPlugin();
    await ready('early');
    await until('ready nodes', async () => ((await kubectl('get', 'nodes', '--no-headers')).includes('NotReady') ? undefined : true));
    // what is alive is told once, before anything is: later it would take a pod away that is just being added
    const { stdout } = await sandbox.nodeExec('node-1', ['cat', '/var/lib/cni-test/calls']);
    expect(stdout.split('\n').slice(0, 2)).toEqual(['GC', 'ADD']);
    expect(stdout.match(/GC/g)).toHaveLength(1);
  }, 120_000);

  test('a Deployment serves over its Service endpoints, on both nodes; the node reaches its pods', async () => {
    const labels = { app: 'web' };
    await apply({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web' },
      spec: {
        replicas: 2,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: { containers: [{ name: 'c', image: 'docker.io/cilium/starwars', ports: [{ name: 'http', containerPort: 80 }] }] },
        },
      },
    });
    await apply({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web' },
      spec: { selector: labels, ports: [{ port: 8080, targetPort: 'http' }] },
    });
    await kubectl('rollout', 'status', 'deployment/web', '--timeout=45s');
    const pods = JSON.parse(await kubectl('get', 'pods', '-l', 'app=web', '-o', 'json')) as {
      items: { spec: { nodeName: string }; status: { podIP: string } }[];
    };
    expect(new Set(pods.items.map((p) => p.spec.nodeName)).size).toBe(2);
    const slices = JSON.parse(await kubectl('get', 'endpointslices', '-l', 'kubernetes.io/service-name=web', '-o', 'json')) as {
      items: { ports: { port: number }[]; endpoints: { addresses: string[] }[] }[];
    };
    const addresses = slices.items.flatMap((s) => s.endpoints.flatMap((e) => e.addresses));
    expect(addresses.sort()).toEqual(pods.items.map((p) => p.status.podIP).sort());
    expect(slices.items[0]?.ports[0]?.port).toBe(80);
    for (const p of pods.items) {
      const r = await sandbox.nodeExec(p.spec.nodeName, ['curl', '-s', '-m', '3', '-XPOST', `http://${p.status.podIP}/v1/request-landing`]);
      expect(r.stdout).toBe('Ship landed\n');
    }
  }, 120_000);

  test('exec carries input, output, exit code and the environment; cp copies; a terminal is a terminal', async () => {
    await apply(
      pod('shell', {
        containers: [
          container('sleep 1000', {
            env: [
              { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
              { name: 'ALSO', value: 'on $(NODE)' },
            ],
          }),
        ],
      }),
    );
    await ready('shell');
    expect(await sandbox.kubectl(['exec', '-i', 'shell', '--', 'cat'], { input: 'hello' })).toBe('hello');
    const old = { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false' };
    expect(await sandbox.kubectl(['exec', '-i', 'shell', '--', 'cat'], { input: 'by SPDY', env: old })).toBe('by SPDY');
    const failed = await sandbox.kubectlResult(['exec', 'shell', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7']);
    expect(failed.code).toBe(7);
    expect(failed.stdout).toBe('out\n');
    expect(failed.stderr).toContain('err\n');
    expect(await kubectl('exec', 'shell', '--', 'sh', '-c', 'echo $ALSO; hostname')).toMatch(/^on node-[12]\nshell\n$/);
    const big = join(base, 'big');
    writeFileSync(big, Buffer.alloc(3 << 20, 'axoneme'));
    await kubectl('cp', big, 'shell:/tmp/big');
    expect(await kubectl('exec', 'shell', '--', 'sh', '-c', 'wc -c < /tmp/big')).toBe(`${3 << 20}\n`);
    expect(await sandbox.kubectl(['exec', '-i', 'shell', '--', 'sh', '-c', 'cat /dev/stdin > /dev/stdout'], { input: 'reopened' })).toBe(
      'reopened',
    );
    const env = { ...(process.env as Record<string, string>), KUBECONFIG: sandbox.kubeconfigPath };
    const tty = await run('script', ['-qec', "kubectl exec -it shell -- sh -c 'test -t 0 && echo a terminal'", '/dev/null'], { env });
    expect(tty.stdout).toContain('a terminal');
  }, 120_000);

  test('logs are kept, followed and numbered over restarts', async () => {
    await apply(pod('talker', { containers: [container('echo first; echo second; sleep 1000')] }));
    await ready('talker');
    expect(await kubectl('logs', 'talker')).toBe('first\nsecond\n');
    expect(await kubectl('logs', 'talker', '--tail=1')).toBe('second\n');
    await apply(pod('crasher', { containers: [container('echo run; exit 3')] }));
    const restarts = await until('restart', async () => {
      const n = Number(await kubectl('get', 'pod', 'crasher', '-o', 'jsonpath={.status.containerStatuses[0].restartCount}'));
      return n >= 1 ? n : undefined;
    });
    expect(restarts).toBeGreaterThan(0);
    expect(await kubectl('logs', 'crasher', '--previous')).toBe('run\n');
    expect(await kubectl('get', 'pod', 'crasher', '-o', 'jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}')).toBe('3');
    const child = spawn('kubectl', ['logs', '-f', 'talker', '--tail=0'], { env: { ...process.env, KUBECONFIG: sandbox.kubeconfigPath } });
    let seen = '';
    child.stdout.on('data', (d: Buffer) => (seen += d.toString()));
    const pid = readFileSync(await pidFile('talker'), 'utf8').trim();
    await until('follow', async () => {
      await kubectl('exec', 'talker', '--', 'sh', '-c', `echo later > /proc/${pid}/fd/1`);
      return seen.includes('later') ? true : undefined;
    });
    child.kill();
  }, 120_000);

  test('port-forward reaches a port of the pod', async () => {
    const child = spawn('kubectl', ['port-forward', 'deployment/web', ':80'], {
      env: { ...process.env, KUBECONFIG: sandbox.kubeconfigPath },
    });
    let said = '';
    child.stdout.on('data', (d: Buffer) => (said += d.toString()));
    const port = await until('port', () => /127\.0\.0\.1:(\d+) ->/.exec(said)?.[1]);
    for (let i = 0; i < 3; i++)
      expect(await (await fetch(`http://127.0.0.1:${port}/v1/request-landing`, { method: 'POST' })).text()).toBe('Ship landed\n');
    child.kill();
  }, 120_000);

  test('a changed ConfigMap reaches a mounted volume in seconds, a missing one holds the pod back', async () => {
    await apply(
      pod('config', {
        volumes: [{ name: 'v', configMap: { name: 'settings' } }],
        containers: [container('sleep 1000', { volumeMounts: [{ name: 'v', mountPath: '/etc/axoneme/trust' }] })],
      }),
    );
    await until('event', async () =>
      (await kubectl('get', 'events', '--field-selector', 'involvedObject.name=config')).includes('FailedMount') ? true : undefined,
    );
    await kubectl('create', 'configmap', 'settings', '--from-literal=a=1');
    await ready('config');
    expect(await kubectl('exec', 'config', '--', 'cat', '/etc/axoneme/trust/a')).toBe('1');
    await kubectl('patch', 'configmap', 'settings', '-p', '{"data":{"a":"2"}}');
    const startedMs = Date.now();
    await until('update', async () => ((await kubectl('exec', 'config', '--', 'cat', '/etc/axoneme/trust/a')) === '2' ? true : undefined));
    expect(Date.now() - startedMs).toBeLessThan(10_000);
  }, 120_000);

  test('a container killed with SIGKILL comes back; an unknown image says what to do', async () => {
    const before = readFileSync(await pidFile('shell'), 'utf8');
    process.kill(Number(before), 'SIGKILL');
    await until('restart', async () => {
      const after = readFileSync(await pidFile('shell'), 'utf8');
      return after === before ? undefined : after;
    });
    await ready('shell');
    await apply(pod('strange', { containers: [{ name: 'c', image: 'example.com/never/heard:1' }] }));
    const message = await until('message', async () => {
      const text = await kubectl('get', 'pod', 'strange', '-o', 'jsonpath={.status.containerStatuses[0].state.waiting}');
      return text.includes('ErrImagePull') ? text : undefined;
    });
    expect(message).toContain('command:');
  }, 120_000);

  test('a DaemonSet has a pod per node in the node’s own network; a Job completes; owners take their pods along', async () => {
    const labels = { app: 'daemon' };
    const spec = { hostNetwork: true, containers: [container('ip -br addr show dev eth0; sleep 1000')] };
    await apply({
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: { name: 'daemon' },
      spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
    });
    await kubectl('rollout', 'status', 'daemonset/daemon', '--timeout=45s');
    const ips = (await kubectl('get', 'pods', '-l', 'app=daemon', '-o', 'jsonpath={.items[*].status.podIP}')).split(' ');
    expect(ips.sort()).toEqual(sandbox.nodes.map((n) => n.ipv4).sort());
    await apply({
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name: 'once' },
      spec: { template: { spec: { restartPolicy: 'Never', containers: [container('echo done')] } } },
    });
    await kubectl('wait', 'job/once', '--for=condition=complete', '--timeout=45s');
    await kubectl('delete', 'daemonset/daemon', 'job/once', 'deployment/web');
    await until(
      'pods gone',
      async () => ((await kubectl('get', 'pods', '-l', 'app in (web,daemon)', '-o', 'name')) === '' ? true : undefined),
      40_000,
    );
    expect((await kubectl('get', 'replicasets', '-o', 'name')).trim()).toBe('');
  }, 120_000);

  test('deleting a namespace empties and removes it', async () => {
    await kubectl('create', 'namespace', 'temp');
    await sandbox.kubectl(['apply', '-n', 'temp', '-f', '-'], {
      input: JSON.stringify(pod('x', { containers: [container('sleep 1000')] })),
    });
    await kubectl('wait', '-n', 'temp', 'pod/x', '--for=condition=Ready', '--timeout=45s');
    await kubectl('delete', 'namespace', 'temp', '--timeout=20s');
    expect((await sandbox.kubectlResult(['get', 'namespace', 'temp'])).code).toBe(1);
  }, 120_000);

  test('pods reach the world through the fabric’s router when the node does', async () => {
    const r = await sandbox.nodeExec('node-1', ['curl', '-s', '-m', '3', 'http://203.0.113.9/']);
    expect(JSON.parse(r.stdout)).toMatchObject({ server: 'world', client: sandbox.nodes[0]?.ipv4 });
    const six = await sandbox.nodeExec('node-1', ['curl', '-sg', '-m', '3', 'http://[2001:db8:ffff::9]/']);
    expect(JSON.parse(six.stdout)).toMatchObject({ client: sandbox.nodes[0]?.ipv6 });
  });

  test('a program run in a node is in its cgroup, where the node’s socket programs are', async () => {
    const r = await sandbox.nodeExec('node-2', ['cat', '/proc/self/cgroup']);
    expect(r.stdout).toMatch(/^0::\/axoneme-sandbox-[^/]+\/node-2\/system$/m);
    expect(await sandbox.nodeExec('node-2', ['false'])).toMatchObject({ code: 1 });
  });

  test('the world reaches an address by the node that its route names, or by several', async () => {
    const addresses = ['198.51.100.7', '2001:db8:77::7'];
    const { demo } = buildNative(join(sandboxesDir(), 'bin'));
    for (const { name } of sandbox.nodes) {
      sandbox.nodeStart(name, [demo, '--mode', 'echo', '--http', '8099']);
      for (const a of addresses) await sandbox.nodeExec(name, ['ip', 'addr', 'add', a, 'dev', 'lo']);
    }
    for (const address of addresses) {
      const ask = async (): Promise<string> => {
        const url = `http://${address.includes(':') ? `[${address}]` : address}:8099/hostname`;
        return (await sandbox.fabricExec('worldPid', ['curl', '-sg', '-m', '1', url])).stdout.trim();
      };
      for (const { name } of sandbox.nodes) {
        await sandbox.route(address, [name]);
        expect(await until('an answer', async () => (await ask()) || undefined)).toBe(name);
      }
      await sandbox.route(
        address,
        sandbox.nodes.map((n) => n.name),
      );
      const seen = new Set<string>();
      await until('answers of both', async () => (seen.add(await ask()).size === sandbox.nodes.length ? true : undefined));
      expect([...seen].sort()).toEqual(sandbox.nodes.map((n) => n.name));
      await sandbox.route(address, []);
      expect(await ask()).toBe('');
    }
  });

  test('after kill -9 of its process, down leaves nothing', async () => {
    const state = JSON.parse(readFileSync(join(stateDir, 'sandbox.json'), 'utf8')) as {
      daemon: { pid: number };
      cgroup: string;
      hostLink: string;
      nodes: { holderPid: number }[];
    };
    const members = pidsBelow(state.cgroup);
    expect(members.length).toBeGreaterThan(4);
    expect(networkInterfaces()[state.hostLink]).toBeDefined();
    process.kill(state.daemon.pid, 'SIGKILL');
    await sandbox.down();
    expect(existsSync(state.cgroup)).toBe(false);
    expect(existsSync(`/sys/class/net/${state.hostLink}`)).toBe(false);
    expect(existsSync(stateDir)).toBe(false);
    expect(members.filter(isRunning)).toEqual([]);
    expect(readFileSync('/proc/self/mounts', 'utf8')).not.toContain(stateDir);
  }, 120_000);
});

async function pidFile(name: string): Promise<string> {
  const uid = await kubectl('get', 'pod', name, '-o', 'jsonpath={.metadata.uid}');
  const node = await kubectl('get', 'pod', name, '-o', 'jsonpath={.spec.nodeName}');
  return join(stateDir, 'nodes', node, 'kubelet/pods', uid, 'containers/c/pid');
}

function pidsBelow(cgroup: string): number[] {
  const own = readFileSync(join(cgroup, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
  const dirs = readdirSync(cgroup, { withFileTypes: true }).filter((e) => e.isDirectory());
  return [...own, ...dirs.flatMap((d) => pidsBelow(join(cgroup, d.name)))];
}

/** A zombie that init has not buried yet does not run. */
function isRunning(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
