import { policyKey, policyValue, subjectKey, subjectValue, unpackRows } from '@axoneme/datapath';
import { labelsToMap } from '@axoneme/model';
import { Workload } from '@axoneme/proto';
import { describe, expect, test } from '@jest/globals';
import { createCompiler } from '../src/compile/compiler.ts';
import { createDispatcher } from '../src/compile/dispatch.ts';
import { createVerdicts } from '../src/compile/verdicts.ts';
import { projectPolicy } from '../src/world/project.ts';
import { createWorld, type World } from '../src/world/world.ts';
import { addNode, addPod, createHubModel, labConfig } from './lab.ts';

const config = labConfig();

/** Desired sets by node, as the dispatcher gives them to the hub. */
function createPlan(
  w: World,
  compiler: ReturnType<typeof createCompiler>,
): (c: ReturnType<typeof compiler.compile>) => Map<string, Map<string, string>> {
  const { given, hub } = createHubModel();
  const dispatcher = createDispatcher({ tables: w.tables, compiler, hub: () => hub as never });
  return (c) => {
    dispatcher.stage(c);
    dispatcher.publish({ revision: 1, epoch: 1 }, new Set());
    return new Map([...given].map(([n, d]) => [n, new Map(d)]));
  };
}

/** A world with two nodes, `web` on n1, `client` on n2, `idle` on n2, and identity objects for all of them. */
function smallWorld(): { world: World; compiler: ReturnType<typeof createCompiler>; ids: Record<string, number> } {
  const world = createWorld();
  const compiler = createCompiler(config);
  world.set('namespaces', 'shop', { name: 'shop', labels: {} });
  addNode(world, 'n1', 1);
  addNode(world, 'n2', 2);
  addPod(world, 'web', 'n1', 5, { app: 'web' });
  addPod(world, 'client', 'n2', 6, { app: 'client' });
  addPod(world, 'idle', 'n2', 7, { app: 'idle' });
  const ids: Record<string, number> = {};
  compiler.podViews(world.tables).forEach((v, i) => {
    ids[v.row.name] = 300 + i;
    world.set('identities', String(300 + i), { id: 300 + i, labels: labelsToMap(v.labels), createdMs: 1 });
  });
  return { world, compiler, ids };
}

const allowClient = (generation = 1): Record<string, unknown> => ({
  metadata: { namespace: 'shop', name: 'web', uid: 'p1', generation },
  spec: {
    endpointSelector: { matchLabels: { app: 'web' } },
    ingress: [{ fromEndpoints: [{ matchLabels: { app: 'client' } }], toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }] }] }],
  },
});

