// Compiled subjects → artifacts: one `policy/<handle>` per distinct set of rows, one `subject/…` with a row per layer. Called by the policy part.
import { dirPlen, Layer, type Row, SubjectFlag, Verdict } from '@axoneme/datapath';
import { type LayerName, layersOf, type PolicyRows, rowsOf, type SubjectPolicy, type SubjectSet } from '@axoneme/policy';
import { type Artifact, rowArtifact } from './artifacts.ts';

export function policyArtifact(name: string, rows: PolicyRows): Artifact {
  const pairs = rowsOf(rows).map(
    (r): Row<'policy'> => [
      { handle: rows.handle, peer: r.peer, proto: r.protocol, dirPlen: dirPlen(r.direction, r.prefix.len), port: r.prefix.port },
      { precedence: r.precedence, ruleId: r.ruleId, proxyPort: r.proxyPort, verdict: Verdict[r.verdict], flags: 0 },
    ],
  );
  return rowArtifact(name, 'policy', pairs);
}

const layerNumbers: Readonly<Record<LayerName, number>> = {
  normal: Layer.normal,
  admin: Layer.admin,
  baseline: Layer.baseline,
  shadow: Layer.shadowNormal,
  shadowAdmin: Layer.shadowAdmin,
  shadowBaseline: Layer.shadowBaseline,
};

/** Which other layers the kernel is to ask: the layers of tier normal say so for theirs. */
function layerFlags(name: LayerName, { layers }: SubjectSet): number {
  if (name !== 'normal' && name !== 'shadow') return 0;
  const [admin, baseline] = name === 'normal' ? [layers.admin, layers.baseline] : [layers.shadowAdmin, layers.shadowBaseline];
  return (
    (admin === undefined ? 0 : SubjectFlag.hasAdmin) |
    (baseline === undefined ? 0 : SubjectFlag.hasBaseline) |
    (name === 'normal' && layers.shadow !== undefined ? SubjectFlag.hasShadow : 0)
  );
}

const ownFlags = (p: SubjectPolicy): number =>
  (p.defaultDeny.ingress ? SubjectFlag.denyIngress : 0) |
  (p.defaultDeny.egress ? SubjectFlag.denyEgress : 0) |
  (p.usesClasses ? SubjectFlag.classes : 0);

/** `identity` is the one the kernel knows: a node's subject is found under that of the host. */
export function subjectArtifact(name: string, identity: number, set: SubjectSet): Artifact {
  const rows = layersOf(set).map(
    ([layer, p]): Row<'subject'> => [
      { identity, layer: layerNumbers[layer] },
      {
        handle: p.rows.handle,
        denyRule: [p.denyRules[0], p.denyRules[1]],
        peerMask: [p.rows.peerMask[0], p.rows.peerMask[1]],
        anyMask: [p.rows.anyMask[0], p.rows.anyMask[1]],
        flags: ownFlags(p) | layerFlags(layer, set),
      },
    ],
  );
  return rowArtifact(name, 'subject', rows);
}
