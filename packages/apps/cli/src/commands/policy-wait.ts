// `axoneme policy wait` and `axoneme policy status`: what is true of a policy right now, as the leading operator knows it. Called by program.ts.
import type { PolicyState } from '@axoneme/proto';
import { AppError } from '@axoneme/std';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type ConnectOptions, findObject, withOperator } from '../connect.ts';
import { exitCodeOf, exitCodes } from '../failure.ts';
import { json, type Output, table } from '../output.ts';
import type { Outcome } from './policy.ts';
import { type PolicyRef, parsePolicyRef, refText } from './policy-ref.ts';

export interface PolicyStateIo {
  readonly out: Output;
  readonly err: Output;
  readonly signal: AbortSignal;
}

interface Options extends ConnectOptions {
  readonly output: 'text' | 'json';
}

interface WaitOptions extends Options {
  readonly for: 'enforced' | 'delivered';
  readonly timeout: number;
}

/** The version the API server holds at the moment of the question; absent parts are not asked for. */
interface Wanted {
  readonly generation: number;
  readonly mode?: string | undefined;
}

const modeAnnotation = 'policy.axoneme.io/mode';
const AGAIN_MS = 300;

function duration(text: string): number {
  const m = /^(\d{1,7})(ms|s|m|h)?$/.exec(text);
  if (m === null) throw new InvalidArgumentError('must be a duration such as 500ms, 60s or 5m.');
  return Number(m[1]) * { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[(m[2] ?? 's') as 'ms'];
}

/** Undefined: wait on. */
function settle(p: PolicyState, wanted: Wanted, goal: WaitOptions['for']): { code: number; text: string } | undefined {
  if (p.generation < wanted.generation || p.observedGeneration !== p.generation) return undefined;
  if (wanted.mode !== undefined && p.valid && p.mode !== wanted.mode) return undefined;
  const what = refText(p);
  if (!p.valid) return { code: exitCodes.failed, text: `${what} is not valid:\n${p.problems.map((x) => `  ${x}\n`).join('')}` };
  if (p.refusedReason !== '') return { code: exitCodes.failed, text: `${what} was refused (${p.refusedReason}): ${p.refusedMessage}\n` };
  if (goal === 'enforced' && p.mode === 'shadow') {
    return {
      code: exitCodes.failed,
      text: `${what} is a shadow policy: it is recorded, never enforced (--for delivered waits for that)\n`,
    };
  }
  if (p.pendingNodes.length > 0) return undefined;
  const done = p.mode === 'shadow' ? 'is recorded, not enforced,' : 'is enforced';
  return { code: exitCodes.done, text: `${what} ${done} on ${p.enforcedNodes}/${p.nodes} nodes at revision ${p.revision}\n` };
}

async function wantedVersion(o: Options, ref: PolicyRef): Promise<Wanted> {
  if (o.server !== undefined) return { generation: 0 };
  const object = await findObject(o, ref.resource, { name: ref.name, ...(ref.namespace === '' ? {} : { namespace: ref.namespace }) });
  if (object === undefined) throw new AppError({ code: 'cli/not-found', message: `there is no ${refText(ref)}` });
  return { generation: object.metadata.generation ?? 0, mode: object.metadata.annotations?.[modeAnnotation] ?? 'enforce' };
}

interface Follow {
  last: PolicyState | undefined;
  result: { code: number; text: string } | undefined;
}

/** Ends with a result, or when the stream or the time is over. */
async function follow(f: Follow, o: WaitOptions, ref: PolicyRef, wanted: Wanted, signal: AbortSignal): Promise<void> {
  const { kind, namespace, name } = ref;
  await withOperator(o, async (client) => {
    for await (const { policy } of client.watchPolicy({ kind, namespace, name }, signal)) {
      if (policy === undefined && (f.last !== undefined || wanted.generation === 0)) {
        const text = f.last === undefined ? `there is no ${refText(ref)}\n` : `${refText(ref)} was deleted\n`;
        f.result = { code: exitCodes.notFound, text };
      } else if (policy !== undefined) {
        f.last = policy;
        f.result = settle(policy, wanted, o.for);
      }
      if (f.result !== undefined) return;
    }
  });
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(t);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const t = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
    if (signal.aborted) done();
  });

export async function waitForPolicy(o: WaitOptions, ref: PolicyRef, io: PolicyStateIo): Promise<number> {
  const wanted = await wantedVersion(o, ref);
  const signal = AbortSignal.any([io.signal, AbortSignal.timeout(o.timeout)]);
  const f: Follow = { last: undefined, result: undefined };
  let trouble: unknown;
  while (!signal.aborted && f.result === undefined) {
    try {
      trouble = undefined;
      await follow(f, o, ref, wanted, signal);
    } catch (e) {
      // the operator restarts, or another one leads now
      if (exitCodeOf(e) !== exitCodes.unreachable) throw e;
      trouble = e;
    }
    if (f.result === undefined) await pause(AGAIN_MS, signal);
  }
  if (f.result === undefined) {
    if (io.signal.aborted) return exitCodes.failed;
    const why = f.last?.message ?? (trouble instanceof Error ? trouble.message : 'the operator does not know the policy yet');
    f.result = { code: exitCodes.timeout, text: `${refText(ref)}: not ${o.for} within ${o.timeout / 1000} s: ${why}\n` };
  }
  const { code, text } = f.result;
  if (o.output === 'json')
    io.out.write(json({ result: code === 0 ? o.for : 'failed', exitCode: code, message: text.trim(), policy: f.last ?? null }));
  else (code === 0 ? io.out : io.err).write(code === 0 ? text : `axoneme: ${text}`);
  return code;
}

