// The rules that kube-proxy makes for ClusterIPs, in its modes iptables and nftables: the same chains, matches and order, as text for
// iptables-restore and nft. Pure.

export interface Target {
  readonly ip: string;
  readonly port: number;
}

export interface VirtualService {
  readonly name: string;
  readonly vip: string;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
  readonly targets: readonly Target[];
}

const POD_CIDR = '10.0.0.0/16';
/** Sixteen characters, as of kube-proxy's hashes. */
const idOf = (s: VirtualService): string => s.name.toUpperCase().replaceAll('-', '').padEnd(16, 'X').slice(0, 16);
const svc = (s: VirtualService): string => `KUBE-SVC-${idOf(s)}`;
const sep = (s: VirtualService, i: number): string => `KUBE-SEP-${idOf(s).slice(0, 15)}${i}`;
const comment = (s: VirtualService): string => `-m comment --comment "default/${s.name}:http cluster IP"`;

const dispatch = (s: VirtualService): string =>
  `-A KUBE-SERVICES -d ${s.vip}/32 -p ${s.protocol} ${comment(s)} -m ${s.protocol} --dport ${s.port} -j ${svc(s)}`;

const chainsOf = (s: VirtualService): string[] => [`:${svc(s)} - [0:0]`, ...s.targets.map((_, i) => `:${sep(s, i)} - [0:0]`)];

function chainRules(s: VirtualService): string[] {
  const n = s.targets.length;
  return [
    `-A ${svc(s)} ! -s ${POD_CIDR} -d ${s.vip}/32 -p ${s.protocol} ${comment(s)} -m ${s.protocol} --dport ${s.port} -j KUBE-MARK-MASQ`,
    ...s.targets.map((t, i) => {
      const lot = i === n - 1 ? '' : ` -m statistic --mode random --probability ${(1 / (n - i)).toFixed(10)}`;
      return `-A ${svc(s)} -m comment --comment "default/${s.name}:http -> ${t.ip}:${t.port}"${lot} -j ${sep(s, i)}`;
    }),
    ...s.targets.flatMap((t, i) => [
      `-A ${sep(s, i)} ${comment(s)} -s ${t.ip}/32 -j KUBE-MARK-MASQ`,
      `-A ${sep(s, i)} ${comment(s)} -m ${s.protocol} -p ${s.protocol} -j DNAT --to-destination ${t.ip}:${t.port}`,
    ]),
  ];
}

/** Everything, for iptables-restore. */
export function iptablesRules(services: readonly VirtualService[]): string {
  return [
    '*filter',
    ':KUBE-FORWARD - [0:0]',
    '-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD',
    '-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP',
    '-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT',
    '-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    'COMMIT',
    '*nat',
    ':KUBE-SERVICES - [0:0]',
    ':KUBE-POSTROUTING - [0:0]',
    ':KUBE-MARK-MASQ - [0:0]',
    ...services.flatMap(chainsOf),
    '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    '-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    '-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
    '-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN',
    '-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000',
    '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    '-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000',
    ...services.map(dispatch),
    ...services.flatMap(chainRules),
    'COMMIT',
    '',
  ].join('\n');
}

/** Other backends for these services, for iptables-restore --noflush: their chains alone, the least kube-proxy ever writes. */
export const iptablesChange = (services: readonly VirtualService[]): string =>
  ['*nat', ...services.flatMap(chainsOf), ...services.flatMap(chainRules), 'COMMIT', ''].join('\n');

const nftService = (s: VirtualService): string => `service-${idOf(s)}-default/${s.name}/${s.protocol}/http`;
const nftEndpoint = (s: VirtualService, t: Target): string => `endpoint-${idOf(s)}-default/${s.name}/${s.protocol}/http__${t.ip}/${t.port}`;
const nftElement = (s: VirtualService): string => `${s.vip} . ${s.protocol} . ${s.port} : goto ${nftService(s)}`;

function nftChains(s: VirtualService, table: string): string[] {
  const n = s.targets.length;
  const lots = s.targets.map((t, i) => `${i} : goto ${nftEndpoint(s, t)}`).join(' , ');
  return [
    ...s.targets.map((t) => `add chain ${table} ${nftEndpoint(s, t)}`),
    `add chain ${table} ${nftService(s)}`,
    ...s.targets.flatMap((t) => [
      `add rule ${table} ${nftEndpoint(s, t)} ip saddr ${t.ip} jump mark-for-masquerade`,
      `add rule ${table} ${nftEndpoint(s, t)} meta l4proto ${s.protocol} dnat to ${t.ip}:${t.port}`,
    ]),
    `add rule ${table} ${nftService(s)} ip daddr ${s.vip} ${s.protocol} dport ${s.port} ip saddr != ${POD_CIDR} jump mark-for-masquerade`,
    `add rule ${table} ${nftService(s)} numgen random mod ${n} vmap { ${lots} }`,
  ];
}

const TABLE = 'ip kube-proxy';

/** Everything, for nft -f. */
export function nftablesRules(services: readonly VirtualService[]): string {
  return [
    `add table ${TABLE}`,
    `add chain ${TABLE} mark-for-masquerade`,
    `add rule ${TABLE} mark-for-masquerade mark set mark or 0x4000`,
    `add chain ${TABLE} masquerading`,
    `add rule ${TABLE} masquerading mark and 0x4000 == 0 return`,
    `add rule ${TABLE} masquerading mark set mark xor 0x4000`,
    `add rule ${TABLE} masquerading masquerade fully-random`,
    `add map ${TABLE} service-ips { type ipv4_addr . inet_proto . inet_service : verdict ; }`,
    `add chain ${TABLE} services`,
    `add rule ${TABLE} services ip daddr . meta l4proto . th dport vmap @service-ips`,
    `add chain ${TABLE} nat-prerouting { type nat hook prerouting priority -100 ; }`,
    `add rule ${TABLE} nat-prerouting jump services`,
    `add chain ${TABLE} nat-output { type nat hook output priority -100 ; }`,
    `add rule ${TABLE} nat-output jump services`,
    `add chain ${TABLE} nat-postrouting { type nat hook postrouting priority 100 ; }`,
    `add rule ${TABLE} nat-postrouting jump masquerading`,
    `add chain ${TABLE} filter-forward { type filter hook forward priority -110 ; }`,
    `add rule ${TABLE} filter-forward ct state new accept`,
    ...services.flatMap((s) => nftChains(s, TABLE)),
    ...services.map((s) => `add element ${TABLE} service-ips { ${nftElement(s)} }`),
    '',
  ].join('\n');
}

/** From other backends to these: chains of services are flushed and filled, new endpoints added. */
export const nftablesChange = (services: readonly VirtualService[]): string =>
  [
    ...services.flatMap((s) => [
      ...s.targets.flatMap((t) => [`add chain ${TABLE} ${nftEndpoint(s, t)}`, `flush chain ${TABLE} ${nftEndpoint(s, t)}`]),
      `flush chain ${TABLE} ${nftService(s)}`,
      ...nftChains(s, TABLE),
    ]),
    '',
  ].join('\n');
