// `axoneme status`: the operator that answered, its components, and the nodes with what they enforce.
import type { GetStatusResponse } from '@axoneme/proto';
import { bytes, table } from '../output.ts';

export function renderStatus(s: GetStatusResponse): string {
  const enforced = s.nodes.filter((n) => n.connected && n.ackedRevision >= s.revision).length;
  const head = [
    `Operator:  ${s.operatorId} (${s.leader ? 'leader' : 'follower'}), epoch ${s.epoch}`,
    `Revision:  ${s.revision}, enforced on ${enforced}/${s.nodes.length} nodes`,
    `Objects:   ${s.policies} policies, ${s.identities} identities, ${s.endpoints} endpoints, ${s.services} services`,
  ].join('\n');
  const components = table(
    ['COMPONENT', 'STATE', 'REASON'],
    s.components.map((c) => [c.name, c.state, c.reason]),
  );
  const nodes = table(
    ['NODE', 'LINK', 'REVISION', 'ARTIFACTS', 'SENT', 'MEMORY', 'POD CIDRS', 'FULLEST TABLE', 'PROBLEM'],
    s.nodes.map((n) => [
      n.name,
      n.connected ? 'up' : 'down',
      n.ackedRevision,
      n.artifacts,
      bytes(n.artifactBytesSent),
      n.rssBytes === 0 ? '' : bytes(n.rssBytes),
      n.podCidrs.join(','),
      fullest(n.tables),
      [n.lastNack, ...n.problems.map((p) => `${p.name}: ${p.reason}`)].filter((t) => t !== '').join('; '),
    ]),
  );
  return `${head}\n\n${components}\n${nodes}`;
}

/** The table closest to its capacity, e.g. `policy 12/65536`. */
function fullest(tables: GetStatusResponse['nodes'][number]['tables']): string {
  const share = (t: { entries: number; capacity: number }): number => (t.capacity === 0 ? 0 : t.entries / t.capacity);
  const top = Object.entries(tables).sort(([, a], [, b]) => share(b) - share(a))[0];
  return top === undefined ? '' : `${top[0]} ${top[1].entries}/${top[1].capacity}`;
}
