// A node as a network namespace with a real agent process in it, pods as namespaces behind it, and a scripted operator (real gRPC, real
// certificates) in the test's own process. Names carry the process id; `close` removes everything.
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { findCgroup2 } from '@axoneme/bpf';
import {
  addAddress,
  createNetns,
  createVeth,
  deleteLink,
  deleteNetns,
  inNetns,
  NetlinkSocket,
  netnsPath,
  openNetns,
  setLink,
  setRoute,
  tolerate,
} from '@axoneme/netlink';
import { type Ca, createCa, issueServer, nodeIdentityOf, nodeSpiffeUri, signCsr } from '@axoneme/pki';
import { type Ack, artifactDigest, type EndpointReport, type FlowSample, type Nack, type ReportRequest } from '@axoneme/proto';
import { type Digest, type NodeName, ok, type Result, silentLog, systemClock } from '@axoneme/std';
import { createNodeServer, type NodeServer, operatorServerName } from '@axoneme/stream';
import type { ArtifactContent } from '../src/store/artifact-file.ts';

export const token = 'let-me-in';
const run = (file: string, ...args: string[]): string => execFileSync(file, args, { encoding: 'utf8' });
const repository = fileURLToPath(new URL('../../../../', import.meta.url));
export const plugin = fileURLToPath(new URL('../../cni/build/axoneme-cni', import.meta.url));

/** Makes what is missing; whoever changes C builds it himself. */
export function build(): void {
  if (!['pod', 'netdev', 'overlay', 'host', 'sock', 'xdp'].every((n) => existsSync(`${repository}bpf/build/${n}.o`)))
    run('make', '-s', '-C', `${repository}bpf`);
  if (!existsSync(plugin)) run('make', '-s', '-C', `${repository}packages/apps/cni`);
}

/** Best effort, for cleaning up. */
function attempt(fn: () => void): void {
  try {
    fn();
  } catch {
    // was not there
  }
}

export async function until<T>(
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  what: string,
  timeoutMs = 20_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const v = await probe();
    if (v !== undefined && v !== false) return v;
    if (performance.now() > deadline) throw new Error(`gave up waiting: ${what}`);
    await new Promise((r) => setTimeout(r, 10));
  }
}

export interface TestOperator {
  readonly server: NodeServer;
  readonly acks: Ack[];
  readonly nacks: Nack[];
  readonly reports: ReportRequest[];
  endpoints(): Map<string, EndpointReport>;
  flows(): FlowSample[];
  readonly ca: Ca;
  /** Changes what the node should hold (null removes) and resolves when it is acknowledged. */
  push(node: string, changes: Readonly<Record<string, ArtifactContent | null>>): Promise<Ack>;
  /** Changes it without waiting. */
  set(node: string, changes: Readonly<Record<string, ArtifactContent | null>>): number;
  stop(): void;
}

