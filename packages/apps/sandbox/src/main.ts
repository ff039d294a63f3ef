// `sandbox up|status|down|kubeconfig|exec` for people, `sandbox run` for the background process that `up` starts.
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { AppError, describeError, systemClock } from '@axoneme/std';
import { createLog } from '@axoneme/telemetry';
import { takeDown } from './instance/down.ts';
import { runSandbox } from './instance/run.ts';
import { isAlive, knownSandboxes, kubeconfigPath, readState, stateDirOf, writeState } from './instance/state.ts';
import { findSandbox, upSandbox } from './instance/up.ts';

const USAGE = `usage: sandbox <command> [--id ID] [--state-dir DIR]

  up [--nodes N] [--kubeconfig FILE] [--no-install] [-- HELM ARGS]
                 start API server and nodes, then install charts/axoneme
  status         what is running
  down           remove every process, namespace, link, mount and cgroup
  kubeconfig     print the path of the kubeconfig
  exec NODE -- COMMAND...
                 run a command in a node
`;

const say = (text: string): void => void process.stdout.write(`${text}\n`);

interface Args {
  readonly command: string;
  readonly rest: readonly string[];
  readonly id: string;
  readonly stateDir: string | undefined;
  readonly nodes: number;
  readonly kubeconfig: string | undefined;
  readonly install: boolean;
}

function parse(argv: readonly string[]): Args {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      id: { type: 'string', default: 'default' },
      'state-dir': { type: 'string' },
      nodes: { type: 'string', default: '3' },
      kubeconfig: { type: 'string' },
      'no-install': { type: 'boolean', default: false },
    },
  });
  const nodes = Number(values.nodes);
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > 200)
    throw new AppError({ code: 'sandbox/nodes', message: '--nodes must be 1 to 200' });
  const [command = 'help', ...rest] = positionals;
  return {
    command,
    rest,
    id: values.id,
    stateDir: values['state-dir'],
    nodes,
    kubeconfig: values.kubeconfig,
    install: !values['no-install'],
  };
}

async function up(a: Args): Promise<number> {
  const startedMs = Date.now();
  const sandbox = await upSandbox({
    id: a.id,
    nodes: a.nodes,
    keepOnFailure: true,
    onProgress: (text) => say(`[${((Date.now() - startedMs) / 1000).toFixed(1)} s] ${text}`),
    ...(a.stateDir === undefined ? {} : { stateDir: a.stateDir }),
    ...(a.kubeconfig === undefined ? {} : { kubeconfig: a.kubeconfig }),
    ...(a.install ? {} : { install: false }),
    helmArgs: a.rest,
  });
  say(`sandbox ${sandbox.id} is up: ${sandbox.nodes.length} nodes`);
  say(`export KUBECONFIG=${sandbox.kubeconfigPath}`);
  return 0;
}

function statusOf(id: string, stateDir: string): void {
  const s = readState(stateDir);
  if (s === undefined) {
    say(`${id}: down`);
    return;
  }
  say(`${id}: ${isAlive(s.daemon) ? s.phase : 'dead, run down to clean up'}  api ${s.apiUrl ?? '-'}  ${kubeconfigPath(stateDir)}`);
  for (const n of s.nodes) say(`  ${n.name}  ${n.ipv4}  ${n.ipv6}`);
}

function status(a: Args, explicit: boolean): number {
  const ids = explicit ? [a.id] : knownSandboxes();
  if (ids.length === 0) say('no sandbox');
  for (const id of ids) statusOf(id, stateDirOf(id, a.stateDir));
  return 0;
}

async function down(a: Args): Promise<number> {
  const gone = await takeDown(stateDirOf(a.id, a.stateDir));
  say(gone ? `sandbox ${a.id} is down` : `sandbox ${a.id} was not up`);
  return 0;
}

function kubeconfig(a: Args): number {
  const path = kubeconfigPath(stateDirOf(a.id, a.stateDir));
  if (!existsSync(path)) throw new AppError({ code: 'sandbox/not-up', message: `sandbox ${a.id} is not up` });
  say(path);
  return 0;
}

async function exec(a: Args): Promise<number> {
  const [node = '', ...argv] = a.rest;
  const r = await findSandbox(a.id, a.stateDir)?.nodeExec(node, argv);
  if (r === undefined) throw new AppError({ code: 'sandbox/not-up', message: `sandbox ${a.id} is not up` });
  process.stdout.write(r.stdout);
  process.stderr.write(r.stderr);
  return r.code;
}

/** The background process: lives until SIGTERM. */
async function run(a: Args): Promise<number> {
  const stateDir = stateDirOf(a.id, a.stateDir);
  const log = createLog({ app: 'sandbox' });
  const ended = Promise.withResolvers<number>();
  try {
    const sandbox = await runSandbox(
      { id: a.id, stateDir, nodes: a.nodes, ...(a.kubeconfig === undefined ? {} : { kubeconfig: a.kubeconfig }) },
      { log, clock: systemClock },
    );
    const stop = (): void => void sandbox.stop().finally(() => ended.resolve(0));
    process.once('SIGTERM', stop);
    process.once('SIGINT', stop);
  } catch (e) {
    const state = readState(stateDir);
    if (state !== undefined) writeState(stateDir, { ...state, phase: 'failed', error: describeError(e) });
    log.error('sandbox failed to start', { error: e });
    return 1;
  }
  return ended.promise;
}

async function main(argv: readonly string[]): Promise<number> {
  const a = parse(argv);
  switch (a.command) {
    case 'up':
      return up(a);
    case 'status':
      return status(a, argv.includes('--id') || argv.includes('--state-dir'));
    case 'down':
      return down(a);
    case 'kubeconfig':
      return kubeconfig(a);
    case 'exec':
      return exec(a);
    case 'run':
      return run(a);
    default:
      process.stderr.write(USAGE);
      return a.command === 'help' ? 0 : 2;
  }
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (e: unknown) => {
    process.stderr.write(`sandbox: ${describeError(e)}\n`);
    process.exit(1);
  },
);