describe('compiling the world', () => {
  test('a policy becomes rows for its subject and goes only to the node that has it', () => {
    const { world, compiler, ids } = smallWorld();
    world.set('policies', 'CiliumNetworkPolicy:shop/web', projectPolicy('CiliumNetworkPolicy', allowClient()));
    const compiled = compiler.compile(world.tables, world.takeDirty());
    const desired = createPlan(world, compiler)(compiled);

    const subject = compiler.artifacts.get(`subject/${ids.web}`)!.body;
    const value = subjectValue.decode(subject.values);
    expect(subjectKey.decode(subject.keys).identity).toBe(ids.web);
    expect(value.flags).toBe(1);
    const policyName = [...desired.get('n1')!.keys()].find((n) => n.startsWith('policy/'))!;
    const rows = unpackRows('policy', compiler.artifacts.get(policyName)!.body.keys, compiler.artifacts.get(policyName)!.body.values);
    expect(rows).toHaveLength(1);
    expect(rows[0]![0]).toMatchObject({ handle: value.handle, peer: ids.client, proto: 6, dirPlen: 16, port: 80 });
    expect(rows[0]![1]).toMatchObject({ verdict: 1 });
    expect(compiled.describeRule(rows[0]![1].ruleId)).toBe('CiliumNetworkPolicy shop/web ingress[0]');
    expect([...desired.get('n2')!.keys()].filter((n) => n.startsWith('policy/'))).toEqual([]);
    expect(desired.get('n1')!.has(`ipcache/${ids.client}`)).toBe(true);
    expect(desired.get('n1')!.has(`ipcache/${ids.idle}`)).toBe(false);
    expect(policyKey.size + policyValue.size).toBe(32);
  });

  test('the address a node has in its blocks is the node’s, with its tunnel', () => {
    const { world, compiler } = smallWorld();
    compiler.compile(world.tables, world.takeDirty());
    const { keys, values } = compiler.artifacts.get('ipcache/nodes')!.body;
    const rows = unpackRows('ipcache', keys, values);
    const row = (prefixlen: number, addr: string) =>
      rows.find(([k]) => k.prefixlen === prefixlen && Buffer.from(k.addr).toString('hex').startsWith(addr))![1];
    const [block, router, router6] = [row(56, '0af401'), row(64, '0af40101'), row(160, 'fd0000100244')];
    expect(block.identity).toBe(99);
    for (const r of [router, router6]) expect(r).toEqual({ ...block, identity: 6 });
  });

  test('workloads go to their node with the identity of the pod', () => {
    const { world, compiler, ids } = smallWorld();
    const compiled = compiler.compile(world.tables, world.takeDirty());
    const desired = createPlan(world, compiler)(compiled);
    expect([...desired.get('n2')!.keys()].filter((n) => n.startsWith('workload/')).sort()).toEqual([
      'workload/shop/client',
      'workload/shop/idle',
    ]);
    const w = Workload.decode(compiler.artifacts.get('workload/shop/client')!.body.blob);
    expect(w).toMatchObject({ namespace: 'shop', pod: 'client', podUid: 'uid-client', identity: ids.client });
  });

  test('a change that concerns another node changes nothing here', () => {
    const { world, compiler } = smallWorld();
    world.set('policies', 'CiliumNetworkPolicy:shop/web', projectPolicy('CiliumNetworkPolicy', allowClient()));
    const plan = createPlan(world, compiler);
    const before = plan(compiler.compile(world.tables, world.takeDirty()));
    const closed = { ...allowClient(2), spec: { endpointSelector: { matchLabels: { app: 'web' } }, ingress: [{}] } };
    world.set('policies', 'CiliumNetworkPolicy:shop/web', projectPolicy('CiliumNetworkPolicy', closed));
    const after = plan(compiler.compile(world.tables, world.takeDirty()));
    expect([...after.get('n2')!]).toEqual([...before.get('n2')!]);
    expect([...after.get('n1')!]).not.toEqual([...before.get('n1')!]);
  });

  test('the same world gives the same artifacts whatever its history', () => {
    const a = smallWorld();
    a.world.set('policies', 'CiliumNetworkPolicy:shop/web', projectPolicy('CiliumNetworkPolicy', allowClient()));
    const compiledA = a.compiler.compile(a.world.tables, a.world.takeDirty());
    const b = smallWorld();
    b.compiler.compile(b.world.tables, b.world.takeDirty());
    b.world.set(
      'policies',
      'CiliumNetworkPolicy:shop/other',
      projectPolicy('CiliumNetworkPolicy', { ...allowClient(), metadata: { namespace: 'shop', name: 'other', uid: 'p9', generation: 1 } }),
    );
    b.compiler.compile(b.world.tables, b.world.takeDirty());
    b.world.remove('policies', 'CiliumNetworkPolicy:shop/other');
    b.world.set('policies', 'CiliumNetworkPolicy:shop/web', projectPolicy('CiliumNetworkPolicy', allowClient()));
    const compiledB = b.compiler.compile(b.world.tables, b.world.takeDirty());
    const plan = (w: typeof a, c: typeof compiledA) =>
      [...createPlan(w.world, w.compiler)(c)].map(([n, d]) => [n, [...d].map(([name, digest]) => `${name}=${digest}`).sort()]);
    expect(plan(b, compiledB)).toEqual(plan(a, compiledA));
  });

  test('an invalid policy has no effect and names the field', () => {
    const { world, compiler } = smallWorld();
    const bad = {
      ...allowClient(),
      spec: { endpointSelector: {}, ingress: [{ toPorts: [{ ports: [{ port: '70000', protocol: 'TCP' }] }] }] },
    };
    world.set('policies', 'CiliumNetworkPolicy:shop/web', projectPolicy('CiliumNetworkPolicy', bad));
    const compiled = compiler.compile(world.tables, world.takeDirty());
    const verdicts = createVerdicts();
    verdicts.update(compiled, 7, compiler.takeVerdictChanges());
    expect(verdicts.get('CiliumNetworkPolicy:shop/web')!.problems.join()).toContain('spec.ingress[0].toPorts[0].ports[0].port');
    expect([...compiler.artifacts.names()].filter((n) => n.startsWith('policy/'))).toEqual([]);
  });

  test('verdicts name the nodes with selected pods', () => {
    const { world, compiler } = smallWorld();
    world.set('policies', 'CiliumNetworkPolicy:shop/web', projectPolicy('CiliumNetworkPolicy', allowClient()));
    const verdicts = createVerdicts();
    verdicts.update(compiler.compile(world.tables, world.takeDirty()), 3, compiler.takeVerdictChanges());
    expect(verdicts.get('CiliumNetworkPolicy:shop/web')).toMatchObject({ nodes: ['n1'], revision: 3, problems: [], generation: 1 });
  });
});
