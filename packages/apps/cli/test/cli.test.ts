import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clientRoleOf, clientSpiffeUri, createCa, issueClient, issueServer } from '@axoneme/pki';
import type { FlowSample, GetStatusResponse, MonitorRequest, MonitorResponse, PolicyState } from '@axoneme/proto';
import { AppError, silentLog, systemClock } from '@axoneme/std';
import { createNodeServer, type NodeServer, operatorServerName } from '@axoneme/stream';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { flowLine, renderFlow } from '../src/commands/monitor.ts';
import { runCli } from '../src/index.ts';
import { bytes, table } from '../src/output.ts';
import { createShop, outside } from './service-world.ts';

const status: GetStatusResponse = {
  operatorId: 'operator-1',
  leader: true,
  revision: 7,
  epoch: 2,
  components: [
    { name: 'kvstore', state: 'degraded', reason: 'redis is not reachable' },
    { name: 'node-server', state: 'ok', reason: '' },
  ],
  nodes: [
    {
      name: 'w1',
      connected: true,
      ackedRevision: 7,
      lastNack: '',
      rssBytes: 90 * 1024 * 1024,
      artifacts: 12,
      bytesSent: 5000,
      artifactBytesSent: 1536,
      podCidrs: ['10.0.1.0/24', 'fd00::/120'],
      tables: { policy: { entries: 12, capacity: 100 }, ipcache: { entries: 1, capacity: 100 } },
      problems: [{ name: 'acceleration', state: 'degraded', reason: 'no XDP on eth0' }],
    },
    {
      name: 'worker-2',
      connected: false,
      ackedRevision: 3,
      lastNack: 'agent/table-full: table policy is full',
      rssBytes: 0,
      artifacts: 1,
      bytesSent: 0,
      artifactBytesSent: 0,
      podCidrs: [],
      tables: {},
      problems: [],
    },
  ],
  policies: 1,
  identities: 5,
  endpoints: 6,
  services: 3,
};

const flow: FlowSample = {
  timeUnixUs: Date.UTC(2030, 0, 2, 3, 4, 5, 678) * 1000,
  sourceIdentity: 300,
  destinationIdentity: 301,
  sourceAddress: Buffer.from([10, 0, 0, 1]),
  destinationAddress: Buffer.from([10, 0, 0, 2]),
  sourcePort: 4000,
  destinationPort: 80,
  protocol: 6,
  verdict: 2,
  dropReason: 133,
  direction: 0,
  ruleId: 1,
  endpointId: 4,
  tracePoint: 0,
  length: 74,
  tcpFlags: 2,
  shadow: 0,
  shadowRuleId: 0,
  shadowDirection: 0,
};
const drop: MonitorResponse = {
  node: 'w1',
  flow,
  source: 'default/xwing (10.0.0.1:4000)',
  destination: 'default/deathstar (10.0.0.2:80)',
  rule: 'CiliumNetworkPolicy default/rule1 ingress[0]',
  dropReasonName: 'POLICY_DENIED',
  policyLog: '',
  shadowRule: '',
};

const rows = [
  { table: 'policy', handle: 'aa', peer: 'any', port: 80, rule: '01' },
  { table: 'policy', handle: 'bbbb', peer: 300, port: '1-3', rule: '02' },
  { table: 'subject', identity: 301, flags: ['ingress', 'egress'], denyRules: { ingress: '01', egress: '00' } },
];

const enforced: PolicyState = {
  kind: 'CiliumNetworkPolicy',
  namespace: 'shop',
  name: 'web',
  generation: 3,
  observedGeneration: 3,
  mode: 'enforce',
  valid: true,
  supported: true,
  enforcedNodes: 2,
  nodes: 2,
  revision: 9,
  pendingNodes: [],
  problems: [],
  unsupported: [],
  warnings: [],
  refusedReason: '',
  refusedMessage: '',
  reason: 'EnforcedEverywhere',
  message: '2/2 nodes at revision 9',
};
const policies: PolicyState[] = [
  enforced,
  { ...enforced, name: 'broken', valid: false, problems: ['spec.ingress[0]: bad (fix it)'], reason: 'Invalid', message: 'no effect' },
  { ...enforced, name: 'big', refusedReason: 'CapacityExceeded', refusedMessage: 'map policy of node a needs 9 rows' },
  {
    ...enforced,
    name: 'late',
    enforcedNodes: 1,
    pendingNodes: ['w2'],
    reason: 'Pending',
    message: '1/2 nodes at revision 9; waiting for w2',
  },
  { ...enforced, name: 'old', observedGeneration: 2 },
  { ...enforced, name: 'ghost', mode: 'shadow', reason: 'Shadow', message: 'recorded, not enforced, on 2/2 nodes at revision 9' },
  { ...enforced, kind: 'NetworkPolicy', name: 'np', warnings: ['selects no pod'] },
  { ...enforced, kind: 'AdminNetworkPolicy', namespace: '', name: 'first' },
];

