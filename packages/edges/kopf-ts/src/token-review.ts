// Asks the API server whom a token belongs to. Called by the operator when a node presents its projected service-account token.
import type { KubeClient } from './client.ts';
import { kubeError } from './errors.ts';
import { pathOf, resources } from './resource.ts';

export interface TokenIdentity {
  /** `system:serviceaccount:<namespace>:<name>` for service accounts. */
  readonly username: string;
  readonly uid: string;
  readonly groups: readonly string[];
  /** E.g. `authentication.kubernetes.io/pod-name` and `…/node-name` for bound tokens. */
  readonly extra: Readonly<Record<string, readonly string[]>>;
  readonly audiences: readonly string[];
}

interface ReviewStatus {
  readonly authenticated?: boolean;
  readonly error?: string;
  readonly audiences?: readonly string[];
  readonly user?: {
    readonly username?: string;
    readonly uid?: string;
    readonly groups?: readonly string[];
    readonly extra?: Record<string, string[]>;
  };
}

/** Throws `kube/unauthorized` when the token is not valid for one of the audiences. */
export async function reviewToken(client: KubeClient, token: string, audiences: readonly string[]): Promise<TokenIdentity> {
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token, audiences } };
  const answer = (await client.raw({ method: 'POST', path: pathOf(resources.tokenReviews), body })) as { readonly status?: ReviewStatus };
  const s = answer?.status ?? {};
  const granted = s.audiences ?? [];
  // a server that ignores audiences returns none: that token may have been meant for somebody else
  if (s.authenticated !== true || s.user?.username === undefined || !granted.some((a) => audiences.includes(a))) {
    throw kubeError('kube/unauthorized', s.error ?? 'the token is not valid for this audience', 'never', { audiences });
  }
  return { username: s.user.username, uid: s.user.uid ?? '', groups: s.user.groups ?? [], extra: s.user.extra ?? {}, audiences: granted };
}
