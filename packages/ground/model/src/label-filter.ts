// Which labels make an identity. Called by the operator before it asks the identity engine for a number.
import { fail, ok, type Result } from '@axoneme/std';
import { createLabels, type Label, type Labels } from './labels.ts';

export interface LabelFilter {
  /** True if the label is part of the identity. */
  keeps(label: Label): boolean;
}

interface Pattern {
  readonly include: boolean;
  /** undefined = every source. */
  readonly source: string | undefined;
  readonly regex: RegExp;
}

const alwaysIn = [
  'reserved:.*',
  'io\\.kubernetes\\.pod\\.namespace',
  'io\\.cilium\\.k8s\\.namespace\\.labels',
  'app\\.kubernetes\\.io',
  'io\\.cilium\\.k8s\\.policy\\.cluster',
  'io\\.cilium\\.k8s\\.policy\\.serviceaccount',
];
const outByDefault = [
  '!io\\.kubernetes',
  '!kubernetes\\.io',
  '!statefulset\\.kubernetes\\.io/pod-name',
  '!apps\\.kubernetes\\.io/pod-index',
  '!batch\\.kubernetes\\.io/job-completion-index',
  '!batch\\.kubernetes\\.io/controller-uid',
  '!.*beta\\.kubernetes\\.io',
  '!topology\\.kubernetes\\.io',
  '!k8s\\.io',
  '!pod-template-generation',
  '!pod-template-hash',
  '!controller-revision-hash',
  '!annotation.*',
  '!controller-uid',
  '!etcd_node',
];

/**
 * User patterns `[!][source:]regex`, anchored at the start, added to the defaults. One include among them turns "all but" into "only".
 * The longest matching include is weighed against the shortest matching exclude.
 */
export function parseLabelFilter(patterns: readonly string[]): Result<LabelFilter> {
  const user: Pattern[] = [];
  for (const text of patterns) {
    const p = parsePattern(text);
    if (!p.ok) return p;
    user.push(p.value);
  }
  return ok(
    createFilter(
      [...defaultPatterns(), ...user],
      user.some((p) => p.include),
    ),
  );
}

/** The filter without user patterns. */
export const defaultLabelFilter: LabelFilter = createFilter(defaultPatterns(), false);

/** The identity-relevant part of a label set. */
export function identityLabels(labels: Labels, filter: LabelFilter = defaultLabelFilter): Labels {
  return createLabels(labels.list.filter((l) => filter.keeps(l)));
}

function createFilter(patterns: readonly Pattern[], whitelist: boolean): LabelFilter {
  const cache = new Map<string, boolean>();
  const judge = (label: Label): boolean => {
    let included = -1;
    let excluded = Number.POSITIVE_INFINITY;
    for (const p of patterns) {
      if (p.source !== undefined && p.source !== label.source) continue;
      const length = p.regex.exec(label.key)?.[0].length;
      if (length === undefined) continue;
      if (p.include) included = Math.max(included, length);
      else excluded = Math.min(excluded, length);
    }
    if (included < 0 && excluded === Number.POSITIVE_INFINITY) return !whitelist;
    return excluded === Number.POSITIVE_INFINITY || included > excluded || (included >= 0 && included === excluded);
  };
  return {
    keeps(label) {
      const id = `${label.source}:${label.key}`;
      const known = cache.get(id);
      if (known !== undefined) return known;
      if (cache.size > 65_536) cache.clear();
      const result = judge(label);
      cache.set(id, result);
      return result;
    },
  };
}

function defaultPatterns(): Pattern[] {
  return [...alwaysIn, ...outByDefault].flatMap((text) => {
    const p = parsePattern(text);
    return p.ok ? [p.value] : [];
  });
}

function parsePattern(text: string): Result<Pattern> {
  const include = !text.startsWith('!');
  const body = include ? text : text.slice(1);
  const source = /^([a-z][a-z0-9-]*):/.exec(body)?.[1];
  try {
    const regex = new RegExp(`^(?:${source === undefined ? body : body.slice(source.length + 1)})`);
    return ok({ include, source, regex });
  } catch (cause) {
    return fail({ code: 'model/invalid-label-pattern', message: `label pattern "${text.slice(0, 64)}" is not a valid expression`, cause });
  }
}
