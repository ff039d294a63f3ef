// Artifacts of a small world: a server that only its client may reach. For kernel tests.
import { dirPlen, ipcacheKeyOf, packRows, precedence, SubjectFlag, Verdict } from '@axoneme/datapath';
import { type Cidr, ipBytes, ipFamily, parseCidrOrIp, parseIp } from '@axoneme/model';
import { Acceleration, NodeConfig, Routes, RoutingMode, Workload } from '@axoneme/proto';
import { unwrap } from '@axoneme/std';
import type { ArtifactContent } from '../src/store/artifact-file.ts';

export const client = 1001;
export const server = 1002;
export const stranger = 1003;
export const serverPort = 7000;
const none = Buffer.alloc(0);
const handle = 0x1122334455667788n;
export const ruleId = 0xabcd;
export const denyRuleId = 0xdead;

const rows = (p: ReturnType<typeof packRows>): ArtifactContent => ({
  table: p.table,
  keys: Buffer.from(p.keys),
  values: Buffer.from(p.values),
  blob: none,
});
export const blob = (table: string, bytes: Uint8Array): ArtifactContent => ({ table, keys: none, values: none, blob: Buffer.from(bytes) });

/** Ingress of the server: UDP to its port from `peers`, anything else denied. */
export const serverPolicy = (peers: readonly number[]): ArtifactContent =>
  rows(
    packRows(
      'policy',
      peers.flatMap((peer) =>
        [17, 6].map(
          (proto) =>
            [
              { handle, peer, proto, dirPlen: dirPlen('ingress', 16), port: serverPort },
              { precedence: precedence('allow'), ruleId, proxyPort: 0, verdict: Verdict.allow, flags: 0 },
            ] as const,
        ),
      ),
    ),
  );

export const subject = (identity: number, closed: boolean): ArtifactContent =>
  rows(
    packRows('subject', [
      [
        { identity, layer: 0 },
        {
          handle: closed ? handle : 0n,
          denyRule: closed ? [denyRuleId, 0] : [0, 0],
          peerMask: closed ? [1 << 16, 0] : [0, 0],
          anyMask: [0, 0],
          flags: closed ? SubjectFlag.denyIngress : 0,
        },
      ],
    ]),
  );

export const workload = (pod: string, identity: number, podUid = `uid-${pod}`, audit = false): ArtifactContent =>
  blob('workload', Workload.encode({ namespace: 'default', pod, podUid, identity, audit }).finish());

export const nodeConfigBlob = (o: {
  name: string;
  addresses: readonly string[];
  blocks?: readonly string[];
  native?: boolean;
  policyAudit?: boolean;
  healthz?: string;
  acceleration?: Acceleration;
}): ArtifactContent =>
  blob(
    'node',
    NodeConfig.encode(
      NodeConfig.fromPartial({
        nodeName: o.name,
        podCidrs: [...(o.blocks ?? ['10.231.1.0/24', 'fd23:1:1::/64'])],
        clusterCidrs: ['10.231.0.0/16', 'fd23:1::/32'],
        routingMode: o.native === true ? RoutingMode.ROUTING_MODE_NATIVE : RoutingMode.ROUTING_MODE_VXLAN,
        masqueradeIpv4: true,
        masqueradeIpv6: true,
        mtu: 0,
        nodeAddresses: [...o.addresses],
        vxlanPort: 0,
        policyAudit: o.policyAudit === true,
        healthzBindAddress: o.healthz ?? '',
        acceleration: o.acceleration ?? Acceleration.ACCELERATION_UNSPECIFIED,
      }),
    ).finish(),
  );

export const world = (node: { name: string; address4: string; address6: string }): Record<string, ArtifactContent> => ({
  'node/config': nodeConfigBlob({ name: node.name, addresses: [node.address4, node.address6] }),
  'policy/1122334455667788': serverPolicy([client]),
  [`subject/${server}`]: subject(server, true),
  [`subject/${client}`]: subject(client, false),
  [`subject/${stranger}`]: subject(stranger, false),
});

/** CIDR or address → identity, behind a node when `tunnel` is set. */
export const ipcache = (entries: readonly (readonly [cidr: string, identity: number, tunnel?: string])[]): ArtifactContent =>
  rows(
    packRows(
      'ipcache',
      entries.map(([cidr, identity, tunnel]) => {
        const ip = tunnel === undefined ? undefined : unwrap(parseIp(tunnel));
        const value = { identity, flags: 0, tunnelFamily: ip ? ipFamily(ip) : 0, tunnel: ip ? ipBytes(ip) : new Uint8Array(16) };
        return [ipcacheKeyOf(unwrap(parseCidrOrIp(cidr)) as Cidr), value] as const;
      }),
    ),
  );

export const routesBlob = (nodes: readonly { name: string; blocks: readonly string[]; addresses: readonly string[] }[]): ArtifactContent =>
  blob(
    'routes',
    Routes.encode({ nodes: nodes.map((n) => ({ nodeName: n.name, podCidrs: [...n.blocks], addresses: [...n.addresses] })) }).finish(),
  );
