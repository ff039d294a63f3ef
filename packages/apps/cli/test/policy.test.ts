// The `policy` commands on manifests: what they print, as golden files, and their exit codes. UPDATE_GOLDEN=1 writes the files anew.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { runCli } from '../src/index.ts';
import { readDocuments } from '../src/policy/documents.ts';

const here = join(import.meta.dirname, 'policy');
const golden = join(import.meta.dirname, 'golden');

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** `@base` is a directory of manifests beside this file; in the output it is `@base` again. */
async function run(line: string, stdin = ''): Promise<Ran> {
  const written = { out: [] as string[], err: [] as string[] };
  const argv = line.split(' ').map((a) => (a.startsWith('@') ? join(here, a.slice(1)) : a));
  const code = await runCli(argv, {
    out: { write: (t) => void written.out.push(t) },
    err: { write: (t) => void written.err.push(t) },
    signal: new AbortController().signal,
    stdin: () => stdin,
  });
  const clean = (t: string): string => t.replaceAll(`${here}/`, '@').replaceAll(here.slice(1), '@');
  return { code, out: clean(written.out.join('')), err: clean(written.err.join('')) };
}

function expectGolden(name: string, line: string, r: Ran): void {
  const text = `$ axoneme ${line}\n${r.out}${r.err === '' ? '' : `--- stderr\n${r.err}`}--- exit ${r.code}\n`;
  const file = join(golden, `${name}.txt`);
  if (process.env.UPDATE_GOLDEN === '1') {
    mkdirSync(golden, { recursive: true });
    writeFileSync(file, text);
  }
  expect(text).toBe(readFileSync(file, 'utf8'));
}

const cases: Readonly<Record<string, string>> = {
  'validate-broken': 'policy validate @broken',
  'validate-json': 'policy validate -o json @broken',
  'validate-sarif': 'policy validate -o sarif @broken',
  'validate-base': 'policy validate @base',
  'validate-strict': 'policy validate --strict @base',
  'verdict-allowed': 'policy verdict -f @base --from world --to shop/web --port http',
  'verdict-denied-json': 'policy verdict -f @base --from shop/backup --to shop/db --port 5432 -o json',
  'verdict-nothing-enforced': 'policy verdict -f @base --from 192.0.2.1 --to node/n1 --port 22',
  'verdict-icmp': 'policy verdict -f @base --from ops/probe --to shop/db --icmp EchoRequest',
  'verdict-host': 'policy verdict -f @base --from node/n1 --to ops/debug --port 80',
  'verdict-broken-input': 'policy verdict -f @broken --from shop/web --to world --port 80',
  'why-label-missing': 'policy why -f @base --from shop/backup --to shop/db --port 5432',
  'why-denied-address': 'policy why -f @base --from shop/web --to 169.254.169.254 --port 80',
  'why-allowed': 'policy why -f @base --from world --to shop/web --port 8080',
  'why-json': 'policy why -f @base --from ops/debug --to shop/web --port 8080 -o json',
  'plan-text': 'policy plan --base @base --head @head --flows @flows.jsonl',
  'plan-markdown': 'policy plan --base @base --head @head --flows @flows.jsonl -o markdown',
  'plan-json': 'policy plan --base @base --head @head --flows @flows.jsonl -o json',
  'plan-back': 'policy plan --base @head --head @base',
  'plan-nothing': 'policy plan --base @base --head @base',
  'plan-apply': 'policy plan --base @base --apply @apply.yaml',
  'verdict-enforcement-always': 'policy verdict -f @base --enforcement always --from ops/debug --to ops/probe --port 80',
  'plan-first': 'policy plan --base @empty.yaml --head @base',
  'why-unknown-end': 'policy why -f @base --from shop/nobody --to world --port 80',
};

describe('golden', () => {
  test.each(Object.entries(cases))('%s', async (name, line) => {
    expectGolden(name, line, await run(line));
  });
});

test('SARIF names a rule of the driver and a line for each result', async () => {
  const { runs, version } = JSON.parse((await run('policy validate -o sarif @broken')).out) as {
    version: string;
    runs: { tool: { driver: { rules: { id: string }[] } }; results: { ruleId: string; ruleIndex: number; locations: object[] }[] }[];
  };
  expect(version).toBe('2.1.0');
  const [only] = runs;
  for (const r of only!.results) {
    expect(only!.tool.driver.rules[r.ruleIndex]!.id).toBe(r.ruleId);
    expect(r.locations).toHaveLength(1);
  }
  expect(only!.results.map((r) => r.ruleId)).toEqual(expect.arrayContaining(['broken-document', 'invalid-policy', 'selects-nobody']));
});

