// Compiled subjects → artifacts: one `policy/<handle>` per distinct set of rows, one `subject/<identity>` row. Called by the compiler.
import { dirPlen, Layer, type Row, SubjectFlag, Verdict } from '@axoneme/datapath';
import { type PolicyRows, rowsOf, type SubjectPolicy } from '@axoneme/policy';
import { subjectArtifact as subjectName } from '@axoneme/span';
import { type Artifact, rowArtifact } from './artifacts.ts';

export function policyArtifact(name: string, rows: PolicyRows): Artifact {
  const pairs = rowsOf(rows).map(
    (r): Row<'policy'> => [
      { handle: rows.handle, peer: r.peer, proto: r.protocol, dirPlen: dirPlen(r.direction, r.prefix.len), port: r.prefix.port },
      {
        precedence: r.precedence,
        ruleId: r.ruleId,
        proxyPort: r.proxyPort,
        verdict: r.verdict === 'deny' ? Verdict.deny : Verdict.allow,
        flags: 0,
      },
    ],
  );
  return rowArtifact(name, 'policy', pairs);
}

export function subjectArtifact(s: SubjectPolicy): Artifact {
  const flags = (s.defaultDeny.ingress ? SubjectFlag.denyIngress : 0) | (s.defaultDeny.egress ? SubjectFlag.denyEgress : 0);
  const row: Row<'subject'> = [
    { identity: s.identity, layer: Layer.normal },
    {
      handle: s.rows.handle,
      denyRule: [s.denyRules[0], s.denyRules[1]],
      peerMask: [s.rows.peerMask[0], s.rows.peerMask[1]],
      anyMask: [s.rows.anyMask[0], s.rows.anyMask[1]],
      flags,
    },
  ];
  return rowArtifact(subjectName(s.identity), 'subject', [row]);
}
