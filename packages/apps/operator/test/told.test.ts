// What users are told, from a real compile: verdicts of every kind of policy, lints of the cluster, invariants, readiness of pods.
import { type IdentityId, labelsToMap } from '@axoneme/model';
import { selectsSubject } from '@axoneme/policy';
import { createFakeClock, createRandom, runSeed } from '@axoneme/testkit';
import { describe, expect, test } from '@jest/globals';
import type { Compiled } from '../src/compile/compiler.ts';
import { nodeLabels } from '../src/compile/hosts.ts';
import { createVerdicts } from '../src/compile/verdicts.ts';
import { invariantStatus } from '../src/status/invariant-writer.ts';
import { createLinter } from '../src/status/lints.ts';
import { createPolicyStatusWriter } from '../src/status/policy-writer.ts';
import { createPodGates, gateState } from '../src/status/readiness.ts';
import { projectPod } from '../src/world/project.ts';
import { createLab, type Lab } from './lab.ts';

function smallLab(): Lab {
  const lab = createLab();
  lab.node('n1', 1, { role: 'edge' });
  lab.node('n2', 2);
  lab.pod('web', 'n1', 5, { app: 'web' });
  lab.pod('client', 'n2', 6, { app: 'client' });
  lab.identities();
  return lab;
}

const web = { matchLabels: { app: 'web' } };
const from = (app: string) => ({ fromEndpoints: [{ matchLabels: { app } }] });

describe('verdicts', () => {
  test('host policies concern the nodes they select, others the nodes of their pods', () => {
    const lab = smallLab();
    const host = lab.policy('CiliumClusterwideNetworkPolicy', 'edge', {
      nodeSelector: { matchLabels: { role: 'edge' } },
      ingress: [{ fromEntities: ['cluster'] }],
    });
    const pods = lab.policy('NetworkPolicy', 'np', { podSelector: {}, policyTypes: ['Ingress'] });
    const verdicts = createVerdicts();
    verdicts.update(lab.compile(), 4, lab.compiler.takeVerdictChanges());
    expect(verdicts.get(host)).toMatchObject({ nodes: ['n1'], onNodes: true, mode: 'enforce', revision: 4 });
    expect(verdicts.get(pods)).toMatchObject({ nodes: ['n1', 'n2'], onNodes: false });
  });

  test('a reference that names nothing is a warning, and its coming is a new revision', () => {
    const lab = smallLab();
    const key = lab.policy('CiliumNetworkPolicy', 'groups', {
      endpointSelector: web,
      egress: [{ toCIDRSet: [{ cidrGroupRef: 'partners' }] }],
    });
    const verdicts = createVerdicts();
    verdicts.update(lab.compile(), 1, lab.compiler.takeVerdictChanges());
    expect(verdicts.get(key)).toMatchObject({
      revision: 1,
      warnings: [expect.stringContaining('CiliumCIDRGroup partners does not exist')],
    });
    verdicts.update(lab.compile(), 2, lab.compiler.takeVerdictChanges());
    expect(verdicts.get(key)!.revision).toBe(1);
    lab.group('partners', ['192.0.2.0/24']);
    verdicts.update(lab.compile(), 3, lab.compiler.takeVerdictChanges());
    expect(verdicts.get(key)).toMatchObject({ revision: 3, warnings: [] });
  });

  test('a refusal comes and goes without another generation; so does the mode', () => {
    const lab = smallLab();
    const key = lab.policy('CiliumNetworkPolicy', 'p', { endpointSelector: web, ingress: [{}] });
    const verdicts = createVerdicts();
    const refusal = { reason: 'CapacityExceeded', message: 'too much' };
    verdicts.update(lab.compile(), 1, lab.compiler.takeVerdictChanges(), new Map([[key, refusal]]));
    const first = verdicts.get(key)!;
    expect(first.refused).toEqual(refusal);
    verdicts.update(lab.compile(), 2, lab.compiler.takeVerdictChanges(), new Map([[key, { ...refusal }]]));
    expect(verdicts.get(key)).toBe(first);
    verdicts.update(lab.compile(), 3, lab.compiler.takeVerdictChanges(), new Map());
    expect(verdicts.get(key)).toMatchObject({ refused: undefined, revision: 3 });
    lab.policy(
      'CiliumNetworkPolicy',
      'p',
      { endpointSelector: web, ingress: [{}] },
      { annotations: { 'policy.axoneme.io/mode': 'shadow' } },
    );
    verdicts.update(lab.compile(), 4, lab.compiler.takeVerdictChanges());
    expect(verdicts.get(key)).toMatchObject({ mode: 'shadow', revision: 4, generation: 1 });
  });
});

