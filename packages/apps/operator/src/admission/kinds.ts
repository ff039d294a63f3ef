// Which objects are judged on their way in, and by whom: policies by the very function the compiler reads them with. Called by review.ts.
import { type PolicyIssue, parseCidrGroup, parseInvariant, renderIssue } from '@axoneme/policy';
import { readFleet, readRedirect } from '@axoneme/service';
import { canonicalJson, describeError } from '@axoneme/std';
import { readPolicy } from '../compile/policies.ts';

export type Json = Readonly<Record<string, unknown>>;

export const asObject = (v: unknown): Json => (typeof v === 'object' && v !== null && !Array.isArray(v) ? (v as Json) : {});

export interface Reading {
  /** Empty when valid; each `field: problem (fix)`. */
  readonly problems: readonly string[];
  /** Accepted but not as the author may think. */
  readonly warnings: readonly string[];
}

type Reader = (kind: string, object: Json, clusterName: string) => Reading;

const policy: Reader = (kind, object, clusterName) => {
  const r = readPolicy(kind, object, clusterName);
  return { problems: r.problems, warnings: [...r.unsupported, ...r.warnings] };
};

const reading = (issues: readonly PolicyIssue[]): Reading => ({
  problems: issues.filter((i) => i.severity === 'error').map(renderIssue),
  warnings: issues.filter((i) => i.severity !== 'error').map(renderIssue),
});

const cidrGroup: Reader = (_kind, object) => reading(parseCidrGroup(object).issues);

const invariant: Reader = (_kind, object, clusterName) => {
  const parsed = parseInvariant(object, { clusterName });
  return parsed.ok ? reading([]) : reading(parsed.error);
};

/** Whose address it is becomes clear in the compile, and is told in the status. */
const localRedirect: Reader = (_kind, object) => ({ problems: readRedirect(object).problems, warnings: [] });

/** As the file of the stand-alone balancer is checked. */
const fleet: Reader = (_kind, object) => {
  const read = readFleet(object);
  return { problems: read.ok ? [] : read.problems.map((p) => `${p.at}: ${p.message} (${p.fix})`), warnings: [] };
};

const readers: Readonly<Record<string, Reader>> = {
  'cilium.io/CiliumNetworkPolicy': policy,
  'cilium.io/CiliumClusterwideNetworkPolicy': policy,
  'cilium.io/CiliumCIDRGroup': cidrGroup,
  'cilium.io/CiliumLocalRedirectPolicy': localRedirect,
  'axoneme.io/ReachabilityInvariant': invariant,
  'axoneme.io/LoadBalancerFleet': fleet,
  'networking.k8s.io/NetworkPolicy': policy,
  'policy.networking.k8s.io/AdminNetworkPolicy': policy,
  'policy.networking.k8s.io/BaselineAdminNetworkPolicy': policy,
  'policy.networking.k8s.io/ClusterNetworkPolicy': policy,
};

/** Undefined: not a kind of ours. */
export function readObject(group: string, kind: string, object: Json, clusterName: string): Reading | undefined {
  const key = `${group}/${kind}`;
  const read = Object.hasOwn(readers, key) ? readers[key] : undefined;
  if (read === undefined) return undefined;
  try {
    return read(kind, object, clusterName);
  } catch (error) {
    return { problems: [`the object cannot be read: ${describeError(error)}`], warnings: [] };
  }
}

/** What decides about an object's meaning. A change of anything else, a finalizer say, must never be refused. */
export function meaningOf(object: Json): string {
  const { metadata, status: _status, ...rest } = object;
  const annotations = Object.entries(asObject(asObject(metadata).annotations)).filter(([k]) => k.startsWith('policy.axoneme.io/'));
  return canonicalJson({ ...rest, annotations: Object.fromEntries(annotations) });
}
