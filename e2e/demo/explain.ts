// Asks `axoneme monitor` for the drop of the X-wing and checks that it names the policy. Used by the demo.
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Sandbox } from '@axoneme/sandbox';

const run = promisify(execFile);

interface MonitorLine {
  readonly source?: string;
  readonly destination?: string;
  readonly rule?: string;
  readonly dropReason?: string;
}

export interface Explained {
  readonly ok: boolean;
  readonly text: string;
}

export async function findDrop(sandbox: Sandbox, root: string): Promise<Explained> {
  const argv = [
    path.join(root, 'packages/apps/cli/src/main.ts'),
    '--kubeconfig',
    sandbox.kubeconfigPath,
    'monitor',
    '--type',
    'drop',
    '--last',
    '200',
    '--no-follow',
    '-o',
    'json',
  ];
  try {
    const { stdout } = await run(process.execPath, argv, { timeout: 30_000, maxBuffer: 16 << 20 });
    const lines = stdout
      .split('\n')
      .filter(Boolean)
      .map((l) => JSON.parse(l) as MonitorLine);
    const hit = lines.find((l) => (l.rule ?? '').includes('default/rule1') && (l.source ?? '').includes('xwing'));
    if (hit === undefined) return { ok: false, text: `${lines.length} drops seen, none by default/rule1 from xwing` };
    return { ok: true, text: `${hit.source} -> ${hit.destination}: ${hit.dropReason}, decided by ${hit.rule}` };
  } catch (e) {
    return { ok: false, text: (e as Error).message };
  }
}
