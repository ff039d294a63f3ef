// SCTP through services, with both kernels' own SCTP: from outside and from pods, to pods of this node and of another, through a tunnel and
// without one. Runs in a guest alone (docs/guest.md): the kernel of the other suites' machine may have no SCTP.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { build, dp, type Lab } from './kit.ts';
import { IP, PROTO } from './names.ts';
import { createWorld, ns, sh, tryIn, type World } from './world.ts';

const { LbFlag } = dp;
const PORT = 36412;
const NODE_PORT = 30132;
const VIP = { 4: '203.0.113.7', 6: 'fd20::7' } as const;
const EDGE = { 4: '192.168.8.1', 6: 'fd98::1' } as const;
const ANY = { 4: '0.0.0.0', 6: '::' } as const;
const POD = { 4: { a: '10.0.1.1', b: '10.0.1.2', c: '10.0.2.3' }, 6: { a: 'fd00:1::1', b: 'fd00:1::2', c: 'fd00:2::3' } } as const;
const CLIENT = { 4: '192.168.8.2', 6: 'fd98::2' } as const;
const ROUTER = { 4: '10.0.1.254', 6: 'fd00:1::fe' } as const;
type Pod = keyof (typeof POD)[4];
/** More than one packet, no multiple of four: what is padded is under the checksum, too. */
const LENGTH = 40_001;

// Says its name and who asks, then sends back all it gets. Bound to one address: one that is bound to several names them all to its clients, and
// nobody translates what is inside of chunks.
const SERVER = `
import socket, sys, threading
name, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_STREAM, 132)
s.bind((host, port))
s.listen(16)
print('up', flush=True)
def serve(c, who):
    c.sendall((name + ' ' + who[0] + '\\n').encode())
    while True:
        d = c.recv(65536)
        if not d: break
        c.sendall(d)
    c.close()
while True:
    threading.Thread(target=serve, args=s.accept(), daemon=True).start()
`;
// prints the server's line and how much came back as it went
const CLIENT_PROGRAM = `
import socket, sys
host, port, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_STREAM, 132)
s.settimeout(20)
try:
    s.connect((host, port))
except OSError as e:
    print(type(e).__name__)
    sys.exit()
line = b''
while not line.endswith(b'\\n'): line += s.recv(1)
body = bytes(i * 7 % 251 for i in range(length))
back = b''
at = 0
while len(back) < length:
    if at < length: at += s.send(body[at:at + 5000])
    d = s.recv(65536)
    if not d: break
    back += d
print(line.decode().strip(), len(back), back == body)
`;

const ask = (from: string, host: string, port: number, length = LENGTH): string =>
  tryIn(from, `env NODE_OPTIONS= timeout 60 python3 -c "${CLIENT_PROGRAM}" ${host} ${port} ${length}`).out.trim();

/** A counter of a namespace's SCTP. */
const counter = (name: string, which: string): number =>
  Number(new RegExp(`^${which}\\s+(\\d+)`, 'm').exec(sh(`ip netns exec ${ns(name)} cat /proc/net/sctp/snmp`))?.[1] ?? 'NaN');

let last = 100n;
function publish(lab: Lab, f: 4 | 6, address: string, port: number, flags: number, pods: readonly Pod[]): void {
  const set = ++last;
  for (const [index, who] of pods.entries())
    lab.put(dp.tables.lb_slot, { set, index }, { addr: IP.table(POD[f][who]), port: PORT, family: f, flags: 0, backendId: 100 + index });
  const sets = { setOut: set, setIn: set, countOut: pods.length, countIn: pods.length, maglevSize: 0 };
  const key = { addr: IP.table(address), port, proto: PROTO.sctp, family: f };
  lab.put(dp.tables.lb_frontend, key, { ...sets, serviceId: 5, affinityS: 0, flags: flags | LbFlag.external });
  lab.bump();
}

beforeAll(() => {
  build();
  execFileSync('modprobe', ['sctp']);
});

