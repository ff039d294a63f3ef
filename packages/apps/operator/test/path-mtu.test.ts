import { NodeConfig } from '@axoneme/proto';
import { expect, test } from '@jest/globals';
import { createPathMtus } from '../src/compile/path-mtu.ts';
import { createLab, labConfig } from './lab.ts';

test('nodes that could send more than others take are told, nobody else', () => {
  const mtus = createPathMtus();
  mtus.keep(['a', 'b', 'c']);
  expect([mtus.smallest(), mtus.limit('a')]).toEqual([0, 0]);
  expect(mtus.hear('a', 1450, 0)).toBe(true);
  expect([mtus.hear('a', 1450), mtus.hear('b', 0, 0), mtus.hear('b', 1450)]).toEqual([false, false, true]);
  expect(['a', 'b', 'c'].map(mtus.limit)).toEqual([0, 0, 0]);
  expect(mtus.hear('c', 1400, 0)).toBe(true);
  expect([mtus.smallest(), ...['a', 'b', 'c'].map(mtus.limit)]).toEqual([1400, 1400, 1400, 0]);
  mtus.keep(['a', 'b']);
  expect([mtus.smallest(), ...['a', 'b'].map(mtus.limit)]).toEqual([1450, 0, 0]);
});

test('what nodes were told before stands until all of them were heard', () => {
  const mtus = createPathMtus();
  mtus.keep(['big', 'small']);
  mtus.hear('big', 8950, 1400);
  expect([mtus.smallest(), mtus.limit('big')]).toEqual([1400, 1400]);
  // it got another device while no operator was there
  expect(mtus.hear('small', 8950, 0)).toBe(true);
  expect([mtus.smallest(), mtus.limit('big')]).toEqual([8950, 0]);
});

test('a smaller node changes the configuration of the others, and DSR where its option does not fit any more', () => {
  const lab = createLab(labConfig({ loadBalancerMode: 'dsr' }));
  lab.node('n1', 1);
  lab.node('n2', 2);
  const spec = { type: 'NodePort', clusterIPs: ['10.96.0.1', 'fd96::1'], ports: [{ port: 80, nodePort: 30080 }] };
  lab.world.set('services', 'shop/web', { metadata: { namespace: 'shop', name: 'web' }, spec } as never);
  const pathMtu = (node: string): number => NodeConfig.decode(lab.compiler.nodeConfig(node)!.body.blob).pathMtu;
  const dsr = (): number[] =>
    lab
      .rows<'lb_frontend'>('service/shop/web')
      .filter(([, v]) => (v.flags & 128) !== 0)
      .map(([k]) => k.family);
  const before = lab.compile().services.get('shop/web')!;
  expect([dsr(), before.remarks]).toEqual([[4, 6], []]);

  lab.compiler.pathMtus.hear('n1', 1450, 0);
  lab.compiler.pathMtus.hear('n2', 1300, 0);
  const given = lab.given.get('n1')!.get('node/config');
  expect(lab.compile().services.get('shop/web')!.remarks).toEqual([
    'SNAT instead of DSR: IPv6 packets of 1280 bytes and the 24 that DSR adds do not fit between nodes (1300)',
  ]);
  expect([dsr(), pathMtu('n1'), pathMtu('n2')]).toEqual([[4], 1300, 0]);
  expect(lab.given.get('n1')!.get('node/config')).not.toBe(given);

  lab.compiler.pathMtus.hear('n2', 1450);
  expect(lab.compile().services.get('shop/web')!.remarks).toEqual([]);
  expect([dsr(), pathMtu('n1'), lab.given.get('n1')!.get('node/config')]).toEqual([[4, 6], 0, given]);
});
