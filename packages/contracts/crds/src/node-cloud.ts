// The parts of CiliumNode that belong to cloud providers. Kept so that stored objects survive; nothing here is acted upon.
import { z } from 'zod';
import { field, flag, list, text, textMap, texts, whole } from './schema-kit.ts';

export const eniSpec = z.looseObject({
  'instance-id': text('Obsolete.'),
  'instance-type': text('Type of the instance.'),
  'node-subnet-id': text('Subnet of the node.'),
  'vpc-id': text('VPC.'),
  'availability-zone': text('Zone.'),
  'min-allocate': whole('Obsolete.', 0),
  'pre-allocate': whole('Obsolete.', 0),
  'max-above-watermark': whole('Obsolete.', 0),
  'first-interface-index': whole('First interface for pods.', 0),
  'security-groups': texts('Security groups.'),
  'subnet-ids': texts('Subnets.'),
  'security-group-tags': textMap('Security groups by tag.'),
  'subnet-tags': textMap('Subnets by tag.'),
  'exclude-interface-tags': textMap('Interfaces to leave alone.'),
  'delete-on-termination': flag('Whether interfaces end with the instance.'),
  'disable-prefix-delegation': flag('Whether prefixes are avoided.'),
  'use-primary-address': flag('Whether the first address is used for pods.'),
});

const eni = z.looseObject({
  id: text('Id.'),
  ip: text('First address.'),
  mac: text('MAC address.'),
  description: text('Description.'),
  'availability-zone': text('Zone.'),
  'public-ip': text('Public address.'),
  number: whole('Device index.'),
  addresses: texts('More addresses.'),
  prefixes: texts('Prefixes.'),
  'security-groups': texts('Security groups.'),
  subnet: field(z.looseObject({ id: text('Id.'), cidr: text('Range.') }), 'Subnet.'),
  vpc: field(z.looseObject({ id: text('Id.'), 'primary-cidr': text('First range.'), cidrs: texts('All ranges.') }), 'VPC.'),
  tags: textMap('Tags.'),
});
export const eniStatus = z.looseObject({ enis: field(z.record(z.string(), eni), 'Interfaces by id.') });

export const azureSpec = z.looseObject({ 'interface-name': text('Interface to allocate on.') });
const azureInterface = z.looseObject({
  id: text('Id.'),
  name: text('Name.'),
  mac: text('MAC address.'),
  cidr: text('Range.'),
  gateway: text('Gateway.'),
  GatewayIP: text('Obsolete.'),
  'security-group': text('Security group.'),
  state: text('State.'),
  addresses: list(z.looseObject({ ip: text('Address.'), state: text('State.'), subnet: text('Subnet.') }), 'Addresses.'),
});
export const azureStatus = z.looseObject({ interfaces: list(azureInterface, 'Interfaces.') });

export const alibabaSpec = z.looseObject({
  'availability-zone': text('Zone.'),
  'cidr-block': text('Range.'),
  'instance-type': text('Type of the instance.'),
  'vpc-id': text('VPC.'),
  'security-groups': texts('Security groups.'),
  vswitches: texts('Switches.'),
  'security-group-tags': textMap('Security groups by tag.'),
  'vswitch-tags': textMap('Switches by tag.'),
});
const alibabaInterface = z.looseObject({
  'instance-id': text('Instance.'),
  'mac-address': text('MAC address.'),
  'network-interface-id': text('Id.'),
  'primary-ip-address': text('First address.'),
  type: text('Type.'),
  'zone-id': text('Zone.'),
  'private-ipsets': list(
    z.looseObject({ primary: flag('Whether it is the first address.'), 'private-ip-address': text('Address.') }),
    'Addresses.',
  ),
  'security-groupids': texts('Security groups.'),
  tags: textMap('Tags.'),
  vpc: field(
    z.looseObject({
      'vpc-id': text('Id.'),
      cidr: text('Range.'),
      'ipv6-cidr': text('IPv6 range.'),
      'secondary-cidrs': texts('More ranges.'),
    }),
    'VPC.',
  ),
  vswitch: field(z.looseObject({ 'vswitch-id': text('Id.'), cidr: text('Range.'), 'ipv6-cidr': text('IPv6 range.') }), 'Switch.'),
});
export const alibabaStatus = z.looseObject({ enis: field(z.record(z.string(), alibabaInterface), 'Interfaces by id.') });
