// Gate: host policies must leave every node reachable for what repairs it: API server, operator, kubelet, administrators. Called by the gatekeeper.
import { type Cidr, type IpAddr, ipFamily, parseCidrOrIp } from '@axoneme/model';
import { addressPieces, type Direction, lookup, type PeerLook, type SubjectSet } from '@axoneme/policy';
import type { OperatorConfig } from '../../config.ts';
import type { Tables } from '../../world/world.ts';
import { parseIps } from '../addresses.ts';
import type { Compiled } from '../compiler.ts';
import type { Looks } from '../looks.ts';
import type { Breach, Gate } from './gate.ts';

const KUBELET_PORT = 10_250;
const TCP = 6;

/** One connection that must pass. */
interface Probe {
  readonly text: string;
  readonly direction: Direction;
  readonly look: PeerLook;
  readonly port: number;
  /** The far end; a node's own address is never judged. */
  readonly address?: IpAddr | undefined;
}

interface Endpoint {
  readonly ip: IpAddr;
  readonly port: number;
}

/** Addresses of nodes that look alike. */
interface NodeLook {
  readonly look: PeerLook;
  readonly family: 4 | 6;
  readonly nodes: string[];
}

interface Scene {
  readonly everyNode: readonly Probe[];
  /** What nodes with such an address serve to all other nodes. */
  readonly served: ReadonlyMap<IpAddr, readonly { readonly text: string; readonly port: number }[]>;
  /** Without its webhook no policy can be written that would open the node again. */
  readonly webhook: ReadonlyMap<IpAddr, readonly Probe[]>;
  readonly nodeLooks: readonly NodeLook[];
}

export interface HostSafetyDeps {
  readonly tables: Tables;
  readonly config: Pick<
    OperatorConfig,
    'podNamespace' | 'port' | 'bootstrapPort' | 'webhookPort' | 'hostFirewallAdminCidrs' | 'hostFirewallAdminPorts'
  >;
}

/** Behind the Service default/kubernetes. */
export function apiServerEndpoints(tables: Tables): Endpoint[] {
  const out = new Map<string, Endpoint>();
  for (const [key, slice] of tables.slices) {
    if (!key.startsWith('default/kubernetes')) continue;
    const { endpoints, ports } = slice as {
      endpoints?: readonly { addresses?: readonly string[] }[];
      ports?: readonly { port?: number }[];
    };
    for (const ip of parseIps((endpoints ?? []).flatMap((e) => e.addresses ?? [])))
      for (const { port } of ports ?? []) if (port !== undefined) out.set(`${ip} ${port}`, { ip, port });
  }
  return [...out.values()];
}

function operatorAddresses({ tables, config }: HostSafetyDeps): IpAddr[] {
  const out: IpAddr[] = [];
  for (const o of tables.pods.values())
    if (o.namespace === config.podNamespace && !o.finished && o.labels['app.kubernetes.io/component'] === 'operator')
      out.push(...parseIps(o.addresses.slice(0, 1)));
  return out;
}

function adminProbes({ config }: HostSafetyDeps, looks: Looks): Probe[] {
  const admins = config.hostFirewallAdminCidrs.flatMap((text): Cidr[] => {
    const c = parseCidrOrIp(text);
    return c.ok ? [c.value] : [];
  });
  // administrators come from outside: addresses of the cluster are not meant
  const pieces = addressPieces(admins, looks.prefixes).filter((p) => !looks.inside.has(p.cidr));
  return pieces.flatMap(({ cidr }) =>
    config.hostFirewallAdminPorts.map(
      (port): Probe => ({ text: `administrators in ${cidr} → host:${port}`, direction: 'ingress', look: looks.ofPrefix(cidr), port }),
    ),
  );
}

const at = ({ ip, port }: Endpoint): string => (ipFamily(ip) === 6 ? `[${ip}]:${port}` : `${ip}:${port}`);

