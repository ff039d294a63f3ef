import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { SCHEMA_DIGEST } from '@axoneme/datapath';
import { Ack, artifactDigest, Hello, Nack } from '@axoneme/proto';
import { afterAll, describe, expect, test } from '@jest/globals';
import { createDatapathRollout, type DatapathRollout, OBJECT_NAMES, type ObjectSet, readTargetObjects } from '../src/compile/datapath.ts';
import { planRollout, type RolloutInput, type RolloutNode, type RolloutPlan } from '../src/compile/rollout.ts';

const at = (name: string, more: Partial<RolloutNode> = {}): RolloutNode => ({
  name,
  running: 'old',
  target: 'new',
  connected: true,
  fresh: false,
  suits: true,
  refused: undefined,
  ...more,
});
const plan = (nodes: readonly RolloutNode[], turn?: string, mode: RolloutInput['mode'] = 'one-by-one'): RolloutPlan =>
  planRollout({ mode, nodes, turn });
const sets = (p: RolloutPlan): Record<string, string> => Object.fromEntries(p.sets);

describe('who runs which objects', () => {
  test('one node at a time, by name, whatever the order of the input', () => {
    const p = plan([at('c'), at('a'), at('b')]);
    expect(sets(p)).toEqual({ a: 'new', b: 'old', c: 'old' });
    expect(p).toMatchObject({ turn: 'a', waiting: 2, stopped: undefined });
    expect(plan([at('b'), at('c'), at('a')])).toEqual(p);
  });

  test('the next one only after the one before runs them and is connected', () => {
    expect(plan([at('a'), at('b')], 'a').turn).toBe('a');
    expect(plan([at('a', { connected: false }), at('b')], 'a').turn).toBe('a');
    expect(plan([at('a', { running: 'new', connected: false }), at('b')], 'a').turn).toBe('a');
    expect(plan([at('a', { running: 'new' }), at('b')], 'a')).toMatchObject({ turn: 'b', waiting: 0 });
    expect(plan([at('b')], 'a').turn).toBe('b');
  });

  test('every rollout ends, and nobody moves while another one moves', () => {
    let nodes = ['d', 'b', 'a', 'c'].map((n) => at(n));
    let turn: string | undefined;
    const order: string[] = [];
    for (let i = 0; i < 10; i++) {
      const p = plan(nodes, turn);
      turn = p.turn;
      const moving = nodes.filter((n) => n.running === 'old' && p.sets.get(n.name) === 'new');
      expect(moving.length).toBe(Math.min(1, nodes.filter((n) => n.running === 'old').length));
      order.push(...moving.map((n) => n.name));
      nodes = nodes.map((n) => ({ ...n, running: p.sets.get(n.name)! }));
    }
    expect(order).toEqual(['a', 'b', 'c', 'd']);
  });

  test('a refusal stops it: the node keeps what it runs, nobody else moves', () => {
    const p = plan([at('a', { running: 'new' }), at('b', { refused: 'no such helper' }), at('c')], 'b');
    expect(sets(p)).toEqual({ a: 'new', b: 'old', c: 'old' });
    expect(p).toMatchObject({ turn: undefined, waiting: 2, stopped: { node: 'b', reason: 'no such helper' } });
  });

  test('nodes that are not connected or whose agent has other tables do not hold up others', () => {
    const p = plan([at('a', { connected: false }), at('b', { suits: false }), at('c')]);
    expect(sets(p)).toEqual({ a: 'old', b: 'old', c: 'new' });
  });

  test('new nodes get the target at once, during a stopped rollout too', () => {
    expect(sets(plan([at('a', { refused: 'no' }), at('n', { fresh: true })]))).toEqual({ a: 'old', n: 'new' });
  });

  test('all at once means all that did not refuse', () => {
    const p = plan([at('a'), at('b', { refused: 'no' }), at('c')], undefined, 'all');
    expect(sets(p)).toEqual({ a: 'new', b: 'old', c: 'new' });
    expect(p.stopped?.node).toBe('b');
  });
});

