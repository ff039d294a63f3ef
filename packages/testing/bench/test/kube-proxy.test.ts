// The rules that our tables are measured against are those of kube-proxy: no more of them, and no other matches.
import { expect, test } from '@jest/globals';
import { iptablesChange, iptablesRules, nftablesChange, nftablesRules } from '../src/services/kube-proxy.ts';
import { servicesFor } from '../src/services/ways.ts';

const lines = (text: string, pattern: RegExp): string[] => text.split('\n').filter((l) => pattern.test(l));

test('iptables: one rule a Service in the list, the measured one in the middle, its backends by lot', () => {
  const { all, measured } = servicesFor(10);
  const rules = iptablesRules(all);
  const list = lines(rules, /^-A KUBE-SERVICES /);
  expect(list).toHaveLength(10);
  expect(list[5]).toBe(
    `-A KUBE-SERVICES -d ${measured.vip}/32 -p tcp -m comment --comment "default/svc-000005:http cluster IP" -m tcp --dport 80 -j KUBE-SVC-SVC000005XXXXXXX`,
  );
  const chain = lines(rules, /^-A KUBE-SVC-SVC000005X/);
  expect(chain.map((l) => / -j (\S+)$/.exec(l)![1])).toEqual(['KUBE-MARK-MASQ', 'KUBE-SEP-SVC000005XXXXXX0', 'KUBE-SEP-SVC000005XXXXXX1']);
  expect(chain[1]).toContain('-m statistic --mode random --probability 0.5000000000');
  expect(lines(rules, /DNAT --to-destination 10\.0\.1\.1:7777$/)).toHaveLength(2);
});

test('a change is the chains of the Service alone', () => {
  const { all } = servicesFor(1_000);
  const change = iptablesChange(all.slice(0, 1));
  expect(lines(change, /^-A /)).toHaveLength(7);
  expect(lines(change, /KUBE-SERVICES/)).toHaveLength(0);
  expect(lines(nftablesChange(all.slice(0, 1)), /./)).toHaveLength(14);
});

test('nftables: one element a Service in the verdict map', () => {
  const { all, measured } = servicesFor(10);
  const rules = nftablesRules(all);
  expect(lines(rules, /^add element /)).toHaveLength(10);
  expect(rules).toContain(`${measured.vip} . udp . 80 : goto service-`);
  expect(lines(rules, /numgen random mod 2 vmap/)).toHaveLength(10);
});
