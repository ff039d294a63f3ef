// The `policy` commands that work on manifests: names, options, help. Called by program.ts.
import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import type { Output } from '../output.ts';
import { readDocuments } from '../policy/documents.ts';
import { loadInput, loadModel } from '../policy/load.ts';
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
}

export const withWorldOptions = (c: Command): Command =>
  c
    .option('--cluster-name <name>', 'name of the cluster the manifests are for', 'default')
    .option('--default-namespace <name>', 'namespace of objects that name none', 'default');

export const worldConfig = (o: WorldOptions): WorldConfig => ({ clusterName: o.clusterName, defaultNamespace: o.defaultNamespace });
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
    .requiredOption('-f, --filename <path...>', 'files and directories of manifests; - is standard input');

type QuestionOptions = WorldOptions & VerdictQuery & { readonly output: 'text' | 'json'; readonly filename: readonly string[] };

function addVerdict(policy: Command, io: PolicyCommandsIo, outcome: Outcome, optionsOf: OptionsOf): void {
  withQuestion(policy.command('verdict'))
    .description('tells whether a connection would be allowed, and which rules decide; exit code 0 allowed, 3 denied')
    .action((_own: object, command: Command) => {
      const o = optionsOf(command) as QuestionOptions;
      const model = loadModel(readDocuments(o.filename, stdinOf(io)), worldConfig(o), io.err);
      outcome.code = policyVerdict(model, o, o.output === 'json', io.out);
    });
}

function addWhy(policy: Command, io: PolicyCommandsIo, outcome: Outcome, optionsOf: OptionsOf): void {
  withQuestion(policy.command('why'))
    .description('tells which rule decides a connection, and the smallest change that would decide it the other way')
    .action((_own: object, command: Command) => {
      const o = optionsOf(command) as QuestionOptions;
      const model = loadModel(readDocuments(o.filename, stdinOf(io)), worldConfig(o), io.err);
      outcome.code = policyWhy(model, o, o.output === 'json', io.out);
    });
}

type PlanOptions = WorldOptions & {
  readonly output: PlanQuery['format'];
  readonly base: readonly string[];
  readonly head: readonly string[];
  readonly flows?: string;
};

function addPlan(policy: Command, io: PolicyCommandsIo, outcome: Outcome, optionsOf: OptionsOf): void {
  withWorldOptions(policy.command('plan'))
    .description(
      'tells what a change does: reachability, recorded flows, invariants, map rows; exit code 3 if an invariant would refuse it',
    )
    .requiredOption('--base <path...>', 'manifests before the change')
    .requiredOption('--head <path...>', 'manifests after it')
    .option('--flows <file>', 'lines of "axoneme monitor -o json": flows that flip are told with the rule')
    .addOption(new Option('-o, --output <format>', 'how to print').choices(['text', 'json', 'markdown']))
    .action((_own: object, command: Command) => {
      const o = optionsOf(command) as PlanOptions;
      const stdin = stdinOf(io);
      const load = (paths: readonly string[]) => loadInput(readDocuments(paths, stdin), worldConfig(o), io.err);
      outcome.code = policyPlan(load(o.base), load(o.head), { format: o.output, flows: o.flows }, { out: io.out, stdin });
    });
}