describe('artifacts of a node', () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'axo-objects-'));
  for (const n of OBJECT_NAMES) writeFileSync(path.join(dir, `${n}.o`), `bytes of ${n}`);
  const target = readTargetObjects(dir);
  const hashes = Object.values(target.set);
  const all = 1 + OBJECT_NAMES.length;
  const old: ObjectSet = Object.fromEntries(OBJECT_NAMES.map((n) => [n, `old-${n}`]));
  afterAll(() => rmSync(dir, { recursive: true }));

  const hello = (running: ObjectSet, builtin: ObjectSet, more: Partial<Hello> = {}): Hello =>
    Hello.fromPartial({
      features: ['objects'],
      schemaDigest: SCHEMA_DIGEST,
      revision: 7,
      datapath: { running: { ...running }, builtin: { ...builtin }, stored: {} },
      ...more,
    });
  const names = (r: DatapathRollout, node: string): string[] => r.own(node).list.map((a) => a.name);
  const cluster = { has: () => true };
  const create = (t = true): DatapathRollout =>
    createDatapathRollout({ target: t ? target : undefined, mode: 'one-by-one', onChange: () => undefined });

  test('a node that has the objects in its image is sent none', () => {
    const r = create();
    r.hello('n', hello(target.set, target.set, { revision: 0 }));
    expect(names(r, 'n')).toEqual(['node/datapath']);
    const [set] = r.own('n').list;
    expect(artifactDigest(r.body('node/datapath', set!.digest)!)).toBe(set!.digest);
  });

  test('other nodes are sent all of them when it is their turn, and keep what they run until then', () => {
    const r = create();
    r.hello('a', hello(old, old));
    r.hello('b', hello(old, old));
    expect(names(r, 'a')).toEqual(['node/datapath']);
    const waiting = r.own('b').text;
    r.plan(cluster);
    expect(names(r, 'a')).toEqual(['node/datapath', ...hashes.map((h) => `object/${h}`)]);
    for (const a of r.own('a').list) expect(artifactDigest(r.body(a.name, a.digest)!)).toBe(a.digest);
    expect(r.own('b').text).toBe(waiting);
    r.ack('a', Ack.fromPartial({ running: { ...target.set } }));
    r.plan(cluster);
    expect(names(r, 'b')).toHaveLength(all);
    expect(r.health()).toEqual({ state: 'ok' });
  });

  test('an operator that starts in the middle goes on where the nodes are', () => {
    const r = create();
    r.hello('b', hello(old, old));
    r.hello('a', hello(target.set, old));
    r.plan(cluster);
    expect([names(r, 'a').length, names(r, 'b').length]).toEqual([all, all]);
  });

  test('what a node stores and runs stays desired until its turn, though this operator has no bytes of it', () => {
    const r = create();
    const digest = Buffer.alloc(16, 3);
    const stored = Object.fromEntries(Object.values(old).map((h) => [h, digest]));
    r.hello('a', hello(old, old));
    r.hello('b', hello(old, {}, { datapath: { running: { ...old }, builtin: {}, stored } }));
    r.plan(cluster);
    expect(names(r, 'b')).toEqual(['node/datapath', ...Object.values(old).map((h) => `object/${h}`)]);
    expect(r.own('b').list[1]!.digest).toBe(digest.toString('hex'));
  });

  test('a refusal degrades the component and gives the node back what it runs; another build of the agent gets another chance', () => {
    const r = create();
    r.hello('a', hello(old, old));
    r.plan(cluster);
    r.nack('a', Nack.fromPartial({ code: 'agent/table-full', reason: 'full' }));
    expect(r.health()).toEqual({ state: 'ok' });
    r.nack('a', Nack.fromPartial({ code: 'agent/object-rejected', reason: 'unknown opcode ff' }));
    r.plan(cluster);
    expect(names(r, 'a')).toEqual(['node/datapath']);
    expect(r.health()).toEqual({ state: 'degraded', reason: 'stopped: node a refused the objects: unknown opcode ff' });
    r.hello('a', hello(old, old, { agentBuild: 'next' }));
    r.plan(cluster);
    expect(names(r, 'a')).toHaveLength(all);
  });

  test('agents that know nothing of this are left alone', () => {
    const r = create();
    r.hello('a', Hello.fromPartial({ revision: 7 }));
    r.plan(cluster);
    expect(r.own('a')).toEqual({ text: '', list: [] });
  });

  test('without objects of its own the operator brings nodes back to their images, one by one', () => {
    const r = create(false);
    r.hello('a', hello(target.set, old));
    r.hello('b', hello(target.set, old));
    r.plan(cluster);
    expect([names(r, 'a'), names(r, 'b')]).toEqual([[], ['node/datapath']]);
  });
});
