// The example policies pass the schemas, and the kinds that are not Cilium's policies refuse what the API server should refuse.
import fs from 'node:fs';
import path from 'node:path';
import type { AppError, Result } from '@axoneme/std';
import { describe, expect, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import {
  parseAdminNetworkPolicy,
  parseBaselineAdminNetworkPolicy,
  parseCiliumCIDRGroup,
  parseCiliumClusterwideNetworkPolicy,
  parseCiliumNetworkPolicy,
  parseClusterNetworkPolicy,
  parseReachabilityInvariant,
  schemaIssues,
} from '../src/index.ts';

const folder = path.resolve(import.meta.dirname, '../../../../examples/policies');
const parsers: Readonly<Record<string, (v: unknown) => Result<unknown>>> = {
  CiliumNetworkPolicy: parseCiliumNetworkPolicy,
  CiliumClusterwideNetworkPolicy: parseCiliumClusterwideNetworkPolicy,
  AdminNetworkPolicy: parseAdminNetworkPolicy,
  BaselineAdminNetworkPolicy: parseBaselineAdminNetworkPolicy,
  ClusterNetworkPolicy: parseClusterNetworkPolicy,
  CiliumCIDRGroup: parseCiliumCIDRGroup,
  ReachabilityInvariant: parseReachabilityInvariant,
};
const objects = fs
  .readdirSync(folder)
  .filter((f) => f.endsWith('.yaml'))
  .flatMap((f) => parseAllDocuments(fs.readFileSync(path.join(folder, f), 'utf8')).map((d) => [f, d.toJS() as { kind: string }] as const));

test.each(objects.filter(([, o]) => parsers[o.kind] !== undefined))('%s fits its schema', (_file, o) => {
  const r = parsers[o.kind]!(o);
  expect(r.ok ? '' : r.error.message).toBe('');
});

const wrong = (r: Result<unknown>): string[] => (r.ok ? [] : schemaIssues(r.error as AppError).map((i) => i.path));
const metadata = { name: 'x' };

describe('refused', () => {
  const subject = { namespaces: {} };
  const anp = (spec: object): string[] => wrong(parseAdminNetworkPolicy({ metadata, spec: { priority: 1, subject, ...spec } }));
  const rule = (more: object): object => ({ ingress: [{ action: 'Deny', from: [{ namespaces: {} }], ...more }] });
  test.each<[object, string]>([
    [{ priority: 1001 }, 'spec.priority'],
    [{ subject: {} }, 'spec.subject'],
    [{ subject: { pods: { podSelector: {} } } }, 'spec.subject.pods.namespaceSelector'],
    [rule({ action: 'Accept' }), 'spec.ingress[0].action'],
    [rule({ from: [] }), 'spec.ingress[0].from'],
    [rule({ from: [{}] }), 'spec.ingress[0].from[0]'],
    [rule({ from: [{ networks: ['10.0.0.0/8'] }] }), 'spec.ingress[0].from[0].networks'],
    [rule({ ports: [{ portNumber: { port: 0 } }] }), 'spec.ingress[0].ports[0].portNumber.port'],
    [rule({ name: 'x'.repeat(101) }), 'spec.ingress[0].name'],
    [{ egress: [{ action: 'Deny', to: [{ networks: ['10.0.0.0'] }] }] }, 'spec.egress[0].to[0].networks[0]'],
    [{ egress: [{ action: 'Allow', to: [{ domainNames: ['a b'] }] }] }, 'spec.egress[0].to[0].domainNames[0]'],
    [{ ingress: Array.from({ length: 101 }, () => ({ action: 'Deny', from: [{ namespaces: {} }] })) }, 'spec.ingress'],
  ])('AdminNetworkPolicy %j', (spec, at) => {
    expect(anp(spec)).toContain(at);
  });

  test('a baseline with another name or with Pass', () => {
    const spec = { subject, ingress: [{ action: 'Pass', from: [{ namespaces: {} }] }] };
    expect(wrong(parseBaselineAdminNetworkPolicy({ metadata, spec }))).toEqual(['metadata.name', 'spec.ingress[0].action']);
  });

  test.each<[object, string]>([
    [{ tier: 'Normal' }, 'spec.tier'],
    [rule({ protocols: [{ tcp: {} }] }), 'spec.ingress[0].protocols[0].tcp.destinationPort'],
    [
      rule({ protocols: [{ tcp: { destinationPort: { range: { start: 2, end: 2 } } } }] }),
      'spec.ingress[0].protocols[0].tcp.destinationPort.range',
    ],
    [{ ingress: Array.from({ length: 26 }, () => ({ action: 'Deny', from: [{ namespaces: {} }] })) }, 'spec.ingress'],
  ])('ClusterNetworkPolicy %j', (spec, at) => {
    expect(wrong(parseClusterNetworkPolicy({ metadata, spec: { tier: 'Admin', priority: 1, subject, ...spec } }))).toContain(at);
  });

  test('groups and invariants', () => {
    expect(wrong(parseCiliumCIDRGroup({ metadata, spec: { externalCIDRs: ['10.0.0.1'] } }))).toEqual(['spec.externalCIDRs[0]']);
    expect(wrong(parseCiliumCIDRGroup({ metadata, spec: {} }))).toEqual(['spec.externalCIDRs']);
    const pods = { podSelector: {} };
    const invariant = (spec: object): string[] =>
      wrong(parseReachabilityInvariant({ metadata, spec: { from: pods, to: pods, expect: 'MustReach', ...spec } }));
    expect(invariant({})).toEqual([]);
    expect(invariant({ from: {} })).toEqual(['spec.from']);
    expect(invariant({ expect: 'Reach' })).toEqual(['spec.expect']);
    expect(invariant({ ports: [{ port: 'http' }] })).toEqual(['spec.ports[0].port']);
    expect(invariant({ to: { cidr: '10.0.0.0' } })).toEqual(['spec.to.cidr']);
  });

  test('both spellings of the ICMP name pass', () => {
    for (const type of ['ExtendedEchoReply', 'ExtendedEcho Reply']) {
      const spec = { endpointSelector: {}, ingress: [{ icmps: [{ fields: [{ type }] }] }] };
      expect(wrong(parseCiliumNetworkPolicy({ metadata: { name: 'x', namespace: 'n' }, spec }))).toEqual([]);
    }
  });
});