describe('verdicts after any history', () => {
  /** From nothing: every rule asked about every pod and node. */
  function nodesFromNothing(lab: Lab, compiled: Compiled, key: string): string[] {
    const { rules } = compiled.policies.get(key)!;
    const pods = compiled.pods.filter((p) => p.identity !== 0 && p.view.row.node !== '');
    const onPods = pods.filter((p) => rules.some((r) => selectsSubject(r, { id: p.identity as IdentityId, labels: p.view.labels })));
    const onHosts = [...lab.world.tables.nodes.values()].filter((n) =>
      rules.some((r) => selectsSubject(r, { id: compiled.hostId(n.name) as IdentityId, labels: nodeLabels(n) })),
    );
    return [...new Set([...onPods.map((p) => p.view.row.node), ...onHosts.map((n) => n.name)])].sort();
  }

  test('nodes of every policy are those of a look at everything', () => {
    const seed = runSeed();
    const random = createRandom(seed);
    const lab = createLab();
    const ids = new Map<string, number>();
    const apps = ['a', 'b', 'c'];
    const nodes = ['n1', 'n2', 'n3', 'n4'];
    const verdicts = createVerdicts();
    let revision = 0;
    let generation = 0;
    const settle = (): Compiled => {
      for (const { labels } of lab.compiler.podViews(lab.world.tables)) {
        if (!ids.has(labels.text)) ids.set(labels.text, 300 + ids.size);
        const id = ids.get(labels.text)!;
        // sometimes the object comes later
        if (!lab.world.tables.identities.has(String(id)) && random.bool(0.7))
          lab.world.set('identities', String(id), { id, labels: labelsToMap(labels), createdMs: 1 });
      }
      return lab.compile();
    };
    const app = () => ({ matchLabels: { app: random.pick(apps) } });
    const policy = (n: number): unknown => {
      const more = { generation: ++generation };
      if (random.bool(0.2)) return lab.drop('CiliumNetworkPolicy', `p${n}`);
      if (random.bool(0.2)) return lab.drop('CiliumClusterwideNetworkPolicy', `p${n}`);
      if (random.bool(0.3))
        return lab.policy(
          'CiliumClusterwideNetworkPolicy',
          `p${n}`,
          { nodeSelector: { matchLabels: { role: random.pick(apps) } }, ingress: [{}] },
          more,
        );
      return lab.policy('CiliumNetworkPolicy', `p${n}`, { endpointSelector: random.bool(0.2) ? {} : app(), ingress: [{}] }, more);
    };
    for (const [i, n] of nodes.entries()) lab.node(n, i + 1);
    for (let step = 0; step < 400; step++) {
      for (let k = random.int(1, 3); k > 0; k--) {
        const n = random.int(1, 6);
        const what = random.int(0, 9);
        if (what < 4) lab.pod(`w${n}`, random.pick(nodes), 10 + n, { app: random.pick(apps) });
        else if (what < 5) lab.world.remove('pods', `shop/w${n}`);
        else if (what < 6) lab.node(random.pick(nodes), 1 + random.int(0, 3), { role: random.pick(apps) });
        else policy(n);
      }
      const compiled = settle();
      verdicts.update(compiled, ++revision, lab.compiler.takeVerdictChanges());
      for (const key of compiled.policies.keys()) {
        const at = `seed ${seed} step ${step} ${key}`;
        expect([at, verdicts.get(key)?.nodes]).toEqual([at, nodesFromNothing(lab, compiled, key)]);
      }
      expect(lab.world.tables.policies.size).toBe(compiled.policies.size);
    }
  }, 30_000);
});