const { node, services, setText } = createShop();
let operator: NodeServer;
let stop: AbortController;
let dir: string;
let monitored: MonitorRequest | undefined;
beforeAll(async () => {
  stop = new AbortController();
  const ca = await createCa({ name: 'test', days: 1 });
  const server = await issueServer(ca, { dnsNames: [operatorServerName] });
  operator = createNodeServer(
    {
      tls: { ...server, caPem: ca.certPem },
      nodeOf: () => ({ ok: false, error: new AppError({ code: 'x', message: 'no node' }) }),
      isAdmin: (peer) => clientRoleOf(peer, 'c1') === 'admin',
      artifacts: () => undefined,
      freshness: () => ({ epoch: 1, leader: true, inputAgeMs: {} }),
      events: {},
      report: () => undefined,
      sign: async () => ({ certificatePem: '', caPem: '', notAfterUnixMs: 0 }),
      clock: systemClock,
      log: silentLog,
      admin: {
        getStatus: () => status,
        listIdentities: () => ({
          identities: [
            { id: 301, labels: { 'k8s:class': 'deathstar', 'k8s:org': 'empire' }, endpoints: 2 },
            { id: 1, labels: { 'reserved:host': '' }, endpoints: 0 },
          ],
        }),
        listEndpoints: () => ({
          endpoints: [
            { namespace: 'default', pod: 'xwing', node: 'w2', endpointId: 9, identity: 300, ipv4: '10.0.2.3', ipv6: '', state: 'ready' },
            {
              namespace: 'default',
              pod: 'deathstar',
              node: 'w1',
              endpointId: 10,
              identity: 301,
              ipv4: '10.0.1.3',
              ipv6: 'fd00::3',
              state: 'ready',
            },
          ],
        }),
        listPolicies: (q) => ({
          policies: policies.filter((p) => (q.kind === '' || p.kind === q.kind) && (q.name === '' || p.name === q.name)),
        }),
        async *watchPolicy(q) {
          yield { policy: policies.find((x) => x.kind === q.kind && x.name === q.name && x.namespace === q.namespace) };
        },
        async *listServices(q) {
          if (q.name === 'none') throw new AppError({ code: 'stream/not-found', message: 'there is no Service shop/none' });
          for (const service of services) if (q.name === '' || q.name === service.name) yield { service };
        },
        async *listTable(q) {
          if (q.node !== 'w1')
            throw new AppError({ code: 'stream/not-found', message: `there is no node "${q.node}"`, hint: 'known nodes: w1' });
          if (q.table.startsWith('lookup ')) for (const json of node.answer(q.table.slice(7))) yield { json };
          if (q.table === 'policy') for (const r of rows) yield { json: JSON.stringify(r) };
        },
        async *monitor(q) {
          monitored = q;
          yield drop;
          yield { ...drop, flow: { ...flow, verdict: 1, dropReason: 0 }, dropReasonName: '', rule: '' };
        },
      },
    },
    { host: '127.0.0.1', ports: { node: 0, admin: 0 }, operatorId: 'operator-1' },
  );
  await operator.start(stop.signal);
  dir = mkdtempSync(join(tmpdir(), 'axo-cli-'));
  const client = await issueClient(ca, { commonName: 'axoneme-cli', uri: clientSpiffeUri('c1', 'admin') });
  writeFileSync(join(dir, 'tls.crt'), client.certPem);
  writeFileSync(join(dir, 'tls.key'), client.keyPem);
  writeFileSync(join(dir, 'ca.crt'), ca.certPem);
});
afterAll(() => {
  stop.abort();
  rmSync(dir, { recursive: true, force: true });
});

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}
async function axoneme(...argv: string[]): Promise<Ran> {
  const out: string[] = [];
  const err: string[] = [];
  const code = await runCli(argv, {
    out: { write: (t) => void out.push(t) },
    err: { write: (t) => void err.push(t) },
    signal: new AbortController().signal,
  });
  return { code, out: out.join(''), err: err.join('') };
}
const direct = (...argv: string[]): Promise<Ran> => axoneme('--server', `127.0.0.1:${operator.ports().admin}`, '--tls-dir', dir, ...argv);

