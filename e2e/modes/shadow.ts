// Shadow policies on real packets: nothing changes for the traffic, what they would do is reported with the rule, and enforcing them
// does exactly that.
import { afterEach, describe, test } from '@jest/globals';
import type { KubeObject } from '../truth/api.ts';
import type { Cell, Expect } from '../truth/cell.ts';
import type { FlowLine } from '../truth/drops.ts';
import { anp, app, cnp, ingress, inNamespace, knp, named, open, pods, podsOf, type Spec, sentBy } from '../truth/dsl.ts';
import { type Stage, settled } from '../truth/run.ts';
import { isLocalHost } from '../truth/table.ts';

const annotation = 'policy.axoneme.io/mode';
const a = named('shop/a');
const shadowed = (o: KubeObject, mode: 'shadow' | 'enforce' = 'shadow'): KubeObject => ({
  ...o,
  metadata: { ...o.metadata, annotations: { [annotation]: mode } },
});
const blogOnly = cnp('trial', { endpointSelector: app('a'), ingress: [{ fromEndpoints: [inNamespace('blog')] }] });

/** Among the packets that pass, those of `dropped` are reported as what a shadow would drop by `rule`, no others. */
const wouldDrop =
  (dropped: (c: Cell) => boolean, rule: RegExp) =>
  (c: Cell, lines: readonly FlowLine[]): string | undefined => {
    const said = lines.filter((l) => l.shadow?.verdict === 'DROPPED');
    if (!dropped(c)) return said.length === 0 ? undefined : `a shadow would drop it: ${said[0]!.shadow!.rule}`;
    if (said.length === 0) return `no shadow would drop it, ${lines.length} lines`;
    return said.every((l) => rule.test(l.shadow!.rule)) ? undefined : `by ${said[0]!.shadow!.rule}`;
  };

interface Trial {
  readonly name: string;
  readonly policy: KubeObject;
  /** What it does when it is enforced. */
  readonly enforced: Expect;
  readonly rule: RegExp;
  readonly objects?: readonly KubeObject[];
  /** What passes without it; default: everything. */
  readonly now?: Expect;
}

const team = (name: string): Spec => ({ namespaces: { matchLabels: { team: name } } });
const trials: readonly Trial[] = [
  { name: 'a CiliumNetworkPolicy', policy: blogOnly, enforced: ingress(a, sentBy(podsOf('blog'))), rule: /shop\/trial/ },
  {
    name: 'a NetworkPolicy',
    policy: knp('trial', { podSelector: app('a'), ingress: [{ from: [{ podSelector: {} }] }] }),
    enforced: ingress(a, sentBy(podsOf('shop'))),
    rule: /shop\/trial/,
  },
  {
    name: 'an AdminNetworkPolicy',
    policy: anp('trial', 10, { subject: team('shop'), ingress: [{ action: 'Deny', from: [team('blog')] }] }),
    enforced: (c) => (podsOf('shop')(c.to) && podsOf('blog')(c.from) ? 181 : 'pass'),
    rule: /trial/,
  },
  {
    name: 'a deny beside enforced policies',
    objects: [cnp('real', { endpointSelector: app('a'), ingress: [{ fromEntities: ['cluster'] }] })],
    now: ingress(a, (c) => c.from.kind !== 'world'),
    policy: cnp('trial', { endpointSelector: app('a'), ingressDeny: [{ fromEndpoints: [inNamespace('bank')] }] }),
    enforced: ingress(a, (c) => c.from.kind !== 'world', sentBy(podsOf('bank'))),
    rule: /shop\/trial/,
  },
];

export function describeShadows(stage: () => Stage): void {
  describe('shadow policies', () => {
    let used: readonly KubeObject[] = [];
    const mode = (o: KubeObject, value: string): Promise<void> => stage().api.annotate(o, { [annotation]: value });

    afterEach(async () => {
      await stage().api.remove(...used);
      await stage().matches(open);
    }, 30_000);

    test.each(trials)(
      '$name: reported, not enforced; then enforced, then not again',
      async ({ policy, enforced, rule, objects = [], now = open }) => {
        const t = stage();
        used = [...objects, policy];
        await t.api.apply(...objects, shadowed(policy));
        for (const o of objects) await settled(t.api, o);
        // the report tells when the shadow has arrived
        const report = wouldDrop((c) => now(c) === 'pass' && enforced(c) !== 'pass', rule);
        await t.matches(now, { report, reportWithinMs: 10_000 });
        await mode(policy, 'enforce');
        await t.matches(enforced);
        await mode(policy, 'shadow');
        await t.matches(now, { report, reportWithinMs: 10_000 });
      },
      60_000,
    );

    test('a shadow allow opens nothing; that it would is reported', async () => {
      const t = stage();
      const real = cnp('real', { endpointSelector: app('a'), ingress: [{ fromEndpoints: [app('b')] }] });
      const trial = cnp('trial', { endpointSelector: app('a'), ingress: [{ fromEndpoints: [inNamespace('blog')] }] });
      used = [real, trial];
      await t.api.apply(real, shadowed(trial));
      await settled(t.api, real);
      await t.matches(ingress(a, sentBy(named('shop/b'))), {
        reportWithinMs: 10_000,
        report: (c, lines) => {
          const said = lines.some((l) => l.shadow?.verdict === 'FORWARDED' && /shop\/trial/.test(l.shadow.rule));
          const wanted = a(c.to) && podsOf('blog')(c.from);
          return said === wanted ? undefined : wanted ? 'not reported as what a shadow would let pass' : 'a shadow would let it pass';
        },
      });
      await mode(trial, 'enforce');
      await t.matches(ingress(a, (c) => named('shop/b')(c.from) || podsOf('blog')(c.from)));
    }, 60_000);

    test('a shadow of one pod says nothing about others and weakens nothing', async () => {
      const t = stage();
      const real = cnp('real', {
        endpointSelector: {},
        ingressDeny: [{ fromEndpoints: [inNamespace('bank')] }],
        enableDefaultDeny: { ingress: false },
      });
      const trial = cnp('trial', { endpointSelector: app('a'), ingress: [{ fromEntities: ['all'] }] });
      used = [real, trial];
      await t.api.apply(real, shadowed(trial));
      await settled(t.api, real);
      await t.matches((c) => (podsOf('shop')(c.to) && podsOf('bank')(c.from) && !isLocalHost(c) ? 181 : 'pass'), {
        report: (c, lines) =>
          lines.every((l) => l.shadow === null) || !pods(c.to) ? undefined : `a shadow differs: ${JSON.stringify(lines[0]?.shadow)}`,
      });
    }, 60_000);
  });
}
