// toPorts and icmps of policy rules: L4 and everything above it.
import { z } from 'zod';
import {
  doc,
  exactlyOne,
  field,
  fqdnGlobPattern,
  fqdnPattern,
  list,
  patterned,
  portNameLengthMax,
  portPattern,
  serverNamePattern,
  text,
  texts,
  whole,
} from './schema-kit.ts';

const listLengthMax = 40;

const port = z.strictObject({
  port: field(
    patterned(portPattern, portNameLengthMax, 'is neither a port number from 0 to 65535 nor a port name'),
    'Number from 0 to 65535 or the name of a container port. 0 or absent means all ports.',
    { pattern: portPattern, maxLength: portNameLengthMax },
  ),
  endPort: whole('Last port of a range that begins at port, included. Has no meaning with a name.', 0, 65535),
  protocol: field(
    z.enum(['TCP', 'UDP', 'SCTP', 'VRRP', 'IGMP', 'ANY'], { error: 'must be TCP, UDP, SCTP, VRRP, IGMP or ANY' }),
    'Transport protocol. Absent or ANY means TCP, UDP and SCTP.',
  ),
});

const secretRef = z.strictObject({
  name: doc(z.string(), 'Name of the Secret.'),
  namespace: text('Namespace of the Secret; that of the policy if absent.'),
});

const tlsContext = z.strictObject({
  certificate: text('Key of the certificate in the Secret; tls.crt if absent.'),
  privateKey: text('Key of the private key in the Secret; tls.key if absent.'),
  trustedCA: text('Key of the trusted authorities in the Secret; ca.crt if absent.'),
  secret: doc(secretRef, 'Secret that holds certificate, key and authorities.'),
});

export const fqdnSelector = exactlyOne(
  z.strictObject({
    matchName: field(patterned(fqdnPattern, 255, 'is not a DNS name'), 'One DNS name, compared without regard to case.', {
      pattern: fqdnPattern,
      maxLength: 255,
    }),
    matchPattern: field(
      patterned(fqdnGlobPattern, 255, 'is not a DNS name with * wildcards'),
      'DNS name in which * stands for any characters inside one label, and a leading **. for whole labels.',
      {
        pattern: fqdnGlobPattern,
        maxLength: 255,
      },
    ),
  }),
  ['matchName', 'matchPattern'],
);

const headerMatch = z.strictObject({
  name: doc(z.string().min(1, { error: 'must not be empty' }), 'Name of the header.'),
  value: text('Expected value.'),
  secret: field(secretRef, 'Secret with one entry that holds the expected value.'),
  mismatch: field(
    z.enum(['LOG', 'ADD', 'DELETE', 'REPLACE'], { error: 'must be LOG, ADD, DELETE or REPLACE' }),
    'What to do when the header does not match. Absent: the request does not match the rule. LOG only logs; ADD, DELETE and REPLACE change the request.',
  ),
});

const httpRule = z.strictObject({
  host: text('Extended regular expression for the Host header, matched in full.'),
  method: text('Extended regular expression for the method, matched in full.'),
  path: text('Extended regular expression for the path, matched in full.'),
  headers: texts('Headers that must be there: "Name", or "Name: value" for an exact value.'),
  headerMatches: list(headerMatch, 'Headers to compare, with an action on mismatch.'),
});

const kafkaRule = z.strictObject({
  role: field(
    z.enum(['produce', 'consume'], { error: 'must be produce or consume' }),
    'Bundle of request kinds; not together with apiKey.',
  ),
  apiKey: text('Request kind, without regard to case.'),
  apiVersion: text('Version of the request kind, a positive whole number.'),
  clientID: text('Client identifier.'),
  topic: field(z.string().max(255, { error: 'is longer than 255 characters' }), 'Topic. Every topic of a request must be allowed.'),
});

const l7Rules = exactlyOne(
  z.strictObject({
    http: list(httpRule, 'HTTP requests that are allowed; the fields of one item must all match.'),
    kafka: list(kafkaRule, 'Kafka requests that are allowed. Deprecated.'),
    dns: list(fqdnSelector, 'DNS queries that are allowed; egress only.'),
    l7proto: text('Name of a parser for the rules in l7.'),
    l7: list(z.record(z.string(), z.string()), 'Rules for the parser named in l7proto, as key and value.'),
  }),
  ['http', 'kafka', 'dns', 'l7proto'],
);

const listener = z.strictObject({
  envoyConfig: doc(
    z.strictObject({
      kind: field(
        z.enum(['CiliumEnvoyConfig', 'CiliumClusterwideEnvoyConfig'], {
          error: 'must be CiliumEnvoyConfig or CiliumClusterwideEnvoyConfig',
        }),
        'Kind of the object that defines the listener. A clusterwide policy may only name the clusterwide kind.',
      ),
      name: doc(z.string().min(1, { error: 'must not be empty' }), 'Name of that object.'),
    }),
    'Object that defines the listener.',
  ),
  name: doc(z.string().min(1, { error: 'must not be empty' }), 'Name of the listener in that object.'),
  priority: whole('Precedence among redirects of one port; 1 is the strongest.', 1, 100),
});

const portList = field(
  z.array(port).max(listLengthMax, { error: `has more than ${listLengthMax} ports` }),
  'Ports; a packet to any of them matches.',
);

/** Deny rules know ports only. */
export const portDenyRule = z.strictObject({ ports: portList });

export const portRule = z.strictObject({
  ports: portList,
  listener: field(listener, 'Sends the traffic to a listener of the proxy.'),
  originatingTLS: field(tlsContext, 'TLS between the proxy and the server.'),
  terminatingTLS: field(tlsContext, 'TLS between the client and the proxy.'),
  serverNames: field(
    z
      .array(patterned(serverNamePattern, 255, 'is not a server name'))
      .min(1, { error: 'must not be empty' })
      .refine((names) => new Set(names).size === names.length, { error: 'names a server twice' }),
    'Server names (SNI) that are allowed. A leading *. stands for one label, **. for many.',
    { 'x-kubernetes-list-type': 'set' },
  ),
  rules: field(l7Rules, 'Rules above L4; one family at a time.'),
});

const icmpNumber = /^([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5]|ExtendedEcho Reply|[A-Z][A-Za-z]*)$/;
const icmpProblem = 'must be a number from 0 to 255 or a name such as EchoRequest';
const icmpField = z.strictObject({
  family: field(z.enum(['IPv4', 'IPv6'], { error: 'must be IPv4 or IPv6' }), 'Address family; IPv4 if absent.', { default: 'IPv4' }),
  type: doc(
    z.union(
      [z.int().min(0, { error: icmpProblem }).max(255, { error: icmpProblem }), z.string().regex(icmpNumber, { error: icmpProblem })],
      {
        error: icmpProblem,
      },
    ),
    'ICMP type: a number from 0 to 255 or its name, for example EchoRequest.',
    { 'x-kubernetes-int-or-string': true, pattern: icmpNumber.source, minimum: 0, maximum: 255 },
  ),
});

export const icmpRule = z.strictObject({
  fields: field(
    z.array(icmpField).max(listLengthMax, { error: `has more than ${listLengthMax} types` }),
    'ICMP types; any of them matches.',
  ),
});

export type PortProtocol = z.infer<typeof port>;
export type PortRule = z.infer<typeof portRule>;
export type PortDenyRule = z.infer<typeof portDenyRule>;
export type IcmpRule = z.infer<typeof icmpRule>;
export type FqdnSelector = z.infer<typeof fqdnSelector>;
