// What a state file may say, and what somebody is told who wrote it wrongly.
import { describe, expect, test } from '@jest/globals';
import { readBalancerSpec } from '../../src/index.ts';
import { file, spec, web, wrong } from './files.ts';

describe('a file that is right', () => {
  test('has defaults where it says nothing', () => {
    const [service] = spec({
      name: 'dns',
      vips: [{ address: '192.0.2.53', port: 53, protocol: 'udp' }],
      backends: [{ address: '10.0.0.1' }],
    }).services;
    expect(service).toEqual({
      name: 'dns',
      vips: [{ address: '192.0.2.53', port: 53, protocol: 'UDP' }],
      backends: [{ address: '10.0.0.1', port: 53, weight: 100, state: 'active' }],
      algorithm: 'maglev',
      mode: 'snat',
      affinitySeconds: 0,
      sourceRanges: undefined,
      health: undefined,
    });
    expect(spec()).toEqual({ maglevSize: 16381, noBackend: 'reject', services: [] });
  });

  test('says everything there is to say', () => {
    const [service] = spec(
      web({
        sessionAffinity: '3h',
        sourceRanges: ['198.51.100.0/24', '2001:db8:1::/48', '203.0.113.7'],
        health: {
          type: 'http',
          port: 9000,
          path: '/up',
          host: 'shop.example',
          codes: [204],
          interval: '2s',
          timeout: '250ms',
          rise: 3,
          fall: 1,
        },
      }),
    ).services;
    expect(service?.affinitySeconds).toBe(10_800);
    expect(service?.sourceRanges).toEqual(['198.51.100.0/24', '2001:db8:1::/48', '203.0.113.7/32']);
    expect(service?.health).toEqual({
      ...{ type: 'http', port: 9000, path: '/up', host: 'shop.example', codes: [[204, 204]] },
      ...{ intervalMs: 2000, timeoutMs: 250, rise: 3, fall: 1 },
    });
  });
});

const server = { address: '10.0.0.1', port: 80 };
const vip = { address: '192.0.2.10', port: 80 };
const one = (more: object): object => file({ name: 'web', vips: [vip], backends: [server], ...more });

