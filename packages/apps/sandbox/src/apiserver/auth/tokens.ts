// Bearer tokens: the static admin token and JWT-shaped service-account tokens signed with a key of this server. Called by ../http and ../server.ts.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '@axoneme/std';
import { isObj, type Obj } from '../obj.ts';
import type { MemoryStore } from '../store/memory.ts';
import type { KubeObject, UserInfo } from '../types.ts';

export interface Bound {
  readonly kind: 'Pod' | 'Node' | 'Secret';
  readonly name: string;
  readonly uid: string;
}

export interface IssueRequest {
  readonly ns: string;
  readonly serviceAccount: string;
  readonly uid: string;
  readonly audiences: readonly string[];
  readonly expirationSeconds: number;
  readonly pod?: Bound | undefined;
  readonly node?: Bound | undefined;
}

export interface Verified {
  readonly user: UserInfo;
  readonly audiences: readonly string[];
}

export interface Tokens {
  readonly adminToken: string;
  issue(q: IssueRequest): { readonly token: string; readonly expiresAtMs: number };
  /** undefined when the token is unknown, expired, not for any wanted audience, or its objects are gone. */
  verify(token: string, audiences: readonly string[]): Verified | undefined;
}

export const apiAudience = 'https://kubernetes.default.svc.cluster.local';

const admin: UserInfo = { username: 'kubernetes-admin', uid: '', groups: ['system:masters', 'system:authenticated'] };
const b64 = (v: string | Buffer): string => Buffer.from(v).toString('base64url');

export function createTokens(store: MemoryStore, clock: Clock, uuid: () => string, adminToken: string | undefined): Tokens {
  const key = randomBytes(32);
  const token = adminToken ?? randomBytes(24).toString('hex');
  const sign = (text: string): Buffer => createHmac('sha256', key).update(text).digest();
  const verifyJwt = (text: string): Obj | undefined => {
    const [head, body, signature] = text.split('.');
    if (head === undefined || body === undefined || signature === undefined) return undefined;
    const given = Buffer.from(signature, 'base64url');
    const want = sign(`${head}.${body}`);
    if (given.length !== want.length || !timingSafeEqual(given, want)) return undefined;
    const claims: unknown = JSON.parse(Buffer.from(body, 'base64url').toString('utf8'));
    return isObj(claims) ? claims : undefined;
  };
  return {
    adminToken: token,
    issue(q) {
      const nowS = Math.floor(clock.nowMs() / 1000);
      const exp = nowS + q.expirationSeconds;
      const audiences = q.audiences.length === 0 ? [apiAudience] : q.audiences;
      const claims = {
        aud: audiences,
        exp,
        iat: nowS,
        nbf: nowS,
        iss: apiAudience,
        jti: uuid(),
        sub: `system:serviceaccount:${q.ns}:${q.serviceAccount}`,
        'kubernetes.io': {
          namespace: q.ns,
          serviceaccount: { name: q.serviceAccount, uid: q.uid },
          ...(q.pod === undefined ? {} : { pod: { name: q.pod.name, uid: q.pod.uid } }),
          ...(q.node === undefined ? {} : { node: { name: q.node.name, uid: q.node.uid } }),
        },
      };
      const text = `${b64(JSON.stringify({ alg: 'HS256', typ: 'JWT' }))}.${b64(JSON.stringify(claims))}`;
      return { token: `${text}.${b64(sign(text))}`, expiresAtMs: exp * 1000 };
    },
    verify(given, audiences) {
      const a = Buffer.from(given);
      const b = Buffer.from(token);
      if (a.length === b.length && timingSafeEqual(a, b)) return { user: admin, audiences };
      const claims = verifyJwt(given);
      return claims === undefined ? undefined : checkClaims(claims, audiences, store, clock.nowMs());
    },
  };
}

function checkClaims(claims: Obj, wanted: readonly string[], store: MemoryStore, nowMs: number): Verified | undefined {
  if (Number(claims.exp) * 1000 <= nowMs) return undefined;
  const aud = (claims.aud as string[]).filter((a) => wanted.includes(a));
  if (aud.length === 0) return undefined;
  const k = claims['kubernetes.io'] as Obj;
  const ns = String(k.namespace);
  const sa = k.serviceaccount as { name: string; uid: string };
  const account = store.get('/serviceaccounts', ns, sa.name);
  if (account === undefined || account.metadata.uid !== sa.uid) return undefined;
  const pod = k.pod as { name: string; uid: string } | undefined;
  const node = k.node as { name: string; uid: string } | undefined;
  if (pod !== undefined && store.get('/pods', ns, pod.name)?.metadata.uid !== pod.uid) return undefined;
  return {
    audiences: aud,
    user: {
      username: String(claims.sub),
      uid: sa.uid,
      groups: ['system:serviceaccounts', `system:serviceaccounts:${ns}`, 'system:authenticated'],
      extra: {
        'authentication.kubernetes.io/credential-id': [`JTI=${String(claims.jti)}`],
        ...(pod === undefined
          ? {}
          : { 'authentication.kubernetes.io/pod-name': [pod.name], 'authentication.kubernetes.io/pod-uid': [pod.uid] }),
        ...(node === undefined
          ? {}
          : { 'authentication.kubernetes.io/node-name': [node.name], 'authentication.kubernetes.io/node-uid': [node.uid] }),
      },
    },
  };
}

export const boundTo = (kind: Bound['kind'], o: KubeObject): Bound => ({ kind, name: o.metadata.name ?? '', uid: o.metadata.uid ?? '' });
