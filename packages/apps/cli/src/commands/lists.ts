// `axoneme identity list` and `axoneme endpoint list`.
import type { ListEndpointsResponse, ListIdentitiesResponse } from '@axoneme/proto';
import { table } from '../output.ts';

export function renderIdentities(r: ListIdentitiesResponse): string {
  const rows = [...r.identities]
    .sort((a, b) => a.id - b.id)
    .flatMap((i) => {
      const labels = Object.entries(i.labels)
        .map(([k, v]) => (v === '' ? k : `${k}=${v}`))
        .sort();
      const [first, ...more] = labels;
      return [[i.id, i.endpoints, first ?? ''], ...more.map((l) => ['', '', l])];
    });
  return identityTable(rows);
}

/** Labels below each other; the blank cells of the following lines stay blank. */
function identityTable(rows: readonly (readonly (string | number)[])[]): string {
  const blank = '\u00a0';
  return table(
    ['IDENTITY', 'ENDPOINTS', 'LABELS'],
    rows.map((r) => r.map((c, i) => (c === '' && i < 2 ? blank : String(c)))),
  ).replaceAll(blank, ' ');
}

export function renderEndpoints(r: ListEndpointsResponse): string {
  const name = (e: { namespace: string; pod: string }): string => `${e.namespace}/${e.pod}`;
  return table(
    ['POD', 'NODE', 'ENDPOINT', 'IDENTITY', 'IPV4', 'IPV6', 'STATE'],
    [...r.endpoints]
      .sort((a, b) => (name(a) < name(b) ? -1 : name(a) > name(b) ? 1 : 0))
      .map((e) => [name(e), e.node, e.endpointId, e.identity, e.ipv4, e.ipv6, e.state]),
  );
}
