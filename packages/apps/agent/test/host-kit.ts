// Host policies as the operator would send them, for tests of the trial: artifacts with rows as the kernel has them.
import {
  dirPlen,
  ipcacheKey,
  ipcacheValue,
  policyKey,
  policyValue,
  precedence,
  subjectKey,
  subjectValue,
  Verdict,
} from '@axoneme/datapath';
import { hash64 } from '@axoneme/std';
import { familyOf, ipBytes16 } from '../src/endpoints/address.ts';
import type { ArtifactContent } from '../src/store/artifact-file.ts';

const none = Buffer.alloc(0);
/** What E calls the artifact of this node's own policy. */
export const hostName = 'subject/0x3000001';

export interface HostRow {
  readonly direction: 'ingress' | 'egress';
  readonly peer?: number;
  readonly proto?: number;
  readonly port?: number;
  readonly plen?: number;
  readonly verdict?: 'allow' | 'deny';
}

export interface HostPolicyArtifacts {
  readonly policyName: string;
  readonly policy: ArtifactContent;
  readonly subject: ArtifactContent;
}

const table = (name: string, rows: readonly (readonly [Uint8Array, Uint8Array])[]): ArtifactContent => ({
  table: name,
  keys: Buffer.concat(rows.map(([k]) => k)),
  values: Buffer.concat(rows.map(([, v]) => v)),
  blob: none,
});

/** Flags: 1 and 2 are default deny of ingress and egress. */
export function hostPolicy(flags: number, rows: readonly HostRow[] = []): HostPolicyArtifacts {
  const handle = hash64(JSON.stringify([flags, rows]));
  const peerMask: [number, number] = [0, 0];
  const anyMask: [number, number] = [0, 0];
  const encoded = rows.map((r): [Uint8Array, Uint8Array] => {
    const dir = r.direction === 'egress' ? 1 : 0;
    const plen = r.plen ?? (r.port === undefined ? 0 : 16);
    const proto = r.proto ?? 0;
    const mask = r.peer ? peerMask : anyMask;
    mask[dir] = (mask[dir] | (proto === 0 ? 0x80000000 : 2 ** plen)) >>> 0;
    const port = (r.port ?? 0) & (0xffff0000 >> plen) & 0xffff;
    const verdict = r.verdict ?? 'allow';
    return [
      policyKey.encode({ handle, peer: r.peer ?? 0, proto, dirPlen: dirPlen(r.direction, plen), port }),
      policyValue.encode({ precedence: precedence(verdict), ruleId: 7, proxyPort: 0, verdict: Verdict[verdict], flags: 0 }),
    ];
  });
  const unique = [...new Map(encoded.map((r) => [Buffer.from(r[0]).toString('hex'), r])).values()];
  const value = subjectValue.encode({ handle, denyRule: [901, 902], peerMask, anyMask, flags });
  return {
    policyName: `policy/${handle.toString(16)}`,
    policy: table('policy', unique),
    subject: table('subject', [[subjectKey.encode({ identity: 1, layer: 0 }), value]]),
  };
}

/** `10.0.0.0/8`: identity. */
export function addresses(rows: Readonly<Record<string, number>>): ArtifactContent {
  const encoded = Object.entries(rows).map(([cidr, identity]): [Uint8Array, Uint8Array] => {
    const [ip = '', bits = '0'] = cidr.split('/');
    const key = { prefixlen: 32 + Number(bits), family: familyOf(ip), addr: ipBytes16(ip) };
    return [ipcacheKey.encode(key), ipcacheValue.encode({ identity, tunnelFamily: 0, flags: 0, tunnel: new Uint8Array(16) })];
  });
  return table('ipcache', encoded);
}

export const podSubject = (identity: number, p: HostPolicyArtifacts): ArtifactContent => ({
  ...p.subject,
  keys: Buffer.from(subjectKey.encode({ identity, layer: 0 })),
});
