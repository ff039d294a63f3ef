// CiliumNode: addresses and address blocks of one node.
import { z } from 'zod';
import { metadata } from './metadata.ts';
import { alibabaSpec, alibabaStatus, azureSpec, azureStatus, eniSpec, eniStatus } from './node-cloud.ts';
import { cidr, doc, field, list, maybe, text, textMap, whole } from './schema-kit.ts';

const poolName = doc(z.string().min(1, { error: 'must not be empty' }), 'Name of the pool.');
const holders = (description: string) =>
  field(
    z.record(z.string(), z.looseObject({ owner: text('Who holds the address.'), resource: text('What the address is bound to.') })),
    description,
  );

const pools = z.looseObject({
  allocated: list(
    z.looseObject({ pool: poolName, cidrs: list(cidr, 'Blocks of the node in this pool.') }),
    'Blocks given to the node; added by the operator.',
  ),
  requested: list(
    z.looseObject({
      pool: poolName,
      needed: field(
        z.looseObject({ 'ipv4-addrs': whole('IPv4 addresses.'), 'ipv6-addrs': whole('IPv6 addresses.') }),
        'How many are wanted.',
      ),
    }),
    'What the node wants.',
  ),
});

const ipamSpec = z.looseObject({
  podCIDRs: list(z.string(), 'Address blocks of the node.'),
  pool: holders('Addresses that are available one by one.'),
  'ipv6-pool': holders('IPv6 addresses that are available one by one.'),
  pools: field(pools, 'Blocks from several pools.'),
  'min-allocate': whole('Addresses to have at start.', 0),
  'max-allocate': whole('Most addresses to have.', 0),
  'pre-allocate': whole('Free addresses to keep.', 0),
  'max-above-watermark': whole('Addresses to take beyond the need.', 0),
  'static-ip-tags': textMap('Tags of static addresses.'),
});

const bothFamilies = (description: string) =>
  field(z.looseObject({ ipv4: text('IPv4 address.'), ipv6: text('IPv6 address.') }), description);

export const nodeSpec = z.looseObject({
  addresses: list(
    z.looseObject({ ip: text('Address.'), type: text('InternalIP, ExternalIP, Hostname, CiliumInternalIP.') }),
    'All addresses of the node.',
  ),
  bootid: text('Changes with every boot.'),
  'instance-id': text('Cloud instance.'),
  nodeidentity: whole('Identity of the node; normally 0.'),
  encryption: field(z.looseObject({ key: whole('Index of the key; 0 is off, 255 is WireGuard.') }), 'Encryption.'),
  health: bothFamilies('Health endpoint.'),
  ingress: bothFamilies('Ingress listener of the node.'),
  ipam: field(ipamSpec, 'Address management.'),
  eni: field(eniSpec, 'AWS parameters.'),
  azure: field(azureSpec, 'Azure parameters.'),
  'alibaba-cloud': field(alibabaSpec, 'Alibaba Cloud parameters.'),
});

const podCidrState = z.looseObject({
  status: field(z.enum(['released', 'depleted', 'in-use'], { error: 'must be released, depleted or in-use' }), 'State of the block.'),
});
const ipamStatus = z.looseObject({
  used: holders('IPv4 addresses in use.'),
  'ipv6-used': holders('IPv6 addresses in use.'),
  'assigned-static-ip': text('Static address of the node.'),
  'operator-status': field(z.looseObject({ error: text('Last error.') }), 'What the operator says.'),
  'pod-cidrs': field(z.record(z.string(), podCidrState), 'State of each block.'),
  'release-ips': textMap('Handshake for giving addresses back.'),
  'release-ipv6s': textMap('The same for IPv6.'),
});

export const nodeStatus = z.looseObject({
  ipam: field(ipamStatus, 'Address management as observed.'),
  eni: field(eniStatus, 'Interfaces at AWS.'),
  azure: field(azureStatus, 'Interfaces at Azure.'),
  'alibaba-cloud': field(alibabaStatus, 'Interfaces at Alibaba Cloud.'),
});

export const nodeBody = doc(
  z.looseObject({ spec: field(nodeSpec, 'Desired state.'), status: field(nodeStatus, 'Observed state.') }),
  'Addresses and address blocks of a node. Written by the operator, owned by the Node of the same name.',
);
export const ciliumNode = z.looseObject({
  apiVersion: maybe(z.literal('cilium.io/v2')),
  kind: maybe(z.literal('CiliumNode')),
  metadata,
  spec: maybe(nodeSpec),
  status: maybe(nodeStatus),
});

export type CiliumNode = z.infer<typeof ciliumNode>;
export type NodeSpec = z.infer<typeof nodeSpec>;
export type NodeStatus = z.infer<typeof nodeStatus>;