/** A second one with the same `ca` is another replica or leader; without, a cluster that was made anew. */
export async function createOperator(
  host: string,
  o: { readonly epoch?: number; readonly ca?: Ca; readonly heartbeatMs?: number } = {},
): Promise<TestOperator> {
  const epoch = o.epoch ?? 1;
  const ca = o.ca ?? (await createCa({ name: 'test', days: 1 }));
  const tls = await issueServer(ca, { dnsNames: [operatorServerName] });
  const life = new AbortController();
  const bodies = new Map<string, ArtifactContent>();
  const desired = new Map<string, Map<string, Digest>>();
  const acks: Ack[] = [];
  const nacks: Nack[] = [];
  const reports: ReportRequest[] = [];
  let revision = 0;
  const server = createNodeServer(
    {
      tls: { ...tls, caPem: ca.certPem },
      nodeOf: (peer): Result<NodeName> => {
        const id = nodeIdentityOf(peer);
        return id.ok ? ok(id.value.node) : id;
      },
      isAdmin: () => false,
      report: (_n, r) => void reports.push(r),
      async sign(r) {
        if (r.token !== token) throw new Error('bad token');
        const ttlMs = 3_600_000;
        const certificatePem = await signCsr(ca, r.csrPem, { commonName: r.nodeName, uri: nodeSpiffeUri('test', r.nodeName), ttlMs });
        return { certificatePem, caPem: ca.certPem, notAfterUnixMs: Date.now() + ttlMs };
      },
      admin: {} as never,
      artifacts: (_name, digest) => bodies.get(digest),
      freshness: () => ({ epoch, leader: true, inputAgeMs: { pods: 1 } }),
      events: { ack: (_n, a) => void acks.push(a), nack: (_n, a) => void nacks.push(a) },
      clock: systemClock,
      log: silentLog,
    },
    { host, ports: { node: 0, bootstrap: 0 }, operatorId: 'test', hub: o.heartbeatMs === undefined ? {} : { heartbeatMs: o.heartbeatMs } },
  );
  await server.start(life.signal);
  const set: TestOperator['set'] = (node, changes) => {
    const held = desired.get(node) ?? new Map<string, Digest>();
    desired.set(node, held);
    const difference = new Map<string, Digest | null>();
    for (const [name, content] of Object.entries(changes)) {
      const digest = content && artifactDigest(content);
      if (content && digest) bodies.set(digest, content);
      if (digest) held.set(name, digest);
      else held.delete(name);
      difference.set(name, digest);
    }
    server.hub.changeDesired(node as NodeName, difference, { revision: ++revision, epoch });
    return revision;
  };
  return {
    server,
    acks,
    nacks,
    reports,
    ca,
    endpoints() {
      const byId = new Map<string, EndpointReport>();
      for (const r of reports) {
        if (r.full) byId.clear();
        for (const e of r.endpoints) {
          if (e.deleted) byId.delete(`${e.namespace}/${e.pod}`);
          else byId.set(`${e.namespace}/${e.pod}`, e);
        }
      }
      return byId;
    },
    flows: () => reports.flatMap((r) => r.flows),
    set,
    async push(node, changes) {
      const wanted = set(node, changes);
      return until(() => acks.find((a) => a.revision >= wanted), `acknowledgement of revision ${wanted}`);
    },
    stop: () => life.abort(),
  };
}

export interface TestNode {
  readonly name: string;
  readonly dir: string;
  readonly address4: string;
  readonly address6: string;
  readonly netns: string;
  start(...flags: string[]): void;
  /** SIGKILL unless told otherwise; resolves when the process is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  log(): string;
  /** Runs a program in the node's network. */
  exec(...argv: string[]): string;
  writeTrust(o: TestOperator): void;
  cni(command: string, pod: TestPod | undefined, conf?: object): Promise<{ code: number; out: string }>;
  readonly process: ChildProcess | undefined;
  close(): Promise<void>;
}

export interface TestPod {
  readonly id: string;
  readonly netns: string;
  readonly args: string;
  exec(...argv: string[]): string;
  spawn(...argv: string[]): ChildProcess;
  close(): void;
}

let pods = 0;
const traffic = new Set<ChildProcess>();

/** Ends traffic programs a failed test left running. */
export function stopTraffic(): void {
  for (const c of traffic) c.kill();
  traffic.clear();
}

