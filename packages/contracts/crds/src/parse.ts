// Unknown JSON → typed object, or one error that names every problem by field path. Called by sources, CLI and tests.
import { AppError, err, ok, type Result } from '@axoneme/std';
import type { z } from 'zod';
import {
  type AdminNetworkPolicy,
  adminNetworkPolicy,
  type BaselineAdminNetworkPolicy,
  baselineAdminNetworkPolicy,
} from './admin-policy.ts';
import { type CiliumCIDRGroup, ciliumCIDRGroup } from './cidr-group.ts';
import { type ClusterNetworkPolicy, clusterNetworkPolicy } from './cluster-policy.ts';
import { type CiliumEndpoint, ciliumEndpoint } from './endpoint.ts';
import { type CiliumIdentity, ciliumIdentity } from './identity.ts';
import { type ReachabilityInvariant, reachabilityInvariant } from './invariant.ts';
import { type CiliumL2AnnouncementPolicy, ciliumL2AnnouncementPolicy } from './l2-announcement-policy.ts';
import { type LoadBalancerFleet, loadBalancerFleet } from './load-balancer-fleet.ts';
import { type CiliumLoadBalancerIPPool, ciliumLoadBalancerIPPool } from './load-balancer-pool.ts';
import { type CiliumLocalRedirectPolicy, ciliumLocalRedirectPolicy } from './local-redirect.ts';
import { type CiliumNode, ciliumNode } from './node.ts';
import {
  type CiliumClusterwideNetworkPolicy,
  type CiliumNetworkPolicy,
  ciliumClusterwideNetworkPolicy,
  ciliumNetworkPolicy,
} from './policy.ts';

export interface SchemaIssue {
  /** As kubectl writes it: `spec.ingress[0].toPorts[0].ports[0].port`. */
  readonly path: string;
  readonly message: string;
  readonly hint?: string;
}

const issuesMax = 50;
const valueLengthMax = 64;

const pathText = (path: readonly PropertyKey[]): string =>
  path.reduce<string>((s, p) => (typeof p === 'number' ? `${s}[${p}]` : s === '' ? String(p) : `${s}.${String(p)}`), '');

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let v = root;
  for (const p of path) v = v !== null && typeof v === 'object' ? (v as Record<PropertyKey, unknown>)[p] : undefined;
  return v;
}

function shown(v: unknown): string {
  if (v === undefined || (typeof v === 'object' && v !== null)) return '';
  const s = JSON.stringify(v);
  return s.length > valueLengthMax ? `${s.slice(0, valueLengthMax)}… ` : `${s} `;
}

function issuesOf(error: z.ZodError, root: unknown): SchemaIssue[] {
  return error.issues.slice(0, issuesMax).flatMap((i): SchemaIssue[] => {
    if (i.code === 'unrecognized_keys') {
      return i.keys.map((k) => ({
        path: pathText([...i.path, k]),
        message: 'unknown field',
        hint: 'is it misspelled, or in the wrong place?',
      }));
    }
    const value = valueAt(root, i.path);
    const absent = value === undefined && i.path.length > 0;
    return [{ path: pathText(i.path), message: absent && i.code === 'invalid_type' ? 'is required' : `${shown(value)}${i.message}` }];
  });
}

/** The error has code `crds/invalid`; `fields.issues` holds every SchemaIssue. */
export function parseWith<S extends z.ZodType>(schema: S, kind: string, value: unknown): Result<z.infer<S>> {
  const r = schema.safeParse(value);
  if (r.success) return ok(r.data);
  const issues = issuesOf(r.error, value);
  const lines = issues.map((i) => `${i.path}: ${i.message}${i.hint === undefined ? '' : ` (${i.hint})`}`);
  return err(
    new AppError({
      code: 'crds/invalid',
      message: `not a valid ${kind}: ${lines.join('; ')}`,
      hint: 'correct the named fields',
      fields: { kind, issues },
    }),
  );
}

/** The issues of a `crds/invalid` error. */
export const schemaIssues = (e: AppError): readonly SchemaIssue[] => (e.fields.issues as readonly SchemaIssue[] | undefined) ?? [];

export const parseCiliumNetworkPolicy = (v: unknown): Result<CiliumNetworkPolicy> =>
  parseWith(ciliumNetworkPolicy, 'CiliumNetworkPolicy', v);
export const parseCiliumClusterwideNetworkPolicy = (v: unknown): Result<CiliumClusterwideNetworkPolicy> =>
  parseWith(ciliumClusterwideNetworkPolicy, 'CiliumClusterwideNetworkPolicy', v);
export const parseCiliumIdentity = (v: unknown): Result<CiliumIdentity> => parseWith(ciliumIdentity, 'CiliumIdentity', v);
export const parseCiliumEndpoint = (v: unknown): Result<CiliumEndpoint> => parseWith(ciliumEndpoint, 'CiliumEndpoint', v);
export const parseCiliumNode = (v: unknown): Result<CiliumNode> => parseWith(ciliumNode, 'CiliumNode', v);
export const parseCiliumCIDRGroup = (v: unknown): Result<CiliumCIDRGroup> => parseWith(ciliumCIDRGroup, 'CiliumCIDRGroup', v);
export const parseCiliumLoadBalancerIPPool = (v: unknown): Result<CiliumLoadBalancerIPPool> =>
  parseWith(ciliumLoadBalancerIPPool, 'CiliumLoadBalancerIPPool', v);
export const parseCiliumL2AnnouncementPolicy = (v: unknown): Result<CiliumL2AnnouncementPolicy> =>
  parseWith(ciliumL2AnnouncementPolicy, 'CiliumL2AnnouncementPolicy', v);
export const parseCiliumLocalRedirectPolicy = (v: unknown): Result<CiliumLocalRedirectPolicy> =>
  parseWith(ciliumLocalRedirectPolicy, 'CiliumLocalRedirectPolicy', v);
export const parseReachabilityInvariant = (v: unknown): Result<ReachabilityInvariant> =>
  parseWith(reachabilityInvariant, 'ReachabilityInvariant', v);
export const parseLoadBalancerFleet = (v: unknown): Result<LoadBalancerFleet> => parseWith(loadBalancerFleet, 'LoadBalancerFleet', v);
export const parseAdminNetworkPolicy = (v: unknown): Result<AdminNetworkPolicy> => parseWith(adminNetworkPolicy, 'AdminNetworkPolicy', v);
export const parseBaselineAdminNetworkPolicy = (v: unknown): Result<BaselineAdminNetworkPolicy> =>
  parseWith(baselineAdminNetworkPolicy, 'BaselineAdminNetworkPolicy', v);
export const parseClusterNetworkPolicy = (v: unknown): Result<ClusterNetworkPolicy> =>
  parseWith(clusterNetworkPolicy, 'ClusterNetworkPolicy', v);
