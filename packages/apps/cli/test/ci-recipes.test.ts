// The pipelines of docs/ci, run as they stand: their shell against a git repository and a service that keeps comments.
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';

const here = import.meta.dirname;
const docs = join(here, '../../../../docs/ci');
const main = join(here, '../src/main.ts');

interface Comment {
  readonly id: number;
  body: string;
}

let dir: string;
let server: Server;
let api: string;
let base: string;
let comments: Comment[] = [];
const requests: string[] = [];

/** Enough of both services: list, add, replace. GitHub sends JSON, GitLab forms. */
function serve(): Server {
  return createServer(async (req, res) => {
    const chunks: Buffer[] = [];
    for await (const c of req) chunks.push(c as Buffer);
    const text = Buffer.concat(chunks).toString();
    const body = (): string =>
      text.startsWith('{') ? (JSON.parse(text) as { body: string }).body : (new URLSearchParams(text).get('body') ?? '');
    const [path = ''] = (req.url ?? '').split('?');
    requests.push(`${req.method} ${path} ${req.headers.authorization ?? req.headers['private-token'] ?? ''}`);
    const found = comments.find((c) => path.endsWith(`/${c.id}`));
    if (req.method === 'POST') comments.push({ id: 100 + comments.length, body: body() });
    if ((req.method === 'PATCH' || req.method === 'PUT') && found !== undefined) found.body = body();
    res.end(JSON.stringify(req.method === 'GET' ? comments : {}));
  });
}

const git = (...args: string[]): string =>
  execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', '-c', 'init.defaultBranch=main', ...args], {
    cwd: join(dir, 'repo'),
    encoding: 'utf8',
  });

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'axoneme-ci-'));
  mkdirSync(join(dir, 'repo'));
  mkdirSync(join(dir, 'bin'));
  writeFileSync(join(dir, 'bin/axoneme'), `#!/bin/sh\nexec ${process.execPath} ${main} "$@"\n`);
  writeFileSync(join(dir, 'bin/node'), `#!/bin/sh\nexec ${process.execPath} "$@"\n`);
  for (const f of ['axoneme', 'node']) chmodSync(join(dir, 'bin', f), 0o755);
  server = serve();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  api = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  cpSync(join(here, 'policy/base'), join(dir, 'repo/deploy'), { recursive: true });
  git('init', '--quiet');
  git('add', '.');
  git('commit', '--quiet', '-m', 'base');
  base = git('rev-parse', 'HEAD').trim();
  git('checkout', '--quiet', '-b', 'change');
  cpSync(join(here, 'policy/head'), join(dir, 'repo/deploy'), { recursive: true });
  git('commit', '--quiet', '-am', 'head');
});
afterAll(async () => {
  rmSync(dir, { recursive: true });
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
beforeEach(() => {
  comments = [{ id: 7, body: 'looks good' }];
  requests.length = 0;
  rmSync(join(dir, 'runner'), { recursive: true, force: true });
  mkdirSync(join(dir, 'runner'));
});

/** As runners do: stop at the first command that fails. The exit code. */
function shell(script: string, env: Readonly<Record<string, string>>): Promise<number> {
  const child = spawn('bash', ['-e', '-o', 'pipefail', '-c', script], {
    cwd: join(dir, 'repo'),
    env: { ...env, PATH: `${join(dir, 'bin')}:${process.env.PATH ?? ''}`, HOME: dir },
    stdio: 'ignore',
  });
  return new Promise((resolve) => child.on('close', (code) => resolve(code ?? -1)));
}

const plan = (): string => comments.find((c) => c.body.startsWith('<!-- axoneme-policy-plan -->'))?.body ?? '';

describe('GitHub Actions', () => {
  interface Step {
    readonly name?: string;
    readonly run?: string;
    readonly env?: Readonly<Record<string, string>>;
  }
  const recipe = (): { env: Record<string, string>; jobs: { policy: { steps: Step[] } } } =>
    parse(readFileSync(join(docs, 'github-actions.yml'), 'utf8'));

  async function runJob(): Promise<Record<string, number>> {
    const { env, jobs } = recipe();
    const values: Record<string, string> = {
      'github.event.pull_request.base.sha': base,
      'github.event.pull_request.number': '12',
      'github.token': 'secret',
    };
    const fill = (t: string): string => t.replace(/\$\{\{ (.*?) \}\}/g, (_, name: string) => values[name] ?? 'UNKNOWN');
    const codes: Record<string, number> = {};
    for (const step of jobs.policy.steps) {
      if (step.run === undefined || step.name === 'install') continue;
      const own = Object.fromEntries(Object.entries(step.env ?? {}).map(([k, v]) => [k, fill(v)]));
      codes[step.name ?? ''] = await shell(step.run, {
        ...env,
        RUNNER_TEMP: join(dir, 'runner'),
        GITHUB_STEP_SUMMARY: join(dir, 'runner/summary'),
        GITHUB_API_URL: api,
        GITHUB_REPOSITORY: 'o/r',
        ...own,
      });
      git('worktree', 'prune');
    }
    return codes;
  }

  test('validates, plans, comments, and replaces its own comment', async () => {
    // The change breaks an invariant that refuses it.
    expect(await runJob()).toEqual({ validate: 0, plan: 3, comment: 0 });
    expect(plan()).toContain('- DaemonSet ops/probe -> Deployment shop/web: everything');
    expect(readFileSync(join(dir, 'runner/summary'), 'utf8')).toContain('## Network policy plan');
    expect(JSON.parse(readFileSync(join(dir, 'repo/policy.sarif'), 'utf8'))).toMatchObject({ version: '2.1.0' });
    rmSync(join(dir, 'runner'), { recursive: true });
    mkdirSync(join(dir, 'runner'));
    git('worktree', 'prune');
    await runJob();
    expect(comments).toHaveLength(2);
    expect(requests.filter((r) => !r.startsWith('GET'))).toEqual([
      'POST /repos/o/r/issues/12/comments Bearer secret',
      'PATCH /repos/o/r/issues/comments/101 Bearer secret',
    ]);
  }, 60_000);
});

describe('GitLab', () => {
  test('validates, plans, comments, and replaces its own comment', async () => {
    const recipe = parse(readFileSync(join(docs, 'gitlab-ci.yml'), 'utf8')) as {
      'network-policy': { variables: Record<string, string | number>; script: string[] };
    };
    const { variables, script } = recipe['network-policy'];
    const env = {
      ...Object.fromEntries(Object.entries(variables).map(([k, v]) => [k, String(v)])),
      CI_API_V4_URL: api,
      CI_PROJECT_ID: '5',
      CI_MERGE_REQUEST_IID: '9',
      CI_MERGE_REQUEST_DIFF_BASE_SHA: base,
      AXONEME_COMMENT_TOKEN: 'secret',
    };
    expect(await shell(script.join('\n'), env)).toBe(3);
    expect(plan()).toContain('+ CronJob shop/backup -> StatefulSet shop/db: TCP 5432');
    expect(await shell(script.join('\n'), env)).toBe(3);
    expect(comments).toHaveLength(2);
    expect(requests.filter((r) => !r.startsWith('GET'))).toEqual([
      'POST /projects/5/merge_requests/9/notes secret',
      'PUT /projects/5/merge_requests/9/notes/101 secret',
    ]);
  }, 60_000);
});