describe('lints of the cluster', () => {
  test('peers and port names that mean nobody, rules a deny covers, a policy without pods', () => {
    const lab = smallLab();
    const port = (name: string) => ({ toPorts: [{ ports: [{ port: name, protocol: 'TCP' }] }] });
    const key = lab.policy('CiliumNetworkPolicy', 'p', {
      endpointSelector: web,
      ingress: [from('ghost'), { ...from('client'), ...port('nonesuch') }, { ...from('client'), ...port('80') }],
      ingressDeny: [from('client')],
    });
    const nobody = lab.policy('CiliumNetworkPolicy', 'nobody', { endpointSelector: { matchLabels: { app: 'x' } }, ingress: [{}] });
    const verdicts = createVerdicts();
    let compiled = lab.compile();
    verdicts.update(compiled, 1, lab.compiler.takeVerdictChanges());
    const linter = createLinter(() => compiled);
    expect(linter.look(key, verdicts.get(key)!)).toBe(true);
    const lints = linter.held(key);
    expect(lints[0]).toMatch(/^spec\.ingress\[0\]: the peer selects no pod \(.*ghost.*\)$/);
    expect(lints.slice(1)).toEqual([
      'port name "nonesuch" is defined by no pod it could mean',
      'spec.ingress[1]: never decides, CiliumNetworkPolicy shop/p ingressDeny[0] stands above it',
      'spec.ingress[2]: never decides, CiliumNetworkPolicy shop/p ingressDeny[0] stands above it',
    ]);
    linter.look(nobody, verdicts.get(nobody)!);
    expect(linter.held(nobody)).toEqual(['selects no pod']);
    // an equal look is no news, and who comes is noticed; the identity alone is not enough
    expect(linter.look(key, verdicts.get(key)!)).toBe(false);
    lab.pod('ghost', 'n2', 9, { app: 'ghost' });
    lab.identities();
    compiled = lab.compile();
    expect(linter.look(key, verdicts.get(key)!)).toBe(true);
    expect(linter.held(key).join()).not.toContain('ghost');
    lab.world.remove('pods', 'shop/ghost');
    compiled = lab.compile();
    expect(linter.look(key, verdicts.get(key)!)).toBe(true);
  });
});

describe('the status writer', () => {
  test('writes what a reader would notice, in the shape of the kind, and looks again when the cluster changed', async () => {
    const lab = smallLab();
    const cnp = lab.policy('CiliumNetworkPolicy', 'p', { endpointSelector: web, ingress: [from('ghost')] });
    lab.policy('NetworkPolicy', 'np', { podSelector: {}, policyTypes: ['Ingress'] });
    lab.policy('AdminNetworkPolicy', 'anp', {
      priority: 1,
      subject: { namespaces: {} },
      ingress: [{ action: 'Deny', from: [{ namespaces: {} }] }],
    });
    const verdicts = createVerdicts();
    let compiled = lab.compile();
    verdicts.update(compiled, 1, lab.compiler.takeVerdictChanges());
    const writes: { kind: string; status: Record<string, unknown> }[] = [];
    const clock = createFakeClock();
    const later: number[] = [];
    let acked = 0;
    const run = createPolicyStatusWriter({
      client: {
        patchStatus: async (r: { kind: string }, _ref: unknown, status: never) => void writes.push({ kind: r.kind, status }),
      } as never,
      world: lab.world,
      clock,
      verdict: verdicts.get,
      changed: verdicts.takeChanged,
      acked: () => acked,
      linter: createLinter(() => compiled),
      state: () => compiled,
      later: (ms) => void later.push(ms),
      assertLeader: () => undefined,
    });
    await run();
    expect(writes.map((w) => [w.kind, Object.keys(w.status).length])).toEqual([
      ['CiliumNetworkPolicy', 5],
      ['AdminNetworkPolicy', 1],
    ]);
    await run();
    expect(writes).toHaveLength(2);
    acked = 1;
    await run();
    expect(writes).toHaveLength(4);
    expect(JSON.stringify(writes[2])).toContain('the peer selects no pod');
    // somebody comes: noticed although the verdict of the policy is the same
    lab.pod('ghost', 'n2', 9, { app: 'ghost' });
    lab.identities();
    compiled = lab.compile();
    const before = verdicts.get(cnp);
    verdicts.update(compiled, 2, lab.compiler.takeVerdictChanges());
    expect(verdicts.get(cnp)).toBe(before);
    await run();
    expect(later).toHaveLength(1);
    clock.advance(later[0]!);
    acked = 2;
    await run();
    const told = writes.filter((w) => w.kind === 'CiliumNetworkPolicy').at(-1);
    expect(JSON.stringify(told)).not.toContain('selects no pod');
    // a new object, an edit and a deletion are noticed without a look at all others
    const count = writes.length;
    const late = lab.policy('CiliumNetworkPolicy', 'late', { endpointSelector: web, ingress: [{}] });
    verdicts.update(lab.compile(), 3, lab.compiler.takeVerdictChanges());
    acked = 3;
    await run();
    expect(writes.length).toBe(count + 1);
    lab.policy('CiliumNetworkPolicy', 'late', { endpointSelector: 7 }, { generation: 2 });
    await run();
    expect(writes.length).toBe(count + 1);
    verdicts.update(lab.compile(), 4, lab.compiler.takeVerdictChanges());
    await run();
    expect(JSON.stringify(writes.at(-1))).toContain('ValidationFailed');
    lab.drop('CiliumNetworkPolicy', 'late');
    verdicts.update(lab.compile(), 5, lab.compiler.takeVerdictChanges());
    await run();
    expect([writes.length, verdicts.get(late)]).toEqual([count + 2, undefined]);
  });
});

