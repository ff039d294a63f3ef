// Decisions of the controllers that need no cluster: rolling updates, placement, endpoints.
import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import type { KubeObject } from '../src/apiserver/types.ts';
import { rollingStep, templateHash } from '../src/controllers/deployment.ts';
import { groupsOf } from '../src/controllers/endpoints.ts';
import { choose } from '../src/controllers/scheduler.ts';
import { scaled } from '../src/controllers/shapes.ts';

const node = (name: string, ready = true, extra: object = {}): KubeObject => ({
  metadata: { name, labels: { 'kubernetes.io/hostname': name } },
  spec: extra,
  status: { conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
});
const pod = (name: string, spec: object = {}, extra: object = {}): KubeObject => ({
  metadata: { name, namespace: 'default', labels: { app: 'a' }, ...extra },
  spec: { containers: [], ...spec },
});

describe('rolling update', () => {
  test('never exceeds the surge, never drops below the minimum, and ends', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 0, max: 4 }),
        fc.integer({ min: 0, max: 4 }),
        (replicas, surge, unavailable) => {
          fc.pre(surge + unavailable > 0);
          let current = { wanted: 0, replicas: 0, ready: 0 };
          let old = { wanted: replicas, replicas, ready: replicas };
          for (let i = 0; i < 60; i++) {
            const step = rollingStep(replicas, current, [old], surge, unavailable);
            const left = step.old[0] as number;
            // grown pods are not ready at once: readiness counts what was there before
            expect(step.current + left).toBeLessThanOrEqual(replicas + surge);
            expect(Math.min(current.ready, step.current) + Math.min(old.ready, left)).toBeGreaterThanOrEqual(replicas - unavailable);
            current = { wanted: step.current, replicas: step.current, ready: step.current };
            old = { wanted: left, replicas: left, ready: left };
            if (current.wanted === replicas && left === 0) return;
          }
          expect([current.wanted, old.wanted]).toEqual([replicas, 0]);
        },
      ),
    );
  });

  test('sick pods of the old template go first', () => {
    const step = rollingStep(4, { wanted: 1, replicas: 1, ready: 0 }, [{ wanted: 4, replicas: 4, ready: 2 }], 1, 0);
    expect(step.old).toEqual([2]);
  });

  test('percentages round up for surge and down for unavailability', () => {
    expect([scaled('25%', 3, 0, true), scaled('25%', 3, 0, false), scaled(undefined, 8, '25%', true)]).toEqual([1, 0, 2]);
  });

  test('the hash depends on content, not on the order of keys', () => {
    expect(templateHash({ a: 1, b: { c: 2, d: 3 } })).toBe(templateHash({ b: { d: 3, c: 2 }, a: 1 }));
    expect(templateHash({ a: 1 })).not.toBe(templateHash({ a: 2 }));
  });
});

describe('scheduler', () => {
  const nodes = [node('n1'), node('n2'), node('n3', false)];
  const owner = { ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'r', uid: 'u', controller: true }] };

  test('pods of one owner go apart, unready nodes take none', () => {
    const first = pod('p1', { nodeName: 'n1' }, owner);
    expect(choose(pod('p2', {}, owner), nodes, [{ pod: first, node: nodes[0] as KubeObject }])).toEqual({ node: 'n2' });
  });

  test('a toleration opens an unready node; a selector decides', () => {
    const spec = { tolerations: [{ operator: 'Exists' }], nodeSelector: { 'kubernetes.io/hostname': 'n3' } };
    expect(choose(pod('p', spec), nodes, [])).toEqual({ node: 'n3' });
    expect(choose(pod('p', { nodeSelector: spec.nodeSelector }), nodes, [])).toEqual({
      why: "0/3 nodes are available: 2 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.",
    });
  });

  test('required affinity and anti-affinity and host ports', () => {
    const there = { pod: pod('x', { nodeName: 'n2', containers: [{ ports: [{ hostPort: 80 }] }] }), node: nodes[1] as KubeObject };
    const term = [{ topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'a' } } }];
    const near = { affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: term } } };
    const apart = { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: term } } };
    expect(choose(pod('p', near), nodes, [there])).toEqual({ node: 'n2' });
    expect(choose(pod('p', apart), nodes, [there])).toEqual({ node: 'n1' });
    expect(choose(pod('p', { containers: [{ ports: [{ hostPort: 80 }] }] }), nodes, [there])).toEqual({ node: 'n1' });
  });
});

describe('endpoints', () => {
  const status = (ready: boolean, ...ips: string[]): object => ({
    phase: 'Running',
    podIPs: ips.map((ip) => ({ ip })),
    conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
  });
  const backend = (name: string, ready: boolean, port: number, extra: object, ...ips: string[]): KubeObject => ({
    ...pod(name, { containers: [{ ports: [{ name: 'http', containerPort: port }] }] }, extra),
    status: status(ready, ...ips),
  });
  const service: KubeObject = {
    metadata: { name: 's', namespace: 'default' },
    spec: { selector: { app: 'a' }, ipFamilies: ['IPv4', 'IPv6'], ports: [{ name: 'web', port: 80, targetPort: 'http' }] },
  };

  test('named ports, both families, readiness and termination', () => {
    const pods = [
      backend('a', true, 8080, {}, '10.0.0.1', 'fd00::1'),
      backend('b', false, 8080, {}, '10.0.0.2'),
      backend('c', true, 8080, { deletionTimestamp: '2026-01-01T00:00:00Z' }, '10.0.0.3'),
      backend('d', true, 9090, {}, '10.0.0.4'),
      backend('e', true, 8080, { labels: { app: 'other' } }, '10.0.0.5'),
    ];
    const view = groupsOf(service, pods).map((g) => ({
      family: g.family,
      port: g.ports[0]?.port,
      targets: g.targets.map((t) =>
        `${t.address} ${t.ready ? 'ready' : 'not'} ${t.serving ? 'serving' : 'not'} ${t.terminating ? 'terminating' : ''}`.trim(),
      ),
    }));
    expect(view).toEqual([
      { family: 'IPv4', port: 8080, targets: ['10.0.0.1 ready serving', '10.0.0.2 not not', '10.0.0.3 not serving terminating'] },
      { family: 'IPv4', port: 9090, targets: ['10.0.0.4 ready serving'] },
      { family: 'IPv6', port: 8080, targets: ['fd00::1 ready serving'] },
    ]);
  });
});
