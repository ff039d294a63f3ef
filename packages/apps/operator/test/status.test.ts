import { describe, expect, test } from '@jest/globals';
import { parseConfig } from '../src/config.ts';
import { type PolicyVerdict, policyStatus } from '../src/status/policy-status.ts';

const verdict: PolicyVerdict = {
  generation: 2,
  mode: 'enforce',
  onNodes: false,
  problems: [],
  unsupported: [],
  warnings: [],
  refused: undefined,
  nodes: ['a', 'b', 'c'],
  revision: 9,
};
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

describe('policy status of what is not simply enforced', () => {
  const enforced = (v: Partial<PolicyVerdict>, acks: Record<string, number> = { a: 9, b: 9, c: 9 }) =>
    policyStatus({ ...verdict, ...v }, at(acks), undefined, 't').conditions.find((c) => c.type === 'Enforced')!;

  test('P3-c: a node that is cut off is counted out and named', () => {
    const s = policyStatus(verdict, at({ a: 9, c: 9 }), undefined, 't');
    expect(s).toMatchObject({ enforced: '2/3', pendingNodes: ['b'] });
    expect(s.conditions.find((c) => c.type === 'Enforced')!.message).toBe('2/3 nodes at revision 9; waiting for b');
  });

  test('a shadow policy is recorded, never enforced', () => {
    expect(enforced({ mode: 'shadow' })).toMatchObject({
      status: 'False',
      reason: 'Shadow',
      message: 'recorded, not enforced, on 3/3 nodes at revision 9',
    });
    expect(enforced({ mode: 'shadow' }, { a: 9 }).message).toBe('recorded, not enforced, on 1/3 nodes at revision 9; waiting for b, c');
  });

  test('a refused policy says why and what for', () => {
    const refused = { reason: 'CapacityExceeded', message: 'map policy of node a needs 70000 rows, it has room for 65536' };
    expect(enforced({ refused })).toMatchObject({ status: 'False', ...refused });
    expect(policyStatus({ ...verdict, refused }, at({ a: 9 }), undefined, 't').enforced).toBe('0/3');
  });

  test('warnings of the cluster stand beside those of the object', () => {
    const s = policyStatus({ ...verdict, warnings: ['spec.x: odd'] }, at({}), undefined, 't', ['selects no pod']);
    expect(s.conditions[0]).toMatchObject({
      type: 'Valid',
      status: 'True',
      reason: 'ValidWithWarnings',
      message: 'Policy validation succeeded; spec.x: odd; selects no pod',
    });
  });

  test('conditions of somebody else are no trouble', () => {
    const held = { conditions: 'nonsense' } as never;
    expect(policyStatus(verdict, at({}), held, 't').conditions).toHaveLength(3);
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

  test.each([
    [{ loadBalancerDsrDispatch: 'geneve' }, 'loadBalancerDsrDispatch: geneve is not there'],
    [{ loadBalancerDsrDispatch: 'ipip' }, 'loadBalancerDsrDispatch: ipip needs backends that take the outer header off'],
    [{ nodePortRange: '32767,30000' }, 'nodePortRange: must be two ports'],
    [{ loadBalancerMode: 'ipvs' }, 'loadBalancerMode: must be one of snat, dsr, hybrid, annotation'],
  ])('%j is refused', (document, why) => {
    const r = parseConfig(document, {});
    expect(r.ok ? '' : r.error.message).toContain(why);
  });

  test('other node ports are fine', () => {
    expect(parseConfig({ nodePortRange: '20000,22767' }, {}).ok).toBe(true);
  });

  test('the environment names the pod', () => {
    const r = parseConfig({}, { POD_NAME: 'op-1', POD_IP: 'fd00::1' });
    expect(r.ok && r.value.podName).toBe('op-1');
    expect(r.ok && r.value.advertiseAddress).toBe('fd00::1');
  });
});
