// The sandbox's API server in a process of its own, for duties that write: real CRDs, real preconditions.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import { join, resolve } from 'node:path';
import { connectKube, type KubeClient } from 'kopf-ts';

const root = resolve(import.meta.dirname, '../../../..');
const program = `
  import { createApiServer } from '${root}/packages/apps/sandbox/src/apiserver/index.ts';
  import fs from 'node:fs';
  const s = createApiServer({}, {});
  await s.start(new AbortController().signal);
  fs.writeFileSync(process.argv[1], s.kubeconfig());
  process.stdout.write('ready');
  process.stdin.on('end', () => process.exit(0)).resume();
`;

export interface TestApiServer {
  readonly client: KubeClient;
  close(): void;
}

/** `crds`: files of the directory crds. */
export async function startApiServer(crds: readonly string[] = []): Promise<TestApiServer> {
  const dir = fs.mkdtempSync(join(os.tmpdir(), 'axoneme-api-'));
  const kubeconfig = join(dir, 'kubeconfig');
  const server: ChildProcess = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program, kubeconfig],
    { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, NODE_OPTIONS: '' } },
  );
  await new Promise<void>((done, failed) => {
    server.stdout?.once('data', () => done());
    server.on('exit', () => failed(new TypeError('the API server ended')));
  });
  for (const file of crds) {
    await new Promise<void>((done, failed) => {
      const args = ['--kubeconfig', kubeconfig, '--cache-dir', dir, 'apply', '-f', join(root, 'crds', file)];
      execFile(join(root, '.tools/bin/kubectl'), args, (e) => (e === null ? done() : failed(e)));
    });
  }
  const client = connectKube({ kind: 'file', path: kubeconfig });
  return {
    client,
    close() {
      client.close();
      server.removeAllListeners('exit');
      server.stdin?.end();
      fs.rmSync(dir, { recursive: true, force: true });
    },
  };
}
