// What the status of a policy says about its parts: peers nobody belongs to, rules a deny stands above.
import type { IdentityId } from '@axoneme/model';
import { podLabels } from '@axoneme/model';
import { unwrap } from '@axoneme/std';
import { expect, test } from '@jest/globals';
import { createLayeredCompiler, type ParsedPolicy, type PolicyObject, parsePolicy, peerText } from '../src/index.ts';
import { config } from './lab.ts';

const cnp = (name: string, spec: object): ParsedPolicy =>
  unwrap(
    parsePolicy({ kind: 'CiliumNetworkPolicy', metadata: { name, namespace: 'shop' }, spec } as PolicyObject, {
      clusterName: config.clusterName,
    }) as never,
  ) as ParsedPolicy;

const identity = (id: number, app: string) => ({
  id: id as IdentityId,
  labels: podLabels({ podLabels: { app }, namespace: 'shop', namespaceLabels: {}, serviceAccount: 'default', cluster: config.clusterName }),
});

const web = { matchLabels: { app: 'web' } };
const from = (app: string) => ({ fromEndpoints: [{ matchLabels: { app } }] });
const port = (n: string) => ({ toPorts: [{ ports: [{ port: n, protocol: 'TCP' }] }] });

test('a peer that selects nobody is named until somebody comes', () => {
  const compiler = createLayeredCompiler(config);
  const p = cnp('p', { endpointSelector: web, ingress: [from('client'), from('ghost')] });
  compiler.update({ policies: [p], identities: [identity(300, 'web'), identity(301, 'client')] });
  const report = compiler.report(p.key)!;
  expect(report.subjects).toBe(1);
  expect(report.emptyPeers.map((e) => compiler.origin(e.rule)?.index)).toEqual([1]);
  expect(peerText(report.emptyPeers[0]!.peer)).toContain('ghost');
  compiler.update({ identities: [identity(302, 'ghost')] });
  expect(compiler.report(p.key)!.emptyPeers).toEqual([]);
  // an identity outlives its last pod for a while
  expect(compiler.report(p.key, (id) => id !== 302)!.emptyPeers).toHaveLength(1);
});

test('an allow that a deny covers on every subject is shadowed, and the deny is named', () => {
  const compiler = createLayeredCompiler(config);
  const open = cnp('open', {
    endpointSelector: web,
    ingress: [
      { ...from('client'), ...port('80') },
      { ...from('client'), ...port('90') },
    ],
  });
  const closed = cnp('closed', { endpointSelector: {}, ingressDeny: [{ ...from('client'), ...port('80') }] });
  compiler.update({ policies: [open, closed], identities: [identity(300, 'web'), identity(301, 'client')] });
  const { shadowed } = compiler.report(open.key)!;
  expect(shadowed.map((s) => [compiler.origin(s.rule)?.text, compiler.origin(s.by)?.text])).toEqual([
    ['CiliumNetworkPolicy/shop/open#ingress[0]', 'CiliumNetworkPolicy/shop/closed#ingressDeny[0]'],
  ]);
  expect(compiler.report(closed.key)!.shadowed).toEqual([]);
  compiler.update({ removedPolicies: [closed.key] });
  expect(compiler.report(open.key)!.shadowed).toEqual([]);
});

test('covered on some subjects only, or said by another allow too: not shadowed', () => {
  const compiler = createLayeredCompiler(config);
  const open = cnp('open', { endpointSelector: {}, ingress: [{ ...from('client'), ...port('80') }] });
  const twin = cnp('twin', { endpointSelector: {}, ingress: [{ ...from('client'), ...port('80') }] });
  const closed = cnp('closed', { endpointSelector: web, ingressDeny: [from('client')] });
  compiler.update({ policies: [open, twin, closed], identities: [identity(300, 'web'), identity(301, 'client'), identity(302, 'other')] });
  expect(compiler.report(open.key)!.shadowed).toEqual([]);
  compiler.update({ removedPolicies: [closed.key] });
  expect([open, twin].flatMap((p) => compiler.report(p.key)!.shadowed)).toEqual([]);
});

test('nobody is selected: nothing is called shadowed', () => {
  const compiler = createLayeredCompiler(config);
  const p = cnp('p', { endpointSelector: web, ingress: [from('client')] });
  compiler.update({ policies: [p] });
  expect(compiler.report(p.key)).toMatchObject({ subjects: 0, shadowed: [] });
});

test('who is selected, and by whom, follows the objects', () => {
  const compiler = createLayeredCompiler(config);
  const p = cnp('p', { endpointSelector: web, ingress: [from('client')] });
  const all = cnp('all', { endpointSelector: {}, ingress: [{}] });
  compiler.update({ policies: [p, all], identities: [identity(300, 'web'), identity(301, 'client')] });
  const on = (id: number): string[] =>
    compiler
      .policiesOn(id as IdentityId)
      .map((s) => s.name)
      .sort();
  expect([...compiler.selected(p.key)]).toEqual([300]);
  expect([...compiler.selected(all.key)].filter((id) => id > 255).sort((a, b) => a - b)).toEqual([300, 301]);
  expect([on(300), on(301)]).toEqual([['all', 'p'], ['all']]);
  compiler.update({ identities: [identity(302, 'web')], removedPolicies: [all.key] });
  expect([...compiler.selected(p.key)].sort((a, b) => a - b)).toEqual([300, 302]);
  expect([on(300), on(301), on(302)]).toEqual([['p'], [], ['p']]);
});
