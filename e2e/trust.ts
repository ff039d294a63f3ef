// Who may speak for a node: certificates are signed only for the node of the caller's own token. Part of the main end-to-end suite.

import { X509Certificate } from 'node:crypto';
import { createCsr, nodeIdentityOf } from '@axoneme/pki';
import { bootstrapSign } from '@axoneme/stream';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { allowNoRetry, type Fixture, type PodInfo } from './fixture.ts';

const NS = 'axoneme-system';

export function describeTrust(fixture: () => Fixture): void {
  describe('node certificates', () => {
    let agents: PodInfo[];
    let trust: Record<string, string>;
    const token = async (account: string, audience: string, pod?: string): Promise<string> => {
      const bound = pod === undefined ? [] : ['--bound-object-kind', 'Pod', '--bound-object-name', pod];
      return (await fixture().kubectl('create', 'token', account, '-n', NS, '--audience', audience, ...bound)).trim();
    };
    const ask = async (nodeName: string, withToken: string) => {
      const { csrPem } = await createCsr({ commonName: nodeName });
      const endpoint = trust['bootstrap-endpoints']!.trim().split('\n')[0]!;
      return bootstrapSign({ endpoint, caPem: trust['ca.crt']!, request: { csrPem, token: withToken, nodeName } });
    };

    beforeAll(async () => {
      allowNoRetry();
      const f = fixture();
      agents = await f.ready('app.kubernetes.io/component=agent', 2, NS);
      trust = (await f.json<{ data: Record<string, string> }>('get', 'configmap', 'axoneme-trust', '-n', NS)).data;
    }, 60_000);

    test('an agent gets a certificate for its own node', async () => {
      const own = agents[0]!;
      const r = await ask(own.node, await token('axoneme-agent', 'axoneme-operator', own.name));
      const id = nodeIdentityOf({ subjectaltname: new X509Certificate(r.certificatePem).subjectAltName });
      expect(id).toEqual({ ok: true, value: { cluster: 'default', node: own.node } });
    });

    test('not for another node', async () => {
      const [own, other] = [agents[0]!, agents[1]!];
      const t = await token('axoneme-agent', 'axoneme-operator', own.name);
      await expect(ask(other.node, t)).rejects.toThrow(`the token is for node ${own.node}, the request for ${other.node}`);
    });

    test('not with a token for the API server, of another account, bound to nothing, or made up', async () => {
      const own = agents[0]!;
      await expect(ask(own.node, await token('axoneme-agent', 'https://kubernetes.default.svc', own.name))).rejects.toThrow(/not accepted/);
      await expect(ask(own.node, await token('default', 'axoneme-operator'))).rejects.toThrow(
        /belongs to system:serviceaccount:axoneme-system:default/,
      );
      await expect(ask(own.node, await token('axoneme-agent', 'axoneme-operator'))).rejects.toThrow(/bound to no pod/);
      await expect(ask(own.node, 'made.up.token')).rejects.toThrow(/not accepted/);
    });

    test('an agent holds no credentials for the API server', async () => {
      const r = await fixture().kubectlResult('exec', '-n', NS, agents[0]!.name, '--', 'ls', '/var/run/secrets/kubernetes.io');
      expect(r.code).not.toBe(0);
    });
  });
}
