import { describe, expect, test } from '@jest/globals';
import { parseConfig } from '../src/config.ts';
import { policyStatus } from '../src/status/policy-status.ts';

const verdict = { generation: 2, problems: [], unsupported: [], warnings: [], nodes: ['a', 'b', 'c'], revision: 9 } as const;
const at = (rev: Record<string, number>) => (n: string) => rev[n] ?? 0;

describe('policy status', () => {
  test('counts nodes and names the lagging ones', () => {
    const s = policyStatus(verdict, at({ a: 9, b: 8 }), undefined, 't1');
    expect(s.enforced).toBe('1/3');
    const e = s.conditions.find((c) => c.type === 'Enforced')!;
    expect(e).toMatchObject({ status: 'False', reason: 'Pending', message: '1/3 nodes at revision 9; waiting for b, c' });
  });

  test('is true everywhere, and keeps the time of a condition that did not change', () => {
    const first = policyStatus(verdict, at({ a: 9, b: 9, c: 10 }), undefined, 't1');
    expect(first.conditions.find((c) => c.type === 'Enforced')).toMatchObject({ status: 'True', message: '3/3 nodes at revision 9' });
    const second = policyStatus(verdict, at({ a: 9, b: 1, c: 10 }), first, 't2');
    expect(second.conditions.find((c) => c.type === 'Valid')!.lastTransitionTime).toBe('t1');
    expect(second.conditions.find((c) => c.type === 'Enforced')!.lastTransitionTime).toBe('t2');
  });

  test('an invalid policy is not enforced and says why', () => {
    const s = policyStatus({ ...verdict, problems: ['spec.ingress[0]: bad (fix it)'] }, at({}), undefined, 't');
    expect(s.conditions.find((c) => c.type === 'Valid')).toMatchObject({ status: 'False', message: 'spec.ingress[0]: bad (fix it)' });
    expect(s.conditions.find((c) => c.type === 'Enforced')!.status).toBe('False');
  });

  test('a policy that selects nothing says so', () => {
    const s = policyStatus({ ...verdict, nodes: [] }, at({}), undefined, 't');
    expect(s.conditions.find((c) => c.type === 'Enforced')).toMatchObject({ status: 'True', reason: 'SelectsNothing' });
    expect(s.conditions.find((c) => c.type === 'Enforced')!.message).toContain('selects no endpoint');
  });

  test('unsupported fields are listed', () => {
    const s = policyStatus({ ...verdict, unsupported: ['spec.egress[0].toFQDNs: not supported yet'] }, at({}), undefined, 't');
    expect(s.conditions.find((c) => c.type === 'Supported')).toMatchObject({
      status: 'False',
      message: 'spec.egress[0].toFQDNs: not supported yet',
    });
  });
});

describe('configuration', () => {
  test('unknown keys and wrong values are refused by name', () => {
    const r = parseConfig({ routingMode: 'gre', nope: 1, mtu: '1' }, {});
    expect(r.ok).toBe(false);
    if (!r.ok) {
      expect(r.error.message).toContain('routingMode: must be one of tunnel, native');
      expect(r.error.message).toContain('nope: unknown key');
      expect(r.error.message).toContain('mtu: must be a number');
    }
  });

  test('the environment names the pod', () => {
    const r = parseConfig({}, { POD_NAME: 'op-1', POD_IP: 'fd00::1' });
    expect(r.ok && r.value.podName).toBe('op-1');
    expect(r.ok && r.value.advertiseAddress).toBe('fd00::1');
  });
});