describe('a file that is wrong names the field and what to write', () => {
  const cases: readonly [title: string, value: unknown, problem: string][] = [
    ['no mapping', 'hello', ': "hello" is no mapping; write the fields maglevTableSize, noBackend, services'],
    ['no services', {}, 'services: is missing; write a list; services: [] is one'],
    ['services is no list', { services: {} }, 'services: {} is no list; write a list'],
    ['a misspelled field', one({ algoritm: 'maglev' }), 'services[0].algoritm: is no field of this; did you mean algorithm?'],
    [
      'a foreign field',
      one({ colour: 'red' }),
      'services[0].colour: is no field of this; the fields are name, vips, backends, algorithm, mode, sessionAffinity, sourceRanges, health',
    ],
    ['no name', one({ name: undefined }), 'services[0].name: is missing; write small letters, digits and dashes, 63 at most'],
    ['a bad name', one({ name: 'My Web' }), 'services[0].name: "My Web" is no name; write small letters, digits and dashes, 63 at most'],
    ['no VIP', one({ vips: [] }), 'services[0].vips: is empty; write one entry at least'],
    ['no backends', one({ backends: undefined }), 'services[0].backends: is missing; write a list with one entry at least'],
    [
      'an address with a prefix',
      one({ vips: [{ address: '192.0.2.10/32', port: 80 }] }),
      'services[0].vips[0].address: "192.0.2.10/32" is no address; write one address as in 192.0.2.10 or "2001:db8::10", without port or prefix',
    ],
    [
      'a loopback address',
      one({ backends: [{ address: '127.0.0.1' }] }),
      'services[0].backends[0].address: 127.0.0.1 cannot be reached from elsewhere; write a unicast address that is not loopback or link-local',
    ],
    [
      'a link-local address',
      one({ backends: [server, { address: 'fe80::1' }] }),
      'services[0].backends[1].address: fe80::1 cannot be reached from elsewhere; write a unicast address that is not loopback or link-local',
    ],
    ['no port', one({ vips: [{ address: '192.0.2.10' }] }), 'services[0].vips[0].port: is missing; write a whole number from 1 to 65535'],
    [
      'a port in quotes',
      one({ vips: [{ ...vip, port: '80' }] }),
      'services[0].vips[0].port: "80" is no whole number; write 1 to 65535, without quotes',
    ],
    ['a port too high', one({ vips: [{ ...vip, port: 70000 }] }), 'services[0].vips[0].port: 70000 is out of range; write 1 to 65535'],
    [
      'a protocol',
      one({ vips: [{ ...vip, protocol: 'icmp' }] }),
      'services[0].vips[0].protocol: "icmp" is not known; write TCP or UDP or SCTP',
    ],
    [
      'a state',
      one({ backends: [{ ...server, state: 'down' }] }),
      'services[0].backends[0].state: "down" is not known; write active or maintenance',
    ],
    ['a weight', one({ backends: [{ ...server, weight: -1 }] }), 'services[0].backends[0].weight: -1 is out of range; write 0 to 65535'],
    [
      'a weight that means nothing',
      one({ algorithm: 'random', backends: [{ ...server, weight: 5 }] }),
      'services[0].backends[0].weight: means nothing with algorithm random; write algorithm: maglev, or leave the weight out',
    ],
    [
      'a backend twice',
      one({ backends: [server, server] }),
      'services[0].backends[1]: is the same backend as services[0].backends[0]; leave one of them out; give the other more weight',
    ],
    [
      'a range with host bits',
      one({ sourceRanges: ['10.0.0.1/8'] }),
      'services[0].sourceRanges[0]: "10.0.0.1/8" is no prefix; write a prefix as in 198.51.100.0/24, without host bits',
    ],
    [
      'no unit',
      one({ sessionAffinity: 30 }),
      'services[0].sessionAffinity: 30 is no duration; write a number with its unit, as in 500ms, 2s, 10m or 3h',
    ],
    [
      'a timeout beyond the interval',
      one({ health: { interval: '1s', timeout: '2s' } }),
      'services[0].health.timeout: is longer than interval; write a timeout of at most the interval',
    ],
    [
      'an HTTP field for tcp',
      one({ health: { path: '/up' } }),
      'services[0].health.path: means nothing with type tcp; write type: http, or leave it out',
    ],
    ['a path', one({ health: { type: 'http', path: 'up' } }), 'services[0].health.path: "up" is no path; begin it with /, without spaces'],
    [
      'a status code',
      one({ health: { type: 'http', codes: ['2xx'] } }),
      'services[0].health.codes[0]: "2xx" is no status code; write a code as in 200 or a range as in 200-299',
    ],
    [
      'a family without backend',
      one({ vips: [vip, { address: '2001:db8::1', port: 80 }] }),
      'services[0].vips[1].address: has no backend of its family; add a backend with an IPv6 address',
    ],
    [
      'a family without VIP',
      one({ backends: [server, { address: 'fd00::1' }] }),
      'services[0].backends[1].address: has no VIP of its family; add a VIP with an IPv6 address, or leave the backend out',
    ],
    [
      'another port with DSR',
      one({ mode: 'dsr', backends: [{ ...server, port: 8080 }] }),
      'services[0].backends[0].port: 8080 is not the port of 192.0.2.10; write port: 80; with mode dsr ports stay as they are',
    ],
    [
      'a VIP as backend',
      one({ backends: [{ address: '192.0.2.10' }] }),
      'services[0].backends[0].address: 192.0.2.10 is the address of services[0].vips[0]; write the address of the server itself',
    ],
    [
      'a size of tables',
      { maglevTableSize: 16_384, services: [] },
      'maglevTableSize: 16384 is no size of a table; write one of 251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071',
    ],
  ];
  test.each(cases)('%s', (_title, value, problem) => {
    expect(wrong(value)).toEqual([problem]);
  });

  test('everything at once, not the first thing', () => {
    const both = file({ name: 'a', vips: [vip], backends: [server] }, { name: 'a', vips: [vip], backends: [{ address: 'x' }] });
    expect(wrong(both).map((p) => p.split(':')[0])).toEqual(['services[1].backends[0].address', 'services[1].name', 'services[1].vips[0]']);
  });

  test('nothing at all can be thrown by what somebody wrote', () => {
    for (const v of [null, undefined, 1, [], [null], { services: [null, 1, [], {}, { vips: [null], backends: [7], health: [] }] }])
      expect(readBalancerSpec(v).ok).toBe(false);
  });
});
