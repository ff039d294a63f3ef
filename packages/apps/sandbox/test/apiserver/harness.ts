// Starts the real server and the real kubectl and helm against it. Used by the suites of this folder.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError } from '@axoneme/std';
import { type ApiServer, type ApiServerConfig, createApiServer } from '../../src/apiserver/index.ts';

const binDir = join(import.meta.dirname, '../../../../../.tools/bin');

export interface Output {
  readonly code: number;
  readonly text: string;
}

export interface Cluster {
  readonly server: ApiServer;
  readonly dir: string;
  run(tool: 'kubectl' | 'helm', args: readonly string[], stdin?: string, env?: Readonly<Record<string, string>>): Promise<Output>;
  kubectl(line: string, stdin?: string): Promise<Output>;
  /** Raw request as the admin. */
  request(
    method: string,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ): Promise<{ status: number; text: string; json: Record<string, unknown> }>;
  stop(): Promise<void>;
}

export async function startCluster(config: ApiServerConfig = {}): Promise<Cluster> {
  const dir = mkdtempSync(join(tmpdir(), 'axoneme-api-'));
  const server = createApiServer({}, config);
  const abort = new AbortController();
  await server.start(abort.signal);
  const kubeconfig = join(dir, 'kubeconfig');
  writeFileSync(kubeconfig, server.kubeconfig());
  const env = { ...process.env, KUBECONFIG: kubeconfig, HOME: dir, HELM_CACHE_HOME: dir, HELM_CONFIG_HOME: dir, HELM_DATA_HOME: dir };
  const run: Cluster['run'] = (tool, args, stdin, more = {}) =>
    collect(spawn(join(binDir, tool), args, { env: { ...env, ...more }, cwd: dir, stdio: 'pipe' }), stdin);
  return {
    server,
    dir,
    run,
    kubectl: (line, stdin) => run('kubectl', splitWords(line), stdin),
    request: (method, path, body, headers) => request(server, method, path, body, headers),
    async stop() {
      abort.abort();
      await server.stopped();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

const commandMs = 25_000;

function collect(child: ChildProcess, stdin: string | undefined): Promise<Output> {
  return new Promise((resolve, reject) => {
    let text = '';
    // a command that hangs must not hang the suite
    const killer = setTimeout(() => child.kill('SIGKILL'), commandMs);
    child.stdout?.on('data', (b: Buffer) => (text += b.toString('utf8')));
    child.stderr?.on('data', (b: Buffer) => (text += b.toString('utf8')));
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(killer);
      resolve({ code: code ?? -1, text });
    });
    child.stdin?.end(stdin ?? '');
  });
}

/** Shell-like words with single quotes. */
export function splitWords(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map((m) => m[1] ?? m[2] ?? '');
}

async function request(
  server: ApiServer,
  method: string,
  path: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): ReturnType<Cluster['request']> {
  const { request: https } = await import('node:https');
  const payload = body === undefined ? undefined : typeof body === 'string' ? Buffer.from(body) : Buffer.from(JSON.stringify(body));
  return new Promise((resolve, reject) => {
    const req = https(
      `${server.url}${path}`,
      {
        method,
        ca: server.caPem,
        agent: false,
        headers: {
          authorization: `Bearer ${server.adminToken}`,
          ...(payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(payload.length) }),
          ...headers,
        },
      },
      (res) => {
        const chunks: Buffer[] = [];
        res.on('data', (b: Buffer) => chunks.push(b));
        res.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          let json: Record<string, unknown> = {};
          try {
            json = JSON.parse(text) as Record<string, unknown>;
          } catch {
            // not every answer is JSON
          }
          resolve({ status: res.statusCode ?? 0, text, json });
        });
      },
    );
    req.on('error', reject);
    req.end(payload);
  });
}

/** Resolves when `check` returns something; polls at once after each turn of the loop. */
export async function until<T>(check: () => T | undefined | false, what: string, timeoutMs = 15_000): Promise<T> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const v = check();
    if (v !== undefined && v !== false) return v;
    if (Date.now() > end) throw new AppError({ code: 'test/timeout', message: `never happened: ${what}` });
    await new Promise<void>((r) => setTimeout(r, 10));
  }
}
