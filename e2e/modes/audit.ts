// Audit: what policy would drop passes and is reported. Of one pod by its annotation, of every node by the chart; and the enforcement modes.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { until } from '../fixture.ts';
import type { Cell, Expect } from '../truth/cell.ts';
import type { FlowLine } from '../truth/drops.ts';
import { app, both, cnp, egress, ingress, named, nobody, open, podRef, pods, podsOf } from '../truth/dsl.ts';
import { type Stage, settled } from '../truth/run.ts';
import type { MatchOptions } from '../truth/table.ts';

const annotation = 'policy.axoneme.io/audit';

/** Cells that `strict` would drop pass with verdict AUDIT, the rule and its reason, the others without. */
const audited =
  (strict: Expect) =>
  (c: Cell, lines: readonly FlowLine[]): string | undefined => {
    const said = lines.filter((l) => l.verdict === 'AUDIT');
    const wanted = strict(c);
    if (wanted === 'pass') return said.length === 0 ? undefined : 'audited';
    if (said.length === 0) return `not audited, ${lines.length} lines`;
    const right = said.every((l) => /shop\/closed/.test(l.rule) && l.dropReasonNumber === wanted);
    return right ? undefined : `audited by ${said[0]!.rule || 'no rule'}, reason ${said[0]!.dropReasonNumber}`;
  };

export function describeAudit(stage: () => Stage): void {
  describe('audit of one pod', () => {
    const policy = cnp('closed', { endpointSelector: {}, ingress: [{}], egress: [{ toEntities: ['all'] }] });
    const others: Expect = ingress(named('shop/b', 'shop/c'), nobody);

    beforeAll(async () => {
      await stage().api.apply(policy);
      await settled(stage().api, policy);
    }, 30_000);
    afterAll(async () => {
      await stage().api.annotate(podRef('shop', 'a'), { [annotation]: null });
      await stage().api.remove(policy);
      await stage().matches(open);
    }, 30_000);

    test('28: its packets pass and are reported; those of other pods drop', async () => {
      const t = stage();
      await t.matches(ingress(podsOf('shop'), nobody));
      await t.api.annotate(podRef('shop', 'a'), { [annotation]: 'enabled' });
      await t.matches(others, {
        report: (c, lines) => (c.to.name === 'shop/a' ? audited(ingress(named('shop/a'), nobody))(c, lines) : undefined),
      });
      await t.api.annotate(podRef('shop', 'a'), { [annotation]: 'disabled' });
      await t.matches(ingress(podsOf('shop'), nobody));
    }, 60_000);
  });
}

/** Settings of the chart, one after the other; the operator starts anew with each. */
export function describeChartModes(stage: () => Stage): void {
  describe('modes of the chart', () => {
    const policy = cnp('closed', { endpointSelector: app('a'), ingress: [{}] });
    const alone: Expect = ingress(named('shop/a'), nobody);
    const set = async (...values: readonly string[]): Promise<void> => {
      const t = stage();
      await t.fixture.sandbox.install(values.flatMap((v) => ['--set', v]));
      await until('the operator answers', 30_000, async () => (await t.fixture.cli('status', '-o', 'json')) !== '' || undefined, 250);
    };
    // the monitor went with the operator: reasons are not asked for
    const matches = (e: Expect, o: MatchOptions = {}): Promise<unknown> => stage().matches(e, { withinMs: 30_000, silent: true, ...o });

    beforeAll(async () => {
      await stage().api.apply(policy);
      await settled(stage().api, policy);
    }, 30_000);
    afterAll(async () => {
      await stage().api.remove(policy);
    }, 30_000);

    test('28: policyAuditMode: nothing drops anywhere', async () => {
      await matches(alone);
      await set('policyAuditMode=true');
      await matches(open);
      await set('policyAuditMode=false');
      await matches(alone);
    }, 120_000);

    test('27: policyEnforcementMode always: nothing but the own host gets in, nothing gets out', async () => {
      await set('policyEnforcementMode=always');
      await matches(both(egress(pods, nobody), ingress(pods, nobody)), {
        among: (c) => c.from.ns !== 'api' && (c.from.kind === 'pod' || c.to.kind === 'pod'),
      });
    }, 120_000);

    test('policyEnforcementMode never: everything passes', async () => {
      await set('policyEnforcementMode=never');
      await matches(open);
      expect((await stage().fixture.cli('status')).length).toBeGreaterThan(0);
      await set('policyEnforcementMode=default');
      await matches(alone);
    }, 120_000);
  });
}