describe('output', () => {
  test('columns line up, numbers to the right, nothing behind the last cell', () => {
    expect(
      table(
        ['A', 'NUMBER'],
        [
          ['long cell', 1],
          ['', 100],
        ],
      ),
    ).toBe('A          NUMBER\nlong cell       1\n-             100\n');
    expect(table(['A', 'B'], [])).toBe('A  B\n');
  });
  test('bytes are short', () => {
    expect([0, 1023, 1536, 150 * 1024, 3 * 1024 ** 3].map(bytes)).toEqual(['0 B', '1023 B', '1.5 KiB', '150 KiB', '3.0 GiB']);
  });
});

describe('against an operator', () => {
  test('status', async () => {
    const r = await direct('status');
    expect(r).toMatchObject({ code: 0, err: '' });
    expect(r.out).toBe(
      [
        'Operator:  operator-1 (leader), epoch 2',
        'Revision:  7, enforced on 1/2 nodes',
        'Objects:   1 policies, 5 identities, 6 endpoints, 3 services',
        '',
        'COMPONENT    STATE     REASON',
        'kvstore      degraded  redis is not reachable',
        'node-server  ok        -',
        '',
        'NODE      LINK  REVISION  ARTIFACTS  SENT     MEMORY    POD CIDRS               FULLEST TABLE  PROBLEM',
        'w1        up           7         12  1.5 KiB  90.0 MiB  10.0.1.0/24,fd00::/120  policy 12/100  acceleration: no XDP on eth0',
        'worker-2  down         3          1  0 B      -         -                       -              agent/table-full: table policy is full',
        '',
      ].join('\n'),
    );
    for (const argv of [
      ['status', '-o', 'json'],
      ['-o', 'json', 'status'],
    ]) {
      expect(JSON.parse((await direct(...argv)).out)).toMatchObject({
        operatorId: 'operator-1',
        nodes: [{ name: 'w1' }, { name: 'worker-2' }],
      });
    }
  });

  test('services: all of them with what is wrong', async () => {
    expect((await direct('service', 'list')).out).toBe(
      [
        'SERVICE    TYPE          FRONTENDS                             BACKENDS               REMARKS',
        'shop/web   LoadBalancer  192.0.2.10:80/TCP, 0.0.0.0:30080/TCP  2 active, 1 not-ready        1',
        'shop/idle  ClusterIP     -                                     -                            0',
        '',
        'Remarks:',
        '  shop/web: external IP refused: 10.0.0.1 is an address of a node',
        '',
      ].join('\n'),
    );
    expect(JSON.parse((await direct('service', 'list', '-o', 'json')).out)).toMatchObject([{ name: 'web' }, { name: 'idle' }]);
  });

  test('one service, and what a node has of it', async () => {
    const { out } = await direct('service', 'get', 'web', '-n', 'shop');
    expect(out).toBe(
      [
        'Service:   shop/web (LoadBalancer)',
        'Policies:  external Local, internal Cluster',
        'Backends:  2 active, 1 not-ready',
        'Health:    port 31000 of every node',
        'Nodes:     some are given something else, see --node',
        'Remark:    external IP refused: 10.0.0.1 is an address of a node',
        '',
        'FRONTEND           KIND           SET OUT               SET IN                CHOICE      AFFINITY  FLAGS',
        `192.0.2.10:80/TCP  load-balancer  ${setText} (2)  ${setText} (2)  maglev 251  -         -`,
        `0.0.0.0:30080/TCP  node-port      ${setText} (2)  ${setText} (2)  random      60 s      -`,
        '',
        'BACKEND        PROTOCOL  PORT  STATE   WEIGHT  NODE  ZONE  POD',
        '10.0.1.1:8080  TCP       http  active     100  w1    a     shop/web-1',
        '10.0.2.1:8080  TCP       http  active     100  w2    b     shop/web-2',
        '',
      ].join('\n'),
    );
    const onNode = (await direct('service', 'get', 'shop/web', '--node', 'w1')).out.slice(out.length + 1);
    expect(onNode).toBe(
      [
        'FRONTEND           IN THE TABLES OF w1',
        '192.0.2.10:80/TCP  as compiled',
        '0.0.0.0:30080/TCP  missing',
        '',
        `Set ${setText}`,
        'SLOT  BACKEND        SHARE',
        '   0  10.0.1.1:8080  126 of 251 entries',
        '   1  10.0.2.1:8080  125 of 251 entries',
        '',
      ].join('\n'),
    );
    const j = JSON.parse((await direct('service', 'get', 'shop/web', '--node', 'w1', '-o', 'json')).out);
    expect(j.onNode.sets[0].maglev).toEqual({ size: 251, missingChunks: 0, entries: [126, 125] });
    expect((await direct('service', 'get', 'shop/none')).code).toBe(5);
    expect((await direct('service', 'get', 'a/b/c')).code).toBe(2);
    expect((await direct('service', 'get', 'shop/web', '--node', 'w9')).code).toBe(5);
  });

  test('which backend a connection would get', async () => {
    const argv = ['service', 'explain', '--node', 'w1', '--client', `${outside}:40000`, '--to', '192.0.2.10:80'];
    const { out, code } = await direct(...argv);
    expect(code).toBe(0);
    expect(out).toMatch(/^TCP 198\.51\.100\.7:40000 -> 192\.0\.2\.10:80 on w1: backend 10\.0\.[12]\.1:8080: /);
    expect(out).toMatch(/ {2}service {3}shop\/web\n {2}client {4}198\.51\.100\.7 is outside the cluster/);
    expect(out).toMatch(/ {2}choice {4}Maglev entry \d+ of 251: slot [01], 10\.0\.[12]\.1:8080\n/);
    expect(JSON.parse((await direct(...argv, '-o', 'json')).out)).toMatchObject({ outcome: 'backend', service: 'shop/web', scope: 'out' });
    expect((await direct(...argv.slice(0, -1), '192.0.2.10')).code).toBe(2);
    expect((await direct(...argv.slice(0, -2))).code).toBe(2);
  });

  test('identities and endpoints', async () => {
    expect((await direct('identity', 'list')).out).toBe(
      [
        'IDENTITY  ENDPOINTS  LABELS',
        '1         0          reserved:host',
        '301       2          k8s:class=deathstar',
        '                     k8s:org=empire',
        '',
      ].join('\n'),
    );
    expect(JSON.parse((await direct('identity', 'list', '-o', 'json')).out)).toHaveLength(2);
    expect((await direct('endpoint', 'list')).out).toBe(
      [
        'POD                NODE  ENDPOINT  IDENTITY  IPV4      IPV6     STATE',
        'default/deathstar  w1          10       301  10.0.1.3  fd00::3  ready',
        'default/xwing      w2           9       300  10.0.2.3  -        ready',
        '',
      ].join('\n'),
    );
    expect(JSON.parse((await direct('endpoint', 'list', '-o', 'json')).out)).toHaveLength(2);
  });

  test.each([
    ['cnp/web', 0, 'CiliumNetworkPolicy shop/web is enforced on 2/2 nodes at revision 9'],
    ['netpol/np', 0, 'NetworkPolicy shop/np is enforced'],
    ['anp/first', 0, 'AdminNetworkPolicy first is enforced'],
    ['cnp/broken', 1, 'spec.ingress[0]: bad (fix it)'],
    ['cnp/big', 1, 'was refused (CapacityExceeded): map policy of node a needs 9 rows'],
    ['cnp/ghost', 1, 'is a shadow policy'],
    ['cnp/nobody', 5, 'there is no CiliumNetworkPolicy shop/nobody'],
    ['cnp/late', 6, 'not enforced within 0.4 s: 1/2 nodes at revision 9; waiting for w2'],
    ['cnp/old', 6, 'not enforced within 0.4 s'],
    ['pod/web', 2, 'names no policy'],
    ['cnp', 2, 'has no name'],
  ])('policy wait %s ends with %i', async (what, code, text) => {
    const r = await direct('policy', 'wait', what, '-n', 'shop', '--timeout', '400ms');
    expect([r.code, `${r.out}${r.err}`.includes(text) || `${r.out}${r.err}`]).toEqual([code, true]);
  });

  test('policy wait takes what is recorded for enough if asked to, and a duration for a duration', async () => {
    expect(await direct('policy', 'wait', 'cnp/ghost', '-n', 'shop', '--for', 'delivered')).toMatchObject({ code: 0, err: '' });
    expect((await direct('policy', 'wait', 'cnp/web', '-n', 'shop', '--timeout', 'soon')).code).toBe(2);
    const r = await direct('policy', 'wait', 'cnp/late', '-n', 'shop', '--timeout', '300ms', '-o', 'json');
    expect([r.code, JSON.parse(r.out)]).toMatchObject([6, { result: 'failed', exitCode: 6, policy: { pendingNodes: ['w2'] } }]);
  });

  test('policy status lists, and shows one with all there is to say', async () => {
    const all = await direct('policy', 'status');
    expect(all.out.split('\n')[0]).toBe(
      'KIND                 NAMESPACE  NAME    MODE     VALID  SUPPORTED  NODES  REVISION  STATE               WARNINGS',
    );
    expect(all.out).toMatch(/CiliumNetworkPolicy {2}shop {7}late {4}enforce {2}yes {4}yes {8}1\/2 {11}9 {2}Pending/);
    expect((await direct('policy', 'status', 'netpol')).out.split('\n')).toHaveLength(3);
    const one = await direct('policy', 'status', 'cnp/broken', '-n', 'shop');
    expect(one.out).toContain('CiliumNetworkPolicy shop/broken: Invalid\n  no effect\n');
    expect(one.out).toContain('Problems:\n  spec.ingress[0]: bad (fix it)\n');
    expect((await direct('policy', 'status', 'netpol/np', '-n', 'shop')).out).toContain('Warnings:\n  selects no pod\n');
    expect((await direct('policy', 'status', 'cnp/none', '-n', 'shop')).code).toBe(5);
  });

  test('kernel tables', async () => {
    expect((await direct('bpf', 'policy', 'list', '--node', 'w1')).out).toBe(
      [
        'policy (2)',
        'HANDLE  PEER  PORT  RULE',
        'aa      any   80    01',
        'bbbb    300   1-3   02',
        '',
        'subject (1)',
        'IDENTITY  FLAGS           DENY RULES',
        '     301  ingress,egress  ingress=01,egress=00',
        '',
      ].join('\n'),
    );
    expect(JSON.parse((await direct('bpf', 'policy', 'list', '--node', 'w1', '-o', 'json')).out)).toEqual(rows);
    expect((await direct('bpf', 'ct', 'list', '--node', 'w1')).out).toBe('no entries\n');
    expect((await direct('bpf', 'lb', 'list', '--node', 'w1', '-o', 'json')).out).toBe('[]\n');
    expect(await direct('bpf', 'ipcache', 'list', '--node', 'nope')).toEqual({
      code: 5,
      out: '',
      err: 'axoneme: there is no node "nope"\n         known nodes: w1\n',
    });
  });

  test('monitor', async () => {
    const r = await direct('monitor', '--type', 'drop', '--node', 'w1', '--last', '5', '--no-follow');
    expect(monitored).toEqual({ dropsOnly: true, node: 'w1', last: 5, noFollow: true });
    expect(r.out.split('\n')).toEqual([
      '03:04:05.678 w1 DROPPED   ingress tcp    default/xwing (10.0.0.1:4000) -> default/deathstar (10.0.0.2:80)  POLICY_DENIED (133), by CiliumNetworkPolicy default/rule1 ingress[0]',
      '03:04:05.678 w1 FORWARDED ingress tcp    default/xwing (10.0.0.1:4000) -> default/deathstar (10.0.0.2:80)',
      '',
    ]);
    const line = JSON.parse((await direct('monitor', '-o', 'json')).out.split('\n')[0] as string);
    expect(line).toMatchObject({
      verdict: 'DROPPED',
      dropReason: 'POLICY_DENIED',
      dropReasonNumber: 133,
      source: drop.source,
      rule: drop.rule,
    });
    expect(line).toMatchObject({ policyLog: '', shadow: null });
    expect(monitored).toMatchObject({ dropsOnly: false, noFollow: false });
  });

  test('monitor shows what shadow policies would do, audits and log tags', () => {
    const shadow = { ...flow, verdict: 1, dropReason: 0, shadow: 2, shadowRuleId: 9, shadowDirection: 1 };
    const strict = 'CiliumNetworkPolicy default/strict default deny egress';
    const told = flowLine({ ...drop, flow: shadow, dropReasonName: '', policyLog: 'team-a', shadowRule: strict })!;
    expect(told).toMatchObject({
      verdict: 'FORWARDED',
      policyLog: 'team-a',
      shadow: { verdict: 'DROPPED', reason: 'default deny', direction: 'egress', rule: strict },
    });
    expect(renderFlow(told)).toContain(`by ${drop.rule}, log "team-a", shadow egress would drop by ${strict}\n`);
    const passing = flowLine({ ...drop, flow: { ...flow, shadow: 4 } })!;
    expect(passing.shadow).toEqual({ verdict: 'FORWARDED', reason: '', direction: 'ingress', rule: '' });
    expect(renderFlow(passing)).toContain(
      'POLICY_DENIED (133), by CiliumNetworkPolicy default/rule1 ingress[0], shadow ingress would pass\n',
    );
    expect(renderFlow(flowLine({ ...drop, flow: { ...flow, verdict: 4, dropReason: 0 }, dropReasonName: '' })!)).toContain(' AUDIT ');
  });
});

