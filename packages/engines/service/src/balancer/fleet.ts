// A fleet of balancers as an object → what the service compiler is given for the nodes it selects, and every problem the object has. Pure; called
// by the operator and its webhook.
import { compileSelector, type LabelSelector, matchAllSelector, type ObjectKey, type Selector } from '@axoneme/model';
import { fleetKey } from '../fleet-key.ts';
import { type BalancedInputs, balancedInputs, type TargetId } from './compile-balancer.ts';
import { createFieldReader, type FieldReader, type Problem } from './fields.ts';
import { readServices } from './read-spec.ts';
import type { BalancedService } from './spec.ts';

export interface Fleet {
  readonly name: string;
  /** When the object was made; of two that ask for one address the older keeps it. */
  readonly createdMs: number;
  /** Nodes that serve it. */
  readonly nodes: Selector;
  readonly services: readonly BalancedService[];
}

export type ReadFleet = { readonly ok: true; readonly fleet: Fleet } | { readonly ok: false; readonly problems: readonly Problem[] };

const isMap = (v: unknown): v is Readonly<Record<string, unknown>> => typeof v === 'object' && v !== null && !Array.isArray(v);

/** One requirement at a time, so that what is wrong has its place. */
function checkSelector(r: FieldReader, at: string, selector: LabelSelector): void {
  const compiled = compileSelector(selector);
  if (!compiled.ok) r.problem(at, compiled.error.message, compiled.error.hint ?? 'write a label selector');
}

function readExpressions(r: FieldReader, at: string, value: unknown): NonNullable<LabelSelector['matchExpressions']> {
  return r.list(at, value, 'may be empty').map((v, i) => {
    const here = `${at}[${i}]`;
    const known = r.problems.length;
    const f = r.fields(here, v, ['key', 'operator', 'values']);
    const key = r.text(`${here}.key`, f.key, '');
    const operator = r.text(`${here}.operator`, f.operator, '');
    const values = r.list(`${here}.values`, f.values, 'may be empty').map((x, j) => {
      if (typeof x !== 'string') r.problem(`${here}.values[${j}]`, 'is no text', 'write text, in quotes if it looks like a number');
      return typeof x === 'string' ? x : '';
    });
    const expression = { key, operator, values };
    if (r.problems.length === known) checkSelector(r, here, { matchExpressions: [expression] });
    return expression;
  });
}

/** Nothing selects every node, as an empty selector does. */
function readNodeSelector(r: FieldReader, at: string, value: unknown): Selector {
  if (value === undefined || value === null) return matchAllSelector;
  const f = r.fields(at, value, ['matchLabels', 'matchExpressions']);
  const matchLabels: Record<string, string> = {};
  const labels = f.matchLabels ?? {};
  if (!isMap(labels)) r.problem(`${at}.matchLabels`, 'is no mapping', 'write label: value');
  for (const [key, v] of isMap(labels) ? Object.entries(labels) : []) {
    const here = `${at}.matchLabels[${key}]`;
    if (typeof v !== 'string') {
      r.problem(here, 'is no text', 'write text, in quotes if it looks like a number');
      continue;
    }
    checkSelector(r, here, { matchLabels: { [key]: v } });
    matchLabels[key] = v;
  }
  const matchExpressions = readExpressions(r, `${at}.matchExpressions`, f.matchExpressions);
  const compiled = compileSelector({ matchLabels, matchExpressions });
  return compiled.ok ? compiled.value : matchAllSelector;
}

/** `object`: a LoadBalancerFleet as the API server has it. */
export function readFleet(object: unknown): ReadFleet {
  const { metadata, spec } = isMap(object) ? object : {};
  const meta = isMap(metadata) ? metadata : {};
  const r = createFieldReader();
  const f = r.fields('spec', spec, ['nodeSelector', 'services']);
  const nodes = readNodeSelector(r, 'spec.nodeSelector', f.nodeSelector);
  const services = readServices(r, 'spec.services', f.services);
  if (r.problems.length > 0) return { ok: false, problems: r.problems };
  const created = Date.parse(typeof meta.creationTimestamp === 'string' ? meta.creationTimestamp : '');
  const name = typeof meta.name === 'string' ? meta.name : '';
  return { ok: true, fleet: { name, createdMs: Number.isNaN(created) ? 0 : created, nodes, services } };
}

/** What one service of a fleet is for the compiler. */
export function fleetInputs(
  fleet: Pick<Fleet, 'name' | 'createdMs' | 'nodes'>,
  s: BalancedService,
  down: ReadonlySet<TargetId>,
): BalancedInputs {
  return balancedInputs(s, down, {
    keyOf: ({ name }, port, protocol) => fleetKey(fleet.name, name, port, protocol),
    createdMs: fleet.createdMs,
    nodeSelector: fleet.nodes,
    fleet: true,
  });
}

/** Names that a service of a fleet has for the compiler. */
export const fleetKeys = (fleet: string, s: Pick<BalancedService, 'name' | 'vips'>): ObjectKey[] => [
  ...new Set(s.vips.map((v) => fleetKey(fleet, s.name, v.port, v.protocol))),
];