test('standard input, lists and several documents; a document that is no object is left alone', async () => {
  const list = {
    apiVersion: 'v1',
    kind: 'List',
    items: [
      { apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name: 'p', namespace: 'a' }, spec: { endpointSelector: {} } },
    ],
  };
  const r = await run('policy validate -', `replicas: 3\n---\n${JSON.stringify(list)}\n---\n# only a remark\n`);
  expect(r.out).toContain('-:3: error: CiliumNetworkPolicy a/p spec: has no ingress');
  expect(r.code).toBe(2);
  const typed = {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicyList',
    items: [{ metadata: { name: 'n' }, spec: { podSelector: {} } }],
  };
  expect(await run('policy validate -', JSON.stringify(typed))).toMatchObject({ code: 0, out: '1 object checked: 0 errors, 0 warnings\n' });
});

test('wrong usage', async () => {
  expect((await run('policy validate /nowhere/at/all')).code).toBe(2);
  expect((await run('policy verdict -f @base --from shop/web --to shop/db')).err).toContain('needs one of --port and --icmp');
  expect((await run('policy verdict -f @base --from shop/web --to shop/db --port 99999')).err).toContain('is no port');
  expect((await run('policy verdict -f @base --from 10.0.0.1 --to 2001:db8::1 --port 80')).err).toContain('no address family in common');
});

describe('a running cluster', () => {
  let server: Server;
  let dir: string;
  const forbidden = new Set<string>();

  /** Serves the manifests of @base as collections; kinds of which there is none are not installed. */
  beforeAll(async () => {
    const { manifests } = readDocuments([join(here, 'base')], () => '');
    const pluralOf = (kind: string): string => kind.toLowerCase().replace(/y$/, 'ie').concat('s');
    server = createServer((req, res) => {
      const path = (req.url ?? '').split('?')[0]!;
      const plural = path.slice(path.lastIndexOf('/') + 1);
      const items = manifests.map((m) => m.object).filter((o) => pluralOf(o.kind as string) === plural);
      const config = {
        kind: 'ConfigMap',
        metadata: { name: 'axoneme-config' },
        data: { 'config.json': '{"policyEnforcementMode":"always"}' },
      };
      const isConfig = path.endsWith('/configmaps/axoneme-config');
      const code = forbidden.has(plural) ? 403 : isConfig || items.length > 0 || plural === 'ciliumclusterwidenetworkpolicies' ? 200 : 404;
      res.writeHead(code, { 'content-type': 'application/json' });
      res.end(JSON.stringify(isConfig ? config : code === 200 ? { items, metadata: { resourceVersion: '1' } } : { kind: 'Status', code }));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    dir = mkdtempSync(join(tmpdir(), 'axoneme-live-'));
    const cluster = { server: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
    const kubeconfig = {
      clusters: [{ name: 'c', cluster }],
      users: [{ name: 'u', user: {} }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    };
    writeFileSync(join(dir, 'config'), JSON.stringify(kubeconfig));
  });
  afterAll(async () => {
    rmSync(dir, { recursive: true });
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const live = (line: string): Promise<Ran> => run(`--kubeconfig ${join(dir, 'config')} ${line}`);

  test('verdict and why ask it, with the mode of its operator', async () => {
    const verdict = await live('policy verdict --from shop/backup --to shop/db --port 5432');
    expect([verdict.code, verdict.err]).toEqual([3, '']);
    // Only the mode isolates egress of backup.
    expect(verdict.out).toContain('egress  DENIED   at CronJob shop/backup');
    const why = await live('policy why --from shop/backup --to shop/db --port 5432');
    expect(why.out).toContain('smallest change that lets it pass (2 edits; fewer do not)');
  });

  test('a plan puts files over it', async () => {
    const r = await live(`policy plan --apply ${join(here, 'apply.yaml')}`);
    expect(r.code).toBe(0);
    expect(r.out).toContain('Nodes touched\n  n1');
    // What the file says of its status is not applied: nothing is gone because of it.
    expect((await live(`policy plan --apply ${join(here, 'base')}`)).out).toContain('Reachability does not change.');
    expect((await live('policy plan')).err).toContain('needs one of --head and --apply');
  });

  test('what may not be listed is said, what is needed fails', async () => {
    forbidden.add('networkpolicies');
    const r = await live('policy verdict --from world --to shop/db --port 5432');
    expect(r.err).toBe('not allowed to list networkpolicies: the answer does not know of them\n');
    forbidden.add('pods');
    expect((await live('policy verdict --from world --to shop/db --port 5432')).code).toBe(4);
    forbidden.clear();
  });

  test('no cluster is not a denial', async () => {
    expect((await run('--kubeconfig /nowhere policy verdict --from world --to a/b --port 80')).code).toBe(1);
    const config = readFileSync(join(dir, 'config'), 'utf8').replace(/127\.0\.0\.1:\d+/, '127.0.0.1:1');
    writeFileSync(join(dir, 'closed'), config);
    expect((await run(`--kubeconfig ${join(dir, 'closed')} policy verdict --from world --to a/b --port 80`)).code).toBe(1);
  });
});