describe('what can go wrong', () => {
  test('usage', async () => {
    expect(await axoneme('bpf', 'policy', 'list')).toMatchObject({
      code: 2,
      err: expect.stringContaining("'--node <name>' not specified"),
    });
    expect(await axoneme('monitor', '--last', '-3')).toMatchObject({ code: 2 });
    expect(await axoneme('nonsense')).toMatchObject({ code: 2, err: expect.stringContaining("unknown command 'nonsense'") });
    expect(await axoneme('--server', 'x:1', 'status')).toMatchObject({ code: 2, err: 'axoneme: --server needs --tls-dir\n' });
    expect(await axoneme('--help')).toMatchObject({ code: 0, out: expect.stringContaining('monitor') });
  });

  test('nobody listens', async () => {
    expect(await axoneme('--server', '127.0.0.1:1', '--tls-dir', dir, 'status')).toMatchObject({
      code: 3,
      err: expect.stringContaining('ECONNREFUSED'),
    });
    expect(await axoneme('--kubeconfig', '/nope', 'status')).toMatchObject({ code: 3, err: 'axoneme: no kubeconfig at /nope\n' });
  });
});

describe('through an API server', () => {
  let api: Server;
  let kubeconfig: string;
  let answers: Record<string, readonly [number, unknown]> = {};
  beforeAll(async () => {
    api = createServer((q, a) => {
      const [code, body] = answers[(q.url ?? '').split('?')[0] as string] ?? [
        404,
        { kind: 'Status', reason: 'NotFound', message: 'not found' },
      ];
      a.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
    await new Promise<void>((r) => api.listen(0, '127.0.0.1', r));
    kubeconfig = join(dir, 'kubeconfig');
    const server = `http://127.0.0.1:${(api.address() as AddressInfo).port}`;
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'c',
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
      clusters: [{ name: 'c', cluster: { server } }],
      users: [{ name: 'u', user: {} }],
    };
    writeFileSync(kubeconfig, JSON.stringify(config));
  });
  afterAll(() => void api.close());

  const pods = '/api/v1/namespaces/axoneme-system/pods';
  const list = (...items: unknown[]): readonly [number, unknown] => [200, { kind: 'PodList', metadata: { resourceVersion: '1' }, items }];
  const pod = (name: string, phase: string): unknown => ({ metadata: { name, namespace: 'axoneme-system' }, status: { phase } });
  const run = (): Promise<Ran> => axoneme('--kubeconfig', kubeconfig, 'status');

  test('no operator, none running, another namespace', async () => {
    answers = { [pods]: list() };
    expect(await run()).toMatchObject({ code: 3, err: expect.stringContaining('no axoneme operator in namespace axoneme-system') });
    answers = { [pods]: list(pod('op-1', 'Pending')) };
    expect((await run()).err).toContain('no operator pod in namespace axoneme-system is running (op-1: Pending)');
    answers = { '/api/v1/namespaces/other/pods': list() };
    expect((await axoneme('--kubeconfig', kubeconfig, 'status', '-n', 'other')).err).toContain('no axoneme operator in namespace other');
  });

  test('not allowed', async () => {
    answers = { [pods]: [403, { kind: 'Status', reason: 'Forbidden', message: 'pods is forbidden: User "u" cannot list' }] };
    const r = await run();
    expect(r.code).toBe(4);
    expect(r.err).toContain('not allowed to list pods in axoneme-system');
    expect(r.err).toContain('needs to list pods');
  });

  test('no certificate', async () => {
    answers = { [pods]: list(pod('op-1', 'Running')) };
    expect(await run()).toMatchObject({ code: 3, err: expect.stringContaining('Secret axoneme-system/axoneme-cli does not exist') });
    answers['/api/v1/namespaces/axoneme-system/secrets/axoneme-cli'] = [
      200,
      { metadata: { name: 'axoneme-cli' }, data: { 'tls.crt': 'eA==' } },
    ];
    expect((await run()).err).toContain('is incomplete');
  });
});
