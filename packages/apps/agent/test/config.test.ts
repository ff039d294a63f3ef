import { unwrap } from '@axoneme/std';
import { describe, expect, test } from '@jest/globals';
import { parseConfig } from '../src/config/config.ts';

const paths = { objectsDir: '/objects', cniBinary: '/cni' };

describe('config', () => {
  test('defaults, environment and flags in rising order', () => {
    const c = unwrap(
      parseConfig(
        ['--socket', '/a.sock', '--map-sizes=flow4=16384,lb_sock=8192'],
        { NODE_NAME: 'n1', AXONEME_SOCKET: '/b.sock', AXONEME_STATE_DIR: '/s' },
        paths,
      ),
    );
    expect(c).toMatchObject({
      nodeName: 'n1',
      socket: '/a.sock',
      stateDir: '/s',
      objectsDir: '/objects',
      mapSizes: { flow4: 16384, lb_sock: 8192 },
    });
  });

  test.each([
    [['--nosuch=1'], { NODE_NAME: 'n' }, /nosuch/],
    [['extra'], { NODE_NAME: 'n' }, /extra/],
    [[], {}, /NODE_NAME/],
    [['--node-name=Bad_Name'], {}, /Bad_Name/],
    [['--map-sizes=nosuch=5'], { NODE_NAME: 'n' }, /nosuch=5/],
    [['--map-sizes=policy=0'], { NODE_NAME: 'n' }, /policy=0/],
    [['--health-port=http'], { NODE_NAME: 'n' }, /http/],
  ] as const)('%j is refused', (argv, env, why) => {
    const r = parseConfig(argv, env, paths);
    expect(r.ok ? '' : r.error.message).toMatch(why);
  });
});
