// Kinds that are questions: token and access reviews, token requests. Nothing is stored. Called by ../http/handlers.ts.
import { asList, asObj, asStr, dig, timeText } from '../obj.ts';
import type { Resource } from '../registry.ts';
import { badRequest, invalid, invalidValue, notFound } from '../status-error.ts';
import type { MemoryStore } from '../store/memory.ts';
import type { KubeObject, UserInfo } from '../types.ts';
import { apiAudience, boundTo, type Tokens } from './tokens.ts';

const lifetimeMinSeconds = 600;
const lifetimeMaxSeconds = 2 ** 32;

/** Everybody who is authenticated may do everything; the reviews say so. */
export function answerReview(r: Resource, o: KubeObject, user: UserInfo, tokens: Tokens): KubeObject {
  switch (r.kind) {
    case 'TokenReview':
      return { ...o, status: tokenStatus(o, tokens) };
    case 'SelfSubjectReview':
      return { ...o, status: { userInfo: user } };
    case 'SelfSubjectRulesReview':
      return {
        ...o,
        status: {
          resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }],
          nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
          incomplete: false,
        },
      };
    default:
      return { ...o, status: { allowed: true, reason: 'everything is allowed in the sandbox' } };
  }
}

function tokenStatus(o: KubeObject, tokens: Tokens): Record<string, unknown> {
  const spec = asObj(o.spec);
  const wanted = asList(spec.audiences).map(String);
  const found = tokens.verify(asStr(spec.token), wanted.length === 0 ? [apiAudience] : wanted);
  if (found === undefined) return { user: {}, authenticated: false, error: 'invalid bearer token' };
  return { authenticated: true, user: found.user, audiences: found.audiences };
}

/** `POST serviceaccounts/x/token`. */
export function answerTokenRequest(store: MemoryStore, tokens: Tokens, ns: string, name: string, body: unknown): KubeObject {
  const account = store.get('/serviceaccounts', ns, name);
  if (account === undefined) throw notFound({ group: '', resource: 'serviceaccounts' }, name);
  const spec = asObj(dig(body, 'spec'));
  const seconds = Number(spec.expirationSeconds ?? 3600);
  if (seconds < lifetimeMinSeconds || seconds > lifetimeMaxSeconds) {
    throw invalid('authentication.k8s.io', 'TokenRequest', '', [
      invalidValue(
        'spec.expirationSeconds',
        seconds,
        seconds < lifetimeMinSeconds
          ? 'may not specify a duration less than 10 minutes'
          : 'may not specify a duration larger than 2^32 seconds',
      ),
    ]);
  }
  const audiences = asList(spec.audiences).map(String);
  const ref = asObj(spec.boundObjectRef);
  const pod = ref.kind === 'Pod' ? boundPod(store, ns, ref) : undefined;
  const nodeName = asStr(dig(pod, 'spec', 'nodeName'));
  const node = nodeName === '' ? undefined : store.get('/nodes', '', nodeName);
  const issued = tokens.issue({
    ns,
    serviceAccount: name,
    uid: account.metadata.uid ?? '',
    audiences,
    expirationSeconds: seconds,
    pod: pod === undefined ? undefined : boundTo('Pod', pod),
    node: node === undefined ? undefined : boundTo('Node', node),
  });
  return {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { name, namespace: ns, creationTimestamp: null },
    spec: {
      audiences: audiences.length === 0 ? [apiAudience] : audiences,
      expirationSeconds: seconds,
      boundObjectRef: ref.kind === undefined ? null : ref,
    },
    status: { token: issued.token, expirationTimestamp: timeText(issued.expiresAtMs) },
  };
}

function boundPod(store: MemoryStore, ns: string, ref: Record<string, unknown>): KubeObject {
  const name = asStr(ref.name);
  const pod = store.get('/pods', ns, name);
  if (pod === undefined) throw notFound({ group: '', resource: 'pods' }, name);
  if (ref.uid !== undefined && ref.uid !== '' && ref.uid !== pod.metadata.uid)
    throw badRequest(
      `the UID in the bound object reference (${String(ref.uid)}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  return pod;
}
