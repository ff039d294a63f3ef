// The `policy` commands that work on manifests: names, options, help. Called by program.ts.
import { readFileSync } from 'node:fs';
import { AppError } from '@axoneme/std';
import { type Command, Option } from 'commander';
import type { ConnectOptions } from '../connect.ts';
import type { Output } from '../output.ts';
import { type Documents, readDocuments } from '../policy/documents.ts';
import { overlay, readCluster } from '../policy/live.ts';
import { loadInput, loadModel } from '../policy/load.ts';
import type { Model } from '../policy/model.ts';
import type { WorldConfig } from '../policy/world.ts';
import { type PlanQuery, policyPlan } from './policy-plan.ts';
import { type ValidateQuery, validatePolicies } from './policy-validate.ts';
import { policyVerdict, type VerdictQuery } from './policy-verdict.ts';
import { policyWhy } from './policy-why.ts';

export interface PolicyCommandsIo {
  readonly out: Output;
  readonly err: Output;
  /** Whole standard input; the process's own if absent. */
  readonly stdin?: (() => string) | undefined;
}

export interface Outcome {
  /** Exit code of a command that did what it was asked and has something to say. */
  code: number;
}

export interface WorldOptions {
  readonly clusterName: string;
  readonly defaultNamespace: string;
  readonly enforcement: WorldConfig['enforcement'];
}

export const withWorldOptions = (c: Command): Command =>
  c
    .option('--cluster-name <name>', 'name of the cluster the manifests are for', 'default')
    .option('--default-namespace <name>', 'namespace of objects that name none', 'default')
    .addOption(
      new Option('--enforcement <mode>', "the operator's policyEnforcementMode").choices(['default', 'always', 'never']).default('default'),
    );

export const worldConfig = ({ clusterName, defaultNamespace, enforcement }: WorldOptions): WorldConfig => ({
  clusterName,
  defaultNamespace,
  enforcement,
});
export const stdinOf = (io: PolicyCommandsIo): (() => string) => io.stdin ?? (() => readFileSync(0, 'utf8'));

/** Options of the whole line; what stands closer to the command wins over defaults of its parents. */
export type OptionsOf = (command: Command) => object;

export function addPolicyCommands(policy: Command, io: PolicyCommandsIo, outcome: Outcome, optionsOf: OptionsOf): void {
  addValidate(policy, io, outcome, optionsOf);
  addVerdict(policy, io, outcome, optionsOf);
  addWhy(policy, io, outcome, optionsOf);
  addPlan(policy, io, outcome, optionsOf);
}

function addValidate(policy: Command, io: PolicyCommandsIo, outcome: Outcome, optionsOf: OptionsOf): void {
  withWorldOptions(policy.command('validate'))
    .description(
      'checks policies offline, with the parser the operator uses; exit code 0 clean or warnings, 1 warnings with --strict, 2 errors',
    )
    .argument('<path...>', 'files and directories of manifests; - is standard input')
    .addOption(new Option('-o, --output <format>', 'how to print').choices(['text', 'json', 'sarif']))
    .option('--strict', 'warnings fail too', false)
    .action((paths: readonly string[], _own: object, command: Command) => {
      const o = optionsOf(command) as WorldOptions & { output: ValidateQuery['format']; strict: boolean };
      const documents = readDocuments(paths, stdinOf(io));
      outcome.code = validatePolicies(documents, worldConfig(o), { format: o.output, strict: o.strict }, io.out);
    });
}

/** Options that name one connection. */
const withQuestion = (c: Command): Command =>
  withWorldOptions(c)
    .requiredOption('--from <end>', 'namespace/name of a pod or workload, world, host, node, node/name, kube-apiserver or an address')
    .requiredOption('--to <end>', 'the same')
    .option('--port <port>', 'destination port: 80, 53/UDP, or a port name of the destination; TCP if nothing else is said')
    .option('--icmp <type>', 'ICMP type instead of a port: number or name')
    .option('-f, --filename <path...>', 'files and directories of manifests, - is standard input; without it the running cluster is asked');

type QuestionOptions = WorldOptions &
  VerdictQuery & { readonly output: 'text' | 'json'; readonly filename?: readonly string[] } & ConnectOptions;

/** From manifests, or from the cluster the kubeconfig leads to. */
async function modelOf(o: QuestionOptions, io: PolicyCommandsIo): Promise<Model> {
  if (o.filename !== undefined) return loadModel(readDocuments(o.filename, stdinOf(io)), worldConfig(o), io.err);
  const live = await readCluster(o, (text) => io.err.write(text));
  return loadModel(live.documents, live.config, io.err);
}

function addVerdict(policy: Command, io: PolicyCommandsIo, outcome: Outcome, optionsOf: OptionsOf): void {
  withQuestion(policy.command('verdict'))
    .description('tells whether a connection would be allowed, and which rules decide; exit code 0 allowed, 3 denied')
    .action(async (_own: object, command: Command) => {
      const o = optionsOf(command) as QuestionOptions;
      outcome.code = policyVerdict(await modelOf(o, io), o, o.output === 'json', io.out);
    });
}

function addWhy(policy: Command, io: PolicyCommandsIo, outcome: Outcome, optionsOf: OptionsOf): void {
  withQuestion(policy.command('why'))
    .description('tells which rule decides a connection, and the smallest change that would decide it the other way')
    .action(async (_own: object, command: Command) => {
      const o = optionsOf(command) as QuestionOptions;
      outcome.code = policyWhy(await modelOf(o, io), o, o.output === 'json', io.out);
    });
}

type PlanOptions = WorldOptions &
  ConnectOptions & {
    readonly output: PlanQuery['format'];
    readonly base?: readonly string[];
    readonly head?: readonly string[];
    readonly apply?: readonly string[];
    readonly flows?: string;
  };

function addPlan(policy: Command, io: PolicyCommandsIo, outcome: Outcome, optionsOf: OptionsOf): void {
  withWorldOptions(policy.command('plan'))
    .description(
      'tells what a change does: reachability, recorded flows, invariants, map rows; exit code 3 if an invariant would refuse it',
    )
    .option('--base <path...>', 'manifests before the change; without it the running cluster')
    .option('--head <path...>', 'all manifests after the change')
    .option('--apply <path...>', 'instead of --head: objects to put over the base')
    .option('--flows <file>', 'lines of "axoneme monitor -o json": flows that flip are told with the rule')
    .addOption(new Option('-o, --output <format>', 'how to print').choices(['text', 'json', 'markdown']))
    .action(async (_own: object, command: Command) => {
      const o = optionsOf(command) as PlanOptions;
      const stdin = stdinOf(io);
      const { base, head, config } = await planDocuments(o, io);
      const load = (documents: Documents) => loadInput(documents, config, io.err);
      outcome.code = policyPlan(load(base), load(head), { format: o.output, flows: o.flows }, { out: io.out, stdin });
    });
}

async function planDocuments(
  o: PlanOptions,
  io: PolicyCommandsIo,
): Promise<{ readonly base: Documents; readonly head: Documents; readonly config: WorldConfig }> {
  if ((o.head === undefined) === (o.apply === undefined))
    throw new AppError({ code: 'cli/usage', message: 'needs one of --head and --apply' });
  const read = (paths: readonly string[]): Documents => readDocuments(paths, stdinOf(io));
  const live = o.base === undefined ? await readCluster(o, (text) => io.err.write(text)) : undefined;
  const base = live?.documents ?? read(o.base ?? []);
  const config = live?.config ?? worldConfig(o);
  return { base, head: o.head === undefined ? overlay(base, read(o.apply ?? []), config) : read(o.head), config };
}