export function createPod(namespace: string, name: string, uid = `uid-${name}`): TestPod {
  const id = `axa${process.pid}p${++pods}`;
  const netns = netnsPath(id);
  createNetns(netns);
  const children: ChildProcess[] = [];
  return {
    id,
    netns,
    args: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${name};K8S_POD_INFRA_CONTAINER_ID=${id};K8S_POD_UID=${uid}`,
    exec: (...argv) => run('nsenter', `--net=${netns}`, ...argv),
    spawn(...argv) {
      const child = spawn('nsenter', [`--net=${netns}`, ...argv], { stdio: ['pipe', 'pipe', 'ignore'] });
      children.push(child);
      traffic.add(child);
      return child;
    },
    close() {
      for (const c of children) c.kill();
      deleteNetns(netns);
    },
  };
}

const clusterCidrs = ['10.231.0.0/16', 'fd23:1::/32'];
export const nodeBlob = { clusterCidrs };
let nodes = 0;

/** The node's device eth0 leads to this machine's own namespace, where the operator listens on `gateway`. */
export function createNode(): TestNode & { readonly gateway: string } {
  const n = ++nodes;
  const unique = `axa${process.pid}n${n}`;
  const outside = `axo${process.pid % 100000}t${n}`.replace('axo', 'axt');
  const netns = netnsPath(unique);
  const third = (process.pid % 200) + 20;
  const gateway = `10.233.${third}.${n * 4 + 1}`;
  const address4 = `10.233.${third}.${n * 4 + 2}`;
  const address6 = `fd23:ff:${third}::${(n * 4 + 2).toString(16)}`;
  const dir = mkdtempSync(`${tmpdir()}/axa-node-`);
  const cgroup = `${findCgroup2()}/${unique}`;
  mkdirSync(cgroup);
  createNetns(netns);
  const fd = openNetns(netns);
  const outer = new NetlinkSocket();
  outer.execute([createVeth({ name: outside, up: true }, { name: 'eth0', netnsFd: fd })]);
  const outsideIndex = Number(readFileSync(`/sys/class/net/${outside}/ifindex`, 'utf8'));
  outer.execute([
    addAddress({ ifindex: outsideIndex, address: `${gateway}/30` }),
    addAddress({ ifindex: outsideIndex, address: `fd23:ff:${third}::${(n * 4 + 1).toString(16)}/126` }),
  ]);
  inNetns(fd, () => {
    const s = new NetlinkSocket();
    const eth0 = Number(run('ip', '-o', 'link', 'show', 'eth0').split(':')[0]);
    s.execute([
      setLink('lo', { up: true }),
      setLink('eth0', { up: true }),
      addAddress({ ifindex: eth0, address: `${address4}/30` }),
      addAddress({ ifindex: eth0, address: `${address6}/126` }),
      setRoute({ to: '0.0.0.0/0', ifindex: eth0, via: gateway, protocol: 4 }),
      setRoute({ to: '::/0', ifindex: eth0, via: `fd23:ff:${third}::${(n * 4 + 1).toString(16)}`, protocol: 4 }),
    ]);
    s.close();
  });
  for (const d of ['trust', 'net.d', 'bin', 'state']) mkdirSync(`${dir}/${d}`);
  writeFileSync(`${dir}/token`, token);
  let child: ChildProcess | undefined;
  let output = '';
  const kill = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> => {
    const p = child;
    if (!p || p.exitCode !== null || p.signalCode !== null) return;
    const gone = new Promise((r) => p.once('exit', r));
    p.kill(signal);
    await gone;
  };
  return {
    name: unique,
    dir,
    address4,
    address6,
    netns,
    gateway,
    get process() {
      return child;
    },
    start(...flags) {
      const settings: Record<string, string> = {
        'node-name': unique,
        'state-dir': `${dir}/state`,
        socket: `${dir}/agent.sock`,
        bpffs: `${dir}/bpf`,
        'cgroup-root': cgroup,
        'cni-conf-dir': `${dir}/net.d`,
        'cni-bin-dir': `${dir}/bin`,
        'trust-dir': `${dir}/trust`,
        'token-file': `${dir}/token`,
        'map-sizes': 'flow4=16384,flow6=16384,lb_sock=8192,events=1048576',
        'health-port': '9879',
        'log-level': 'debug',
      };
      const argv = Object.entries(settings).map(([k, v]) => `--${k}=${v}`);
      const main = `${repository}packages/apps/agent/bin/axoneme-agent.mjs`;
      child = spawn('nsenter', [`--net=${netns}`, process.execPath, '--disable-warning=ExperimentalWarning', main, ...argv, ...flags], {
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { PATH: process.env.PATH ?? '' },
      });
      child.stderr?.setEncoding('utf8').on('data', (t: string) => {
        output += t;
        if (process.env.AXA_LOG) process.stderr.write(t);
      });
    },
    kill,
    log: () => output,
    exec: (...argv) => run('nsenter', `--net=${netns}`, ...argv),
    writeTrust(o) {
      const { node, bootstrap } = o.server.ports();
      writeFileSync(`${dir}/trust/endpoints`, `${gateway}:${node}\n`);
      writeFileSync(`${dir}/trust/bootstrap-endpoints`, `${gateway}:${bootstrap}\n`);
      writeFileSync(`${dir}/trust/ca.crt`, o.ca.certPem);
    },
    cni(command, pod, conf = {}) {
      return new Promise((resolve) => {
        const env = {
          CNI_COMMAND: command,
          AXONEME_SOCKET: `${dir}/agent.sock`,
          CNI_PATH: `${dir}/bin`,
          ...(pod ? { CNI_CONTAINERID: pod.id, CNI_NETNS: pod.netns, CNI_IFNAME: 'eth0', CNI_ARGS: pod.args } : {}),
        };
        const p = execFile(plugin, { env }, (e, out) => resolve({ code: typeof e?.code === 'number' ? e.code : 0, out }));
        p.stdin?.end(JSON.stringify({ cniVersion: '1.1.0', name: 'axoneme', type: 'axoneme-cni', ...conf }));
      });
    },
    async close() {
      await kill();
      outer.tryExecute([tolerate(deleteLink(outside), 'ENODEV')]);
      outer.close();
      deleteNetns(netns);
      attempt(() => run('umount', '-l', `${dir}/bpf`));
      attempt(() => rmdirSync(cgroup));
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

const udpEcho = `
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.bind(('::', 7000))
print('up', flush=True)
while True:
    d, a = s.recvfrom(2048)
    s.sendto(b'pong', a)
`;
const udpAsk = `
import socket, sys
f = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
s = socket.socket(f, socket.SOCK_DGRAM)
s.settimeout(0.4)
for i in range(2):
    s.sendto(b'ping', (sys.argv[1], int(sys.argv[2])))
    try:
        print(s.recv(100).decode()); sys.exit(0)
    except socket.timeout:
        pass
print('timeout')
`;

/** Answers `pong` to datagrams on port 7000, both families. */
export async function startEcho(pod: TestPod): Promise<ChildProcess> {
  const p = pod.spawn('python3', '-c', udpEcho);
  await running(p);
  return p;
}

/** `pong`, or `timeout` when nothing comes back. */
export const ask = (pod: TestPod, address: string, port = 7000): string => pod.exec('python3', '-c', udpAsk, address, String(port)).trim();

const udpSend = `
import socket, sys, time, select
f = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
s = socket.socket(f, socket.SOCK_DGRAM)
s.connect((sys.argv[1], int(sys.argv[2])))
print('up', flush=True)
n = 0
while not select.select([sys.stdin], [], [], 0.002)[0]:
    try:
        s.send(b'flood')
        n += 1
        if n == 101:
            print('enough', flush=True)
    except OSError:
        pass
print(n, flush=True)
`;
const udpCount = `
import socket, sys, select, json
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
s.bind(('::', int(sys.argv[1])))
print('up', flush=True)
c = {}
while True:
    r = select.select([s, sys.stdin], [], [])[0]
    if s in r:
        d, a = s.recvfrom(2048)
        k = a[0].replace('::ffff:', '')
        c[k] = c.get(k, 0) + 1
        if c[k] == 100:
            print('100 from', k, flush=True)
    elif sys.stdin in r:
        break
print(json.dumps(c), flush=True)
`;

export interface Running {
  /** Whether it has printed this. */
  said(text: string): boolean;
  /** Ends it and gives what it printed last. */
  finish(): Promise<string>;
}

async function running(p: ChildProcess): Promise<Running> {
  let text = '';
  p.stdout?.setEncoding('utf8').on('data', (t: string) => {
    text += t;
  });
  await until(() => text.includes('up') || p.exitCode !== null, 'a traffic program');
  if (p.exitCode !== null) throw new Error(`a traffic program ended with ${p.exitCode}`);
  return {
    said: (t) => text.includes(t),
    async finish() {
      const gone = new Promise((r) => p.once('close', r));
      p.stdin?.end();
      await gone;
      return text.trim().split('\n').at(-1) ?? '';
    },
  };
}

/** Sends about 400 datagrams a second, more than 100 in any case; `finish` gives how many. */
export async function flood(pod: TestPod, address: string, port = 7000): Promise<Running> {
  const sender = await running(pod.spawn('python3', '-c', udpSend, address, String(port)));
  return {
    said: sender.said,
    async finish() {
      await until(() => sender.said('enough'), 'more than a hundred datagrams');
      return sender.finish();
    },
  };
}

/** Counts datagrams by source; says `100 from ADDRESS`; `finish` gives `{address: count}`. */
export const count = (pod: TestPod, port = 7000): Promise<Running> => running(pod.spawn('python3', '-c', udpCount, String(port)));