const yesNo = (b: boolean): string => (b ? 'yes' : 'no');

export function renderPolicies(list: readonly PolicyState[]): string {
  return table(
    ['KIND', 'NAMESPACE', 'NAME', 'MODE', 'VALID', 'SUPPORTED', 'NODES', 'REVISION', 'STATE', 'WARNINGS'],
    list.map((p) => [
      p.kind,
      p.namespace,
      p.name,
      p.mode,
      yesNo(p.valid),
      yesNo(p.supported),
      `${p.enforcedNodes}/${p.nodes}`,
      p.revision,
      p.reason,
      p.warnings.length,
    ]),
  );
}

export function renderPolicy(p: PolicyState): string {
  const list = (title: string, items: readonly string[]): string =>
    items.length === 0 ? '' : `${title}:\n${items.map((x) => `  ${x}\n`).join('')}`;
  return [
    `${refText(p)}: ${p.reason}\n  ${p.message}\n`,
    `Mode: ${p.mode}   Generation: ${p.observedGeneration}/${p.generation}   Nodes: ${p.enforcedNodes}/${p.nodes}   Revision: ${p.revision}\n`,
    list('Waiting for', p.pendingNodes),
    list('Problems', p.problems),
    list('Not supported', p.unsupported),
    list('Warnings', p.warnings),
  ].join('');
}

async function showPolicies(o: Options, ref: PolicyRef | undefined, namespace: string | undefined, out: Output): Promise<number> {
  const q = {
    kind: ref?.kind ?? '',
    namespace: ref === undefined || ref.name === '' ? (namespace ?? '') : ref.namespace,
    name: ref?.name ?? '',
  };
  const { policies } = await withOperator(o, (client) => client.listPolicies(q));
  const one = ref !== undefined && ref.name !== '';
  if (one && policies.length === 0) throw new AppError({ code: 'cli/not-found', message: `the operator knows no ${refText(ref)}` });
  if (o.output === 'json') out.write(json(one ? policies[0] : policies));
  else out.write(one ? renderPolicy(policies[0]!) : renderPolicies(policies));
  return exitCodes.done;
}

/** `-n` of these commands, and of those about Services, is the object's namespace; the operator's own goes with another name. */
export function optionsWith<T extends ConnectOptions>(
  command: Command,
  optionsOf: (c: Command) => object,
): { o: T; namespace: string | undefined } {
  let root = command;
  while (root.parent !== null) root = root.parent;
  const all = optionsOf(command) as T & { readonly operatorNamespace: string };
  const given = root.getOptionValueSource('namespace') === 'cli' ? all.namespace : undefined;
  return { o: { ...all, namespace: all.operatorNamespace }, namespace: given };
}

export function addPolicyState(policy: Command, io: PolicyStateIo, outcome: Outcome, optionsOf: (c: Command) => object): void {
  const common = (c: Command): Command =>
    c
      .addOption(new Option('-n, --namespace <name>', 'namespace of the policy'))
      .option('--operator-namespace <name>', 'namespace of the operator', 'axoneme-system');
  common(policy.command('wait'))
    .description(
      'waits until a policy is enforced on every node it concerns; exit code 0 then, 1 if it never will be, 6 when the time is up',
    )
    .argument('<kind/name>', 'e.g. cnp/web, netpol/web, ccnp/web')
    .addOption(new Option('--for <state>', 'delivered: shadow policies count too').choices(['enforced', 'delivered']).default('enforced'))
    .option('--timeout <duration>', 'how long: 500ms, 60s, 5m', duration, 60_000)
    .action(async (text: string, _own: object, command: Command) => {
      const { o, namespace } = optionsWith<WaitOptions>(command, optionsOf);
      const ref = parsePolicyRef(text, namespace ?? 'default');
      if (ref.name === '') throw new AppError({ code: 'cli/usage', message: `"${text}" has no name`, hint: 'write KIND/NAME' });
      outcome.code = await waitForPolicy(o, ref, io);
    });
  common(policy.command('status'))
    .description('what is true of policies right now: valid, enforced where, refused why')
    .argument('[kind/name]', 'one policy, or all of a kind')
    .action(async (text: string | undefined, _own: object, command: Command) => {
      const { o, namespace } = optionsWith<Options>(command, optionsOf);
      const ref = text === undefined ? undefined : parsePolicyRef(text, namespace ?? 'default');
      outcome.code = await showPolicies(o, ref, namespace, io.out);
    });
}
