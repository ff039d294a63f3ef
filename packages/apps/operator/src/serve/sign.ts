// Signs node certificates: the caller proves with a projected service-account token that it is the agent pod of that node.
// Called by the bootstrap server.

import { type Ca, nodeSpiffeUri, readCertificate, signCsr } from '@axoneme/pki';
import { AppError, err, fail, ok, type Result } from '@axoneme/std';
import { type KubeClient, type LooseObject, resources } from 'kopf-ts';

export interface SignConfig {
  readonly clusterName: string;
  readonly namespace: string;
  /** Service account the agents run under. */
  readonly agentServiceAccount: string;
  readonly audience: string;
  readonly nodeCertificateTtlMs: number;
}

export interface SignedCertificate {
  readonly certificatePem: string;
  readonly caPem: string;
  readonly notAfterMs: number;
}

interface ReviewStatus {
  readonly authenticated?: boolean;
  readonly error?: string;
  readonly user?: { readonly username?: string; readonly extra?: Readonly<Record<string, readonly string[]>> };
}

const denied = (message: string, hint?: string): Result<never> =>
  fail({ code: 'operator/bootstrap-denied', message, ...(hint === undefined ? {} : { hint }) });

async function nodeOfCaller(client: KubeClient, status: ReviewStatus, c: SignConfig): Promise<Result<string>> {
  const username = status.user?.username ?? '';
  const expected = `system:serviceaccount:${c.namespace}:${c.agentServiceAccount}`;
  if (username !== expected) return denied(`the token belongs to ${username || 'nobody'}, not to ${expected}`);
  const extra = status.user?.extra ?? {};
  // Kubernetes 1.30+ binds the node into the token; older servers name the pod only.
  const node = extra['authentication.kubernetes.io/node-name']?.[0];
  if (node !== undefined) return ok(node);
  const pod = extra['authentication.kubernetes.io/pod-name']?.[0];
  if (pod === undefined) return denied('the token is bound to no pod', 'project it with serviceAccountToken in the DaemonSet');
  const found = await client.find<LooseObject>(resources.pods, { namespace: c.namespace, name: pod });
  const uid = extra['authentication.kubernetes.io/pod-uid']?.[0];
  if (found === undefined || (uid !== undefined && found.metadata.uid !== uid)) return denied(`pod ${pod} of the token does not exist`);
  return ok(((found.spec ?? {}) as { nodeName?: string }).nodeName ?? '');
}

/** Verifies the token by TokenReview and signs the request for exactly the caller's node. */
export async function signNode(
  deps: { readonly client: KubeClient; readonly ca: Ca },
  c: SignConfig,
  request: { readonly csrPem: string; readonly token: string; readonly nodeName: string },
): Promise<Result<SignedCertificate>> {
  const review = (await deps.client.raw({
    method: 'POST',
    path: '/apis/authentication.k8s.io/v1/tokenreviews',
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token: request.token, audiences: [c.audience] } },
  })) as { status?: ReviewStatus };
  const status = review.status ?? {};
  if (status.authenticated !== true) return denied(`the token was not accepted: ${status.error ?? 'not authenticated'}`);
  const node = await nodeOfCaller(deps.client, status, c);
  if (!node.ok) return node;
  if (node.value === '' || node.value !== request.nodeName) {
    return denied(`the token is for node ${node.value || '(none)'}, the request for ${request.nodeName}`);
  }
  try {
    const certificatePem = await signCsr(deps.ca, request.csrPem, {
      commonName: request.nodeName,
      uri: nodeSpiffeUri(c.clusterName, request.nodeName),
      ttlMs: c.nodeCertificateTtlMs,
    });
    const info = readCertificate(certificatePem);
    return info.ok ? ok({ certificatePem, caPem: deps.ca.certPem, notAfterMs: info.value.notAfterMs }) : info;
  } catch (cause) {
    return err(
      cause instanceof AppError
        ? cause
        : new AppError({ code: 'operator/sign-failed', message: 'the certificate could not be signed', cause }),
    );
  }
}