describe('invariants', () => {
  test('hold, are broken by whom, or cannot be read', () => {
    const ok = invariantStatus({ problems: [], broken: 0, examples: [] }, 2, 7, undefined, 't1');
    expect(ok.conditions.map((c) => [c.type, c.status])).toEqual([
      ['Valid', 'True'],
      ['Holds', 'True'],
    ]);
    const broken = invariantStatus({ problems: [], broken: 5, examples: ['shop/a → shop/b: dropped'] }, 2, 8, ok, 't2');
    expect(broken.conditions[1]).toMatchObject({
      status: 'False',
      message: '5 pairs break it: shop/a → shop/b: dropped; …',
      lastTransitionTime: 't2',
    });
    expect(broken.conditions[0]!.lastTransitionTime).toBe('t1');
    const bad = invariantStatus({ problems: ['spec.to: selects nothing'], broken: 0, examples: [] }, 3, 9, broken, 't3');
    expect(bad.conditions.map((c) => c.status)).toEqual(['False', 'Unknown']);
  });
});

describe('readiness of pods', () => {
  const gated = (name: string, more: object = {}) =>
    projectPod({
      metadata: { namespace: 'shop', name, uid: `uid-${name}`, labels: { app: name } },
      spec: { nodeName: 'n1', readinessGates: [{ conditionType: 'axoneme.io/policy-enforced' }], ...more },
      status: { phase: 'Running', podIPs: [{ ip: '10.244.1.77' }] },
    });

  test('only pods that ask are watched, from the revision that carries their identity', () => {
    const lab = smallLab();
    const gates = createPodGates(lab.world);
    lab.world.set('pods', 'shop/late', gated('late'));
    const note = (revision: number): void => {
      const dirty = lab.world.takeDirty();
      gates.note(lab.compiler.compile(lab.world.tables, dirty), dirty, revision);
    };
    note(3);
    expect([...gates.pods.keys()]).toEqual(['shop/late']);
    expect(gates.carried('uid-late')).toBeUndefined();
    const ids = lab.identities();
    note(4);
    expect(gates.carried('uid-late')).toEqual({ identity: ids.late, revision: 4 });
    lab.pod('other', 'n1', 44, {});
    note(5);
    expect(gates.carried('uid-late')!.revision).toBe(4);
    lab.world.remove('pods', 'shop/late');
    note(6);
    expect([gates.pods.size, gates.carried('uid-late')]).toEqual([0, undefined]);
  });

  test('open when the node has the revision and the endpoint the identity, with a reason until then', () => {
    const row = gated('late');
    const carried = { identity: 300, revision: 4 };
    const reasons = [
      gateState(row, undefined, undefined, 0),
      gateState(row, carried, undefined, 9),
      gateState(row, carried, { identity: 300 }, 3),
      gateState(row, carried, { identity: 5 }, 4),
      gateState(row, carried, { identity: 300 }, 4),
      gateState(gated('h', { hostNetwork: true }), undefined, undefined, 0),
      gateState(gated('u', { nodeName: '' }), carried, undefined, 0),
    ].map((s) => s && `${s.status} ${s.reason}`);
    expect(reasons).toEqual([
      'False NoIdentity',
      'False NoEndpoint',
      'False Pending',
      'False Pending',
      'True Enforced',
      'True NodeNetwork',
      undefined,
    ]);
  });
});
