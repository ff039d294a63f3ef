// The command line: names, options, help. Called by main.ts and by tests.

import { AppError } from '@axoneme/std';
import type { AdminClient } from '@axoneme/stream';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { listTable } from './commands/bpf.ts';
import { addLbCommands } from './commands/lb.ts';
import { renderEndpoints, renderIdentities } from './commands/lists.ts';
import { monitor } from './commands/monitor.ts';
import { addPolicyCommands, type Outcome } from './commands/policy.ts';
import { addPolicyState } from './commands/policy-wait.ts';
import { addServiceCommands } from './commands/service.ts';
import { renderStatus } from './commands/status.ts';
import { type ConnectOptions, withOperator } from './connect.ts';
import { exitCodeOf, exitCodes, failureText } from './failure.ts';
import { json, type Output } from './output.ts';

export interface CliIo {
  readonly out: Output;
  readonly err: Output;
  /** Aborts on Ctrl-C. */
  readonly signal: AbortSignal;
  /** Whole standard input; the process's own if absent. */
  readonly stdin?: (() => string) | undefined;
}

type GlobalOptions = ConnectOptions & { readonly output: 'text' | 'json' };

function count(value: string): number {
  const n = Number(value);
  if (!/^\d{1,9}$/.test(value)) throw new InvalidArgumentError('must be a number of entries, 0 or more.');
  return n;
}

const tables: readonly (readonly [name: string, what: string])[] = [
  ['policy', 'policy rows and the identities they belong to'],
  ['ipcache', 'addresses and their identities'],
  ['ct', 'connections the node tracks'],
  ['lb', 'service frontends and backends'],
  ['nat', 'connections through services, as packets are rewritten'],
];

/** `use` gets a client and the options of the whole line. */
type Run = <T extends object>(use: (client: AdminClient, o: GlobalOptions & T) => Promise<void>) => (...args: unknown[]) => Promise<void>;

function addLists(program: Command, io: CliIo, run: Run): void {
  program
    .command('status')
    .description('the operator, its components, and what each node enforces')
    .action(
      run(async (client, o) => {
        const s = await client.getStatus();
        io.out.write(o.output === 'json' ? json(s) : renderStatus(s));
      }),
    );
  program
    .command('identity')
    .description('security identities')
    .command('list')
    .description('numbers, labels and how many endpoints carry them')
    .action(
      run(async (client, o) => {
        const r = await client.listIdentities();
        io.out.write(o.output === 'json' ? json(r.identities) : renderIdentities(r));
      }),
    );
  program
    .command('endpoint')
    .description('pods and their addresses')
    .command('list')
    .description('all endpoints of the cluster')
    .action(
      run(async (client, o) => {
        const r = await client.listEndpoints();
        io.out.write(o.output === 'json' ? json(r.endpoints) : renderEndpoints(r));
      }),
    );
}

function addBpf(program: Command, io: CliIo, run: Run): void {
  const bpf = program.command('bpf').description('kernel tables of a node, read at this moment');
  for (const [name, what] of tables) {
    bpf
      .command(name)
      .description(what)
      .command('list')
      .description(`lists ${what}`)
      .requiredOption('--node <name>', 'node to ask')
      .option('--limit <n>', 'entries at most; 0 = all', count, 0)
      .action(
        run<{ node: string; limit: number }>((client, o) =>
          listTable(client, { node: o.node, table: name, limit: o.limit, json: o.output === 'json' }, io.out),
        ),
      );
  }
}

function addMonitor(program: Command, io: CliIo, run: Run): void {
  program
    .command('monitor')
    .description('verdicts as they happen, with the rule that decided')
    .addOption(new Option('--type <type>', 'which verdicts').choices(['all', 'drop']).default('all'))
    .option('--node <name>', 'only this node', '')
    .option('--last <n>', 'show the last n first', count, 0)
    .option('--no-follow', 'end after the last n')
    .action(
      run<{ type: string; node: string; last: number; follow: boolean }>((client, o) =>
        monitor(
          client,
          { dropsOnly: o.type === 'drop', node: o.node, last: o.last, follow: o.follow, json: o.output === 'json' },
          io.out,
          io.signal,
        ),
      ),
    );
}