describe.each([
  ['tunnel', 4],
  ['native routing', 0],
] as const)('%s', (_name, mode) => {
  let world: World;
  const servers: (() => void)[] = [];

  beforeAll(async () => {
    world = createWorld(mode);
    sh(`ip -n ${ns('out')} route add 203.0.113.0/24 via ${EDGE[4]}`);
    sh(`ip -n ${ns('out')} -6 route add fd20::/64 via ${EDGE[6]}`);
    for (const pod of ['a', 'c'] as const)
      for (const f of [4, 6] as const) {
        const args = ['netns', 'exec', ns(pod), 'python3', '-c', SERVER, pod, POD[f][pod], String(PORT)];
        const s = spawn('ip', args, { stdio: ['ignore', 'pipe', 'inherit'] });
        servers.push(() => void s.kill('SIGKILL'));
        await once(s.stdout, 'data');
      }
  });
  afterAll(() => {
    for (const stop of servers) stop();
    world.close();
  });
  beforeEach(() => {
    for (const table of ['lb_frontend', 'lb_slot']) {
      const map = world.n1.lab.map(table);
      for (const [key] of [...map.entries()]) map.delete(key);
    }
    world.n1.lab.bump();
  });

  const seen = (f: 4 | 6, pod: Pod): string => (pod === 'c' ? ROUTER[f] : CLIENT[f]);

  describe.each([4, 6] as const)('IPv%i', (f) => {
    test('without a service pods and clients outside reach each other', () => {
      expect(ask('b', POD[f].c, PORT)).toBe(`c ${POD[f].b} ${LENGTH} True`);
      expect(ask('b', POD[f].a, PORT)).toBe(`a ${POD[f].b} ${LENGTH} True`);
    });

    test('a client outside, load balancer and node port, pods here and there', () => {
      for (const pod of ['a', 'c'] as const) {
        publish(world.n1.lab, f, VIP[f], 5000, LbFlag.loadBalancer, [pod]);
        publish(world.n1.lab, f, ANY[f], NODE_PORT, LbFlag.nodePort, [pod]);
        expect(ask('out', VIP[f], 5000)).toBe(`${pod} ${seen(f, pod)} ${LENGTH} True`);
        expect(ask('out', EDGE[f], NODE_PORT)).toBe(`${pod} ${seen(f, pod)} ${LENGTH} True`);
      }
    });

    test('a pod, whose sockets no hook has seen', () => {
      for (const pod of ['a', 'c'] as const) {
        publish(world.n1.lab, f, VIP[f], 5000, LbFlag.loadBalancer, [pod]);
        expect(ask('b', VIP[f], 5000)).toBe(`${pod} ${POD[f].b} ${LENGTH} True`);
      }
    });

    test('checksums that the sender made itself are right behind every change of ports', () => {
      const devices = ['out', 'a', 'b', 'c'] as const;
      // with GSO a veth would sum up several packets as one, and VXLAN cut them with that sum
      const offload = (way: string): void => {
        for (const d of devices)
          sh(`ip netns exec ${ns(d)} ethtool -K eth0 tx-checksum-sctp ${way} tx-sctp-segmentation ${way} gso ${way}`);
      };
      offload('off');
      try {
        const before = devices.map((d) => counter(d, 'SctpChecksumErrors'));
        for (const pod of ['a', 'c'] as const) {
          publish(world.n1.lab, f, VIP[f], 5000, LbFlag.loadBalancer, [pod]);
          expect(ask('out', VIP[f], 5000)).toBe(`${pod} ${seen(f, pod)} ${LENGTH} True`);
          expect(ask('b', VIP[f], 5000)).toBe(`${pod} ${POD[f].b} ${LENGTH} True`);
        }
        expect(devices.map((d) => counter(d, 'SctpChecksumErrors'))).toEqual(before);
      } finally {
        offload('on');
      }
    });

    test('policy judges the port of the pod', () => {
      const allowed = (port: number) => [{ direction: 'ingress', peer: f === 4 ? 9 : 10, proto: PROTO.sctp, port } as const];
      publish(world.n1.lab, f, VIP[f], 5000, LbFlag.loadBalancer, ['a']);
      world.n1.lab.policy(1001, dp.SubjectFlag.denyIngress, allowed(PORT));
      world.n1.lab.bump();
      expect(ask('out', VIP[f], 5000, 10)).toBe(`a ${CLIENT[f]} 10 True`);
      world.n1.lab.events();
      world.n1.lab.policy(1001, dp.SubjectFlag.denyIngress, allowed(5000));
      world.n1.lab.bump();
      tryIn('out', `env NODE_OPTIONS= timeout 2 python3 -c "${CLIENT_PROGRAM}" ${VIP[f]} 5000 10`);
      expect(world.n1.lab.events().find((e) => e.reason === dp.Drop.policy)).toMatchObject({ proto: PROTO.sctp, dport: PORT });
      world.n1.lab.policy(1001, 0);
      world.n1.lab.bump();
    });
  });
});
