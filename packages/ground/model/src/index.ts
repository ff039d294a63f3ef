// @axoneme/model: words of the domain as types, and the only parsers that make them. Pure; imported by every floor above.
//
// Addresses  parseIp parseIpv4 parseIpv6 → branded canonical text; ipBytes/ipFromBytes → the 16-byte table form
// Prefixes   parseCidr (host bits are an error) parseCidrOrIp cidrContains cidrAround compareCidr createPrefixTable (longest prefix)
// Ports      parsePort parsePortProtocol protocolNumbers portPrefixes portInPrefix
// Labels     createLabels parseLabel(s) labelsFromMap/labelsToMap podLabels identityLabels(filter); `Labels.text` names a set
// Selectors  compileSelector matchesSelector; `Selector.text` names a selector
// Identities IdentityId reservedIds reservedLabels identityScope
// Objects    Endpoint NodeInfo NamespaceInfo IdentityInfo NamedPort objectKey parseNodeName
export * from './cidr.ts';
export * from './icmp.ts';
export * from './identity.ts';
export * from './ip.ts';
export * from './label-filter.ts';
export * from './labels.ts';
export * from './objects.ts';
export * from './port.ts';
export * from './prefix-table.ts';
export * from './selector.ts';