function createScene(d: HostSafetyDeps, compiled: Compiled, looks: Looks): Scene {
  const { port, bootstrapPort, webhookPort } = d.config;
  const api = apiServerEndpoints(d.tables);
  const operators = operatorAddresses(d).flatMap((ip) => [port, bootstrapPort].map((p): Endpoint => ({ ip, port: p })));
  const egress = (what: string, e: Endpoint): Probe => ({
    text: `host → ${what} ${at(e)}`,
    direction: 'egress',
    look: looks.of(e.ip),
    port: e.port,
    address: e.ip,
  });
  const fromApi = (to: string, p: number): Probe[] =>
    [...new Set(api.map((e) => e.ip))].map(
      (ip): Probe => ({ text: `API server ${ip} → ${to}:${p}`, direction: 'ingress', look: looks.of(ip), port: p, address: ip }),
    );
  const served = new Map<IpAddr, { text: string; port: number }[]>();
  for (const [what, list] of [
    ['API server', api],
    ['operator', operators],
  ] as const)
    for (const e of list) served.set(e.ip, [...(served.get(e.ip) ?? []), { text: `${what} ${at(e)}`, port: e.port }]);
  return {
    everyNode: [
      ...api.map((e) => egress('API server', e)),
      ...operators.map((e) => egress('operator', e)),
      ...fromApi('host', KUBELET_PORT),
      ...adminProbes(d, looks),
    ],
    served,
    webhook: new Map(webhookPort === 0 ? [] : operators.map((e) => [e.ip, fromApi(`operator ${e.ip}`, webhookPort)])),
    nodeLooks: nodeLooksOf(compiled, looks),
  };
}

function nodeLooksOf(compiled: Compiled, looks: Looks): NodeLook[] {
  const out = new Map<string, NodeLook>();
  for (const n of compiled.nodes)
    for (const ip of n.addresses) {
      const look = looks.of(ip);
      const key = `${ipFamily(ip)} ${look.peer} ${look.cls ?? ''}`;
      const held = out.get(key) ?? { look, family: ipFamily(ip), nodes: [] };
      out.set(key, held);
      // two names are enough to know that one of them is another node
      if (held.nodes.length < 2 && !held.nodes.includes(n.name)) held.nodes.push(n.name);
    }
  return [...out.values()];
}

type SceneNode = Compiled['nodes'][number];

function probesOf(scene: Scene, node: SceneNode): Probe[] {
  const own = new Set<IpAddr>(node.addresses);
  const webhook = node.addresses.flatMap((ip) => scene.webhook.get(ip) ?? []);
  const common = [...scene.everyNode, ...webhook].filter((p) => p.address === undefined || !own.has(p.address));
  const inward = node.addresses.flatMap((ip) =>
    (scene.served.get(ip) ?? []).flatMap(({ text, port }) =>
      scene.nodeLooks.flatMap((l): Probe[] => {
        const other = l.nodes.find((n) => n !== node.name);
        if (other === undefined || l.family !== ipFamily(ip)) return [];
        return [{ text: `node ${other} → ${text}`, direction: 'ingress', look: l.look, port }];
      }),
    ),
  );
  return [...common, ...inward];
}

function breachesOf(compiled: Compiled, scene: Scene, node: SceneNode, host: SubjectSet): Breach[] {
  return probesOf(scene, node).flatMap((p): Breach[] => {
    const d = lookup(host, { ...p.look, direction: p.direction, protocol: TCP, port: p.port });
    if (d.allowed) return [];
    const rule = compiled.describeRule(d.ruleId) ?? 'the default of its mode';
    const message = `would cut off node ${node.name}: ${p.text} is dropped by ${rule}`;
    return [{ key: `host ${node.name} ${p.text}`, weight: 1, refusal: { reason: 'CutsOffNode', message }, grows: false }];
  });
}

export function createHostSafetyGate(d: HostSafetyDeps): Gate {
  let scene: { readonly of: readonly unknown[]; readonly scene: Scene } | undefined;
  let memo = new WeakMap<SubjectSet, readonly Breach[]>();
  const sceneOf = (compiled: Compiled): Scene => {
    const looks = compiled.looks();
    const of = [looks, d.tables.slices, compiled.apiServers, compiled.pods];
    if (scene === undefined || scene.of.some((o, i) => o !== of[i])) {
      scene = { of, scene: createScene(d, compiled, looks) };
      memo = new WeakMap();
    }
    return scene.scene;
  };
  return {
    name: 'host safety',
    check(compiled) {
      const hosts = compiled.nodes.flatMap((node) => {
        const host = compiled.host(node.name);
        return host === undefined ? [] : [{ node, host }];
      });
      if (hosts.length === 0) return [];
      const s = sceneOf(compiled);
      return hosts.flatMap(({ node, host }) => {
        const held = memo.get(host) ?? breachesOf(compiled, s, node, host);
        memo.set(host, held);
        return held;
      });
    },
  };
}
