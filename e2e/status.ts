// What users are told: status of policies and invariants, `axoneme policy wait`, the readiness gate of pods. Part of the main end-to-end suite.
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { allowOneRetry, type Fixture, type PodInfo, until } from './fixture.ts';

const NS = 'axoneme-system';
const GATE = 'axoneme.io/policy-enforced';

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}
interface WithStatus {
  readonly status?: { readonly enforced?: string; readonly conditions?: readonly Condition[]; readonly pendingNodes?: readonly string[] };
}

const object = (apiVersion: string, kind: string, name: string, spec: unknown, annotations: Record<string, string> = {}): string =>
  JSON.stringify({ apiVersion, kind, metadata: { name, annotations }, spec });
const cnp = (name: string, spec: unknown, annotations?: Record<string, string>): string =>
  object('cilium.io/v2', 'CiliumNetworkPolicy', name, spec, annotations);

const web = { matchLabels: { app: 'web' } };
const fromClients = { fromEndpoints: [{ matchLabels: { app: 'client' } }] };

export function describeStatus(fixture: () => Fixture): void {
  describe('what users are told', () => {
    let servers: PodInfo[];
    const condition = async (what: string, type: string): Promise<Condition | undefined> =>
      (await fixture().json<WithStatus>('get', ...what.split(' '))).status?.conditions?.find((c) => c.type === type);
    const awaitCondition = (what: string, type: string, wanted: (c: Condition) => boolean, timeoutMs = 10_000): Promise<Condition> =>
      until(`${type} of ${what}`, timeoutMs, async () => {
        const c = await condition(what, type);
        return c !== undefined && wanted(c) ? c : undefined;
      });
    /** Exit code and what was printed. */
    const wait = async (...args: string[]): Promise<{ code: number; text: string }> => {
      try {
        return { code: 0, text: await fixture().cli('policy', 'wait', ...args) };
      } catch (e) {
        const { code, stdout, stderr } = e as { code: number; stdout: string; stderr: string };
        return { code, text: `${stdout}${stderr}` };
      }
    };
    /** Addresses of the node that runs the leading operator, and one of our nodes that does not. */
    const apart = async (): Promise<{ node: string; operator: readonly string[] }> => {
      const [operator] = await fixture().ready('app.kubernetes.io/component=operator', 1, NS);
      const node = servers.find((s) => s.node !== operator!.node)!.node;
      return { node, operator: [operator!.ipv4, operator!.ipv6].filter(Boolean) };
    };
    const route = async (verb: 'add' | 'del', node: string, addresses: readonly string[]): Promise<void> => {
      for (const a of addresses)
        await fixture().sandbox.nodeExec(node, ['ip', ...(a.includes(':') ? ['-6'] : []), 'route', verb, 'blackhole', a]);
    };

    beforeAll(async () => {
      allowOneRetry();
      servers = await fixture().ready('app=web', 2);
      await fixture().ready('app=client', 2);
    }, 60_000);

    afterEach(async () => {
      const f = fixture();
      await f.kubectl('delete', 'cnp,networkpolicies', '--all', '-n', 'default', '--ignore-not-found');
      await f.kubectl('delete', 'reachabilityinvariants,adminnetworkpolicies', '--all', '--ignore-not-found');
    }, 30_000);

    test('P3-c: a node that is cut off is counted out and named, in the status and by policy wait, until it is back', async () => {
      const f = fixture();
      const { node, operator } = await apart();
      await route('add', node, operator);
      try {
        await f.apply(cnp('cut', { endpointSelector: web, ingress: [fromClients] }));
        const c = await awaitCondition('cnp cut', 'Enforced', (x) => x.message.startsWith('1/2'));
        expect(c).toMatchObject({ status: 'False', reason: 'Pending' });
        expect(c.message).toMatch(new RegExp(`^1/2 nodes at revision \\d+; waiting for ${node}$`));
        const status = (await f.json<WithStatus>('get', 'cnp', 'cut')).status;
        expect(status).toMatchObject({ enforced: '1/2', pendingNodes: [node] });
        const late = await wait('cnp/cut', '--timeout', '1s');
        expect(late.code).toBe(6);
        expect(late.text).toContain(`waiting for ${node}`);
      } finally {
        await route('del', node, operator);
      }
      const back = await wait('cnp/cut', '--timeout', '60s');
      expect(back).toEqual({ code: 0, text: expect.stringMatching(/is enforced on 2\/2 nodes at revision \d+\n$/) });
    }, 100_000);

    test('policy wait: NetworkPolicies too, invalid and missing ones at once', async () => {
      const f = fixture();
      await f.apply(object('networking.k8s.io/v1', 'NetworkPolicy', 'np', { podSelector: web, ingress: [{}], policyTypes: ['Ingress'] }));
      expect(await wait('netpol/np')).toMatchObject({
        code: 0,
        text: expect.stringContaining('NetworkPolicy default/np is enforced on 2/2'),
      });
      expect(await wait('cnp/none')).toMatchObject({ code: 5 });
      expect(await f.cli('policy', 'status')).toMatch(/NetworkPolicy +default +np +enforce +yes +yes +2\/2/);
      // an object in the operator's own namespace is not stopped at the door
      const bad = { endpointSelector: web, ingress: [{ fromCIDRSet: [{ cidr: '10.0.0.0/8', except: ['11.0.0.0/8'] }] }] };
      await f.apply(JSON.stringify({ ...JSON.parse(cnp('bad', bad)), metadata: { name: 'bad', namespace: NS } }));
      try {
        const r = await wait('cnp/bad', '-n', NS);
        expect([r.code, r.text]).toEqual([1, expect.stringContaining('spec.ingress[0].fromCIDRSet[0].except[0]')]);
      } finally {
        await f.kubectl('delete', 'cnp', 'bad', '-n', NS);
      }
    }, 40_000);

    test('warnings say what means nobody, and go when somebody comes', async () => {
      const f = fixture();
      const toPort = (port: string) => ({ toPorts: [{ ports: [{ port, protocol: 'TCP' }] }] });
      await f.apply(
        cnp('doubtful', {
          endpointSelector: web,
          ingress: [
            { fromEndpoints: [{ matchLabels: { app: 'ghost' } }] },
            { ...fromClients, ...toPort('nonesuch') },
            { ...fromClients, ...toPort('80') },
          ],
          ingressDeny: [fromClients],
        }),
      );
      const { message } = await awaitCondition('cnp doubtful', 'Valid', (c) => c.reason === 'ValidWithWarnings');
      expect(message).toMatch(/spec\.ingress\[0\]: the peer selects no pod \(.*ghost/);
      expect(message).toContain('port name "nonesuch" is defined by no pod');
      expect(message).toContain('spec.ingress[2]: never decides, CiliumNetworkPolicy default/doubtful ingressDeny[0] stands above it');
      await f.kubectl('run', 'ghost', '--image', 'axoneme/echo:latest', '--labels', 'app=ghost');
      try {
        await awaitCondition('cnp doubtful', 'Valid', (c) => !c.message.includes('ghost'), 20_000);
      } finally {
        await f.kubectl('delete', 'pod', 'ghost', '--wait=false');
      }
      await f.apply(cnp('nobody', { endpointSelector: { matchLabels: { app: 'no-such' } }, ingress: [{}] }));
      await awaitCondition('cnp nobody', 'Valid', (c) => c.message.includes('selects no pod'));
    }, 60_000);

    test('a shadow policy is recorded, and an admin policy has conditions', async () => {
      const f = fixture();
      await f.apply(cnp('shadow', { endpointSelector: web, ingress: [{}] }, { 'policy.axoneme.io/mode': 'shadow' }));
      const c = await awaitCondition('cnp shadow', 'Enforced', (x) => /2\/2/.test(x.message));
      expect(c).toMatchObject({ status: 'False', reason: 'Shadow' });
      expect(c.message).toMatch(/^recorded, not enforced, on 2\/2 nodes at revision \d+$/);
      expect((await wait('cnp/shadow')).code).toBe(1);
      expect((await wait('cnp/shadow', '--for', 'delivered')).code).toBe(0);
      await f.kubectl('annotate', 'cnp', 'shadow', 'policy.axoneme.io/mode=enforce', '--overwrite');
      expect((await wait('cnp/shadow')).code).toBe(0);
      await f.apply(
        object('policy.networking.k8s.io/v1alpha1', 'AdminNetworkPolicy', 'first', {
          priority: 10,
          subject: { pods: { namespaceSelector: {}, podSelector: web } },
          ingress: [{ action: 'Allow', from: [{ namespaces: {} }] }],
        }),
      );
      expect(await awaitCondition('anp first', 'Enforced', (x) => x.status === 'True')).toMatchObject({ reason: 'EnforcedEverywhere' });
      expect((await wait('anp/first')).code).toBe(0);
    }, 60_000);

    test('an invariant tells whether it holds, and who breaks it', async () => {
      const f = fixture();
      await f.apply(
        object('axoneme.io/v1alpha1', 'ReachabilityInvariant', 'clients-reach-web', {
          from: { podSelector: { matchLabels: { app: 'client' } } },
          to: { podSelector: web },
          ports: [{ port: 80, protocol: 'TCP' }],
          expect: 'MustReach',
          action: 'Flag',
        }),
      );
      await awaitCondition('reachabilityinvariant clients-reach-web', 'Holds', (c) => c.status === 'True');
      await f.apply(cnp('closed', { endpointSelector: web, ingressDeny: [fromClients] }));
      const broken = await awaitCondition('reachabilityinvariant clients-reach-web', 'Holds', (c) => c.status === 'False');
      expect(broken.message).toContain('default/client-');
      expect(broken.message).toContain('CiliumNetworkPolicy default/closed ingressDeny[0]');
      await f.kubectl('delete', 'cnp', 'closed');
      await awaitCondition('reachabilityinvariant clients-reach-web', 'Holds', (c) => c.status === 'True');
      // the same change where the invariant refuses: not enforced, and both ways of asking say why
      await f.kubectl('patch', 'reachabilityinvariant', 'clients-reach-web', '--type=merge', '-p', '{"spec":{"action":"Refuse"}}');
      await until('the invariant refuses', 5_000, async () =>
        (await condition('reachabilityinvariant clients-reach-web', 'Holds'))?.status === 'True' ? true : undefined,
      );
      await f.apply(cnp('closed', { endpointSelector: web, ingressDeny: [fromClients] }));
      expect(await awaitCondition('cnp closed', 'Enforced', (c) => c.reason === 'BreaksInvariant')).toMatchObject({
        status: 'False',
        message: expect.stringContaining('breaks ReachabilityInvariant clients-reach-web (MustReach): default/client-'),
      });
      const refused = await wait('cnp/closed');
      expect([refused.code, refused.text]).toEqual([1, expect.stringContaining('was refused (BreaksInvariant)')]);
      const [client] = await f.pods('app=client');
      expect(await f.curl(client!, `http://${servers[0]!.ipv4}/`)).toBe('200');
    }, 60_000);

    test('a pod with our readiness gate is ready once its node enforces its policy, not before', async () => {
      const f = fixture();
      const { node, operator } = await apart();
      const pod = (name: string, nodeName: string): string =>
        JSON.stringify({
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { name, labels: { app: name } },
          spec: { nodeName, readinessGates: [{ conditionType: GATE }], containers: [{ name: 'echo', image: 'axoneme/echo:latest' }] },
        });
      try {
        await f.apply(pod('gated', node));
        await f.kubectl('wait', 'pod/gated', '--for=condition=Ready', '--timeout=30s');
        const c = await condition('pod gated', GATE);
        expect(c).toMatchObject({ status: 'True', reason: 'Enforced' });
        expect(c!.message).toMatch(new RegExp(`^node ${node} enforces the policy of identity \\d+ since revision \\d+$`));
        await route('add', node, operator);
        await f.apply(pod('waiting', node));
        await awaitCondition('pod waiting', 'ContainersReady', (x) => x.status === 'True', 30_000);
        const closed = await awaitCondition('pod waiting', GATE, (x) => x.status === 'False');
        expect(['NoEndpoint', 'Pending', 'NoIdentity']).toContain(closed.reason);
        expect(await condition('pod waiting', 'Ready')).toMatchObject({ status: 'False', reason: 'ReadinessGatesNotReady' });
        await route('del', node, operator);
        await f.kubectl('wait', 'pod/waiting', '--for=condition=Ready', '--timeout=60s');
      } finally {
        await route('del', node, operator);
        await f.kubectl('delete', 'pod', 'gated', 'waiting', '--ignore-not-found', '--wait=false');
      }
    }, 120_000);
  });
}
