import { EventFlag, EventType, event, Shadow } from '@axoneme/datapath';
import { describe, expect, test } from '@jest/globals';
import { createFlows } from '../src/report/flows.ts';

const base = {
  timeNs: 1_000_000n,
  saddr: Uint8Array.from([10, 0, 0, 1, ...new Uint8Array(12)]),
  daddr: Uint8Array.from([10, 0, 0, 2, ...new Uint8Array(12)]),
  sport: 4000,
  dport: 80,
  proto: 6,
  family: 4,
  type: EventType.verdict,
  reason: 0,
  srcIdentity: 300,
  dstIdentity: 301,
  ruleId: [11, 12],
  ifindex: 3,
  length: 74,
  srcEndpoint: 1,
  dstEndpoint: 2,
  direction: 0,
  hook: 1,
  flags: 0,
  tcpFlags: 2,
  icmpType: 0,
  icmpCode: 0,
  nextHop: 1,
  natPort: 0,
  shadow: new Uint8Array(2),
  shadowRule: [0, 0],
} as const;

const sample = (e: Partial<typeof base> | object) => {
  const flows = createFlows();
  flows.want(true);
  flows.take(Buffer.from(event.encode({ ...base, ...e })), 0, event.size);
  return flows.drain(9)[0];
};

describe('flow samples', () => {
  test('carry what the shadow would have done, of the direction of the verdict first', () => {
    expect(sample({})).toMatchObject({ shadow: 0, shadowRuleId: 0, ruleId: 11, verdict: 1 });
    expect(sample({ shadow: Uint8Array.from([Shadow.same, Shadow.same]) })).toMatchObject({ shadow: 0 });
    const both = { shadow: Uint8Array.from([Shadow.deny, Shadow.defaultDeny]), shadowRule: [21, 22], flags: EventFlag.shadow };
    expect(sample(both)).toMatchObject({ shadow: 3, shadowRuleId: 21, shadowDirection: 0 });
    expect(sample({ ...both, direction: 1 })).toMatchObject({ shadow: 2, shadowRuleId: 22, shadowDirection: 1, ruleId: 12 });
    const egress = { shadow: Uint8Array.from([Shadow.same, Shadow.pass]), shadowRule: [0, 22] };
    expect(sample(egress)).toMatchObject({ shadow: 4, shadowRuleId: 22, shadowDirection: 1 });
  });

  test('an audited flow is told as such', () => {
    expect(sample({ flags: EventFlag.audit })).toMatchObject({ verdict: 4, dropReason: 0 });
  });

  test('an event of another build is not read', () => {
    const flows = createFlows();
    flows.want(true);
    flows.take(Buffer.alloc(88), 0, 88);
    expect(flows.drain(9)).toEqual([]);
  });
});
