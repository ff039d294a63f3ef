// Whose address is it, as a node's tables say: the same look-ups as bpf/lib (ipcache.h, translate.h). Used by explain.ts.
import { addressKey, addressText, EndpointFlag, ipcacheKeyOf } from '@axoneme/datapath';
import { cidrOfIp, type IpAddr, reservedIds } from '@axoneme/model';
import type { NodeRows } from './node-rows.ts';

export interface Place {
  /** here: on the node that was asked. */
  readonly kind: 'pod here' | 'node here' | 'pod' | 'node' | 'outside';
  readonly identity: number;
  /** Empty: none. */
  readonly tunnel: string;
  /** By its identity: its node understands what a node may add to a packet. As `north_is_pod`. */
  readonly isPod: boolean;
}

const firstPod = 256;
const firstCidr = 0x0100_0000;
const nodeIds: readonly number[] = [reservedIds.host, reservedIds['remote-node'], reservedIds['kube-apiserver']];

const isPodIdentity = (identity: number): boolean => identity === reservedIds.unlisted || (identity >= firstPod && identity < firstCidr);

function kindOf(identity: number, tunnel: string): Place['kind'] {
  if (nodeIds.includes(identity)) return 'node';
  return tunnel !== '' || isPodIdentity(identity) ? 'pod' : 'outside';
}

export async function placesOf(rows: NodeRows, addresses: readonly IpAddr[]): Promise<readonly Place[]> {
  const endpoints = await rows.find('endpoint', addresses.map(addressKey));
  const cached = await rows.find(
    'ipcache',
    addresses.map((a) => ipcacheKeyOf(cidrOfIp(a))),
  );
  return addresses.map((_, i): Place => {
    const [endpoint, row] = [endpoints[i], cached[i]];
    if (endpoint !== undefined) {
      const isPod = isPodIdentity(endpoint.identity);
      return {
        kind: (endpoint.flags & EndpointFlag.host) === 0 ? 'pod here' : 'node here',
        identity: endpoint.identity,
        tunnel: '',
        isPod,
      };
    }
    if (row === undefined) return { kind: 'outside', identity: reservedIds.world, tunnel: '', isPod: false };
    const tunnel = row.tunnelFamily === 0 ? '' : (addressText(row.tunnel, row.tunnelFamily) ?? '');
    return { kind: kindOf(row.identity, tunnel), identity: row.identity, tunnel, isPod: isPodIdentity(row.identity) };
  });
}
