// `npm run demo`: the Star Wars story on two sandbox nodes. Exits 0 only when every probe did what the policy says.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Sandbox, upSandbox } from '@axoneme/sandbox';
import { describeError } from '@axoneme/std';
import { findDrop } from './explain.ts';
import { findShips, findTargets, type Outcome, probeAll } from './probes.ts';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.resolve(here, '../..');
const manifest = (name: string): string => path.join(here, 'manifests', name);
const say = (text: string): void => void process.stdout.write(`${text}\n`);

const startedMs = Date.now();
const step = (text: string): void => say(`\n[${((Date.now() - startedMs) / 1000).toFixed(0).padStart(3)} s] ${text}`);

function printTable(rows: readonly Outcome[]): void {
  const cells = rows.map((o) => [
    o.stage,
    o.ship,
    o.target,
    `IPv${o.family}`,
    o.path,
    o.expected,
    o.actual,
    o.expected === o.actual ? 'ok' : 'WRONG',
  ]);
  const all = [['STAGE', 'PROBE', 'TO', 'FAMILY', 'PATH', 'EXPECTED', 'ACTUAL', ''], ...cells];
  const widths = all[0]!.map((_h, i) => Math.max(...all.map((r) => r[i]!.length)));
  for (const r of all)
    say(
      r
        .map((c, i) => c.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    );
}

async function story(sandbox: Sandbox): Promise<{ outcomes: Outcome[]; drop: Awaited<ReturnType<typeof findDrop>> }> {
  step('kubectl apply -f starwars.yaml');
  say(await sandbox.kubectl(['apply', '-f', manifest('starwars.yaml')]));
  for (const d of ['deathstar', 'tiefighter', 'xwing']) await sandbox.kubectl(['rollout', 'status', `deployment/${d}`, '--timeout=90s']);
  say(await sandbox.kubectl(['get', 'pods,services', '-o', 'wide']));
  const ships = await findShips(sandbox);
  const targets = await findTargets(sandbox);

  step('without a policy everybody lands');
  const before = await probeAll(sandbox, 'no policy', ships, targets, () => true);

  step('kubectl apply -f policy.yaml');
  say(await sandbox.kubectl(['apply', '-f', manifest('policy.yaml')]));
  await sandbox.kubectl(['wait', 'cnp/rule1', '--for=condition=Enforced', '--timeout=30s']);
  say(await sandbox.kubectl(['get', 'cnp']));
  const during = await probeAll(sandbox, 'policy rule1', ships, targets, (s) => s.side === 'tiefighter');

  step('why was the X-wing dropped?');
  const drop = await findDrop(sandbox, root);
  say(drop.ok ? drop.text : `no drop of rule1 was found: ${drop.text}`);

  step('kubectl delete -f policy.yaml');
  say(await sandbox.kubectl(['delete', '-f', manifest('policy.yaml')]));
  const after = await probeAll(sandbox, 'policy deleted', ships, targets, () => true);
  return { outcomes: [...before, ...during, ...after], drop };
}

async function main(): Promise<number> {
  step('starting the sandbox: API server, two nodes, Axoneme by Helm');
  const sandbox = await upSandbox({ id: `demo${process.pid}`, nodes: 2 });
  const stop = (): void => void sandbox.down().finally(() => process.exit(130));
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  try {
    say(await sandbox.kubectl(['get', 'nodes', '-o', 'wide']));
    const { outcomes, drop } = await story(sandbox);
    step('result');
    printTable(outcomes);
    const wrong = outcomes.filter((o) => o.expected !== o.actual);
    for (const o of wrong) say(`WRONG ${o.stage}: ${o.ship} -> ${o.target} over IPv${o.family}: ${o.detail}`);
    const passed = wrong.length === 0 && outcomes.length > 0 && drop.ok;
    const result = { passed, seconds: Math.round((Date.now() - startedMs) / 1000), probes: outcomes, drop };
    fs.writeFileSync(path.join(root, 'demo-result.json'), `${JSON.stringify(result, null, 2)}\n`);
    say(
      `\n${outcomes.length - wrong.length} of ${outcomes.length} probes as expected; drop explained: ${drop.ok ? 'yes' : 'no'}; written to demo-result.json`,
    );
    return passed ? 0 : 1;
  } finally {
    step('cleaning up');
    await sandbox.down();
  }
}

main().then(
  (code) => process.exit(code),
  (e: unknown) => {
    process.stderr.write(`demo failed: ${describeError(e)}\n${e instanceof Error ? (e.stack ?? '') : ''}\n`);
    process.exit(1);
  },
);