/** Options of the whole line; what stands closer to the command wins over defaults of its parents. */
function optionsOf(command: Command): object {
  const own = Object.fromEntries(Object.entries(command.opts()).filter(([, v]) => v !== undefined));
  return { ...(command.parent === null ? {} : optionsOf(command.parent)), ...own };
}

/** The option may stand before the command, which alone knows its formats. */
function checkOutput(command: Command): void {
  const { output } = optionsOf(command) as { output: string };
  const choices = command.options.find((o) => o.long === '--output')?.argChoices ?? [];
  if (choices.includes(output)) return;
  const hint = `${command.name()} prints ${choices.join(', ')}`;
  throw new AppError({ code: 'cli/usage', message: `there is no output format "${output}" here`, hint });
}

export function createProgram(io: CliIo, outcome: Outcome): Command {
  const program = new Command('axoneme')
    .description('Looks into an Axoneme installation through its operator.')
    .option('-n, --namespace <name>', "the operator's namespace", 'axoneme-system')
    .option('--kubeconfig <file>', 'default: $KUBECONFIG, then ~/.kube/config')
    .option('--context <name>', 'context of the kubeconfig')
    .option('--server <host:port>', 'admin service to talk to directly, without the API server')
    .option('--tls-dir <dir>', 'tls.crt, tls.key and ca.crt for --server')
    .addOption(new Option('-o, --output <format>', 'how to print').choices(['text', 'json', 'sarif', 'markdown']).default('text'))
    .hook('preAction', (_program, command) => checkOutput(command))
    .configureOutput({ writeOut: (s) => io.out.write(s), writeErr: (s) => io.err.write(s) })
    .exitOverride()
    .showHelpAfterError('(see --help)');
  const run: Run =
    (use) =>
    async (...args) => {
      const command = args.at(-1) as Command;
      const o = optionsOf(command) as Parameters<typeof use>[1];
      await withOperator(o, (client) => use(client, o));
    };
  addLists(program, io, run);
  addBpf(program, io, run);
  addMonitor(program, io, run);
  const service = program.command('service').description('Services: where they are reached, who serves, what a node makes of a client');
  addServiceCommands(service, io.out, optionsOf);
  const policy = program.command('policy').description('network policies: check them, ask them, plan a change');
  addPolicyCommands(policy, io, outcome, optionsOf);
  addPolicyState(policy, io, outcome, optionsOf);
  addLbCommands(program.command('lb').description('stand-alone load balancer of this machine, from a file'), io, outcome, optionsOf);
  // `-o json` may stand anywhere on the line.
  const inherit = (c: Command): void => {
    for (const sub of c.commands) {
      sub.copyInheritedSettings(c);
      if (sub.commands.length === 0) {
        if (!sub.options.some((o) => o.long === '--output'))
          sub.addOption(new Option('-o, --output <format>', 'how to print').choices(['text', 'json']));
        if (!sub.options.some((o) => o.long === '--namespace'))
          sub.addOption(new Option('-n, --namespace <name>', "the operator's namespace"));
      }
      inherit(sub);
    }
  };
  inherit(program);
  return program;
}

/** Runs one command line; the result is the exit code. */
export async function runCli(argv: readonly string[], io: CliIo): Promise<number> {
  const outcome: Outcome = { code: exitCodes.done };
  try {
    await createProgram(io, outcome).parseAsync([...argv], { from: 'user' });
    return outcome.code;
  } catch (e) {
    if (e instanceof CommanderError) return e.exitCode === 0 ? exitCodes.done : exitCodes.usage;
    if (io.signal.aborted) return exitCodes.done;
    io.err.write(failureText(e));
    return e instanceof AppError || e instanceof Error ? exitCodeOf(e) : exitCodes.failed;
  }
}
