import { execFileSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import tls from 'node:tls';
import { unwrap } from '@axoneme/std';
import { beforeAll, describe, expect, test } from '@jest/globals';
import {
  type Ca,
  clientRoleOf,
  clientSpiffeUri,
  createCa,
  createCsr,
  issueClient,
  issueServer,
  nodeIdentityOf,
  nodeSpiffeUri,
  readCertificate,
  renewAtMs,
  signCsr,
} from '../src/index.ts';

let ca: Ca;
beforeAll(async () => {
  ca = await createCa({ name: 'axoneme-test', days: 10 });
});

describe('issuing', () => {
  test('a CA signs what OpenSSL accepts', async () => {
    const server = await issueServer(ca, { dnsNames: ['a.example'], ips: ['127.0.0.1', 'fd00::1'] });
    const parsed = new X509Certificate(server.certPem);
    expect(parsed.checkIssued(new X509Certificate(ca.certPem))).toBe(true);
    expect(parsed.verify(new X509Certificate(ca.certPem).publicKey)).toBe(true);
    const info = unwrap(readCertificate(server.certPem));
    expect(info).toMatchObject({ dnsNames: ['a.example'], ips: ['127.0.0.1', 'FD00:0:0:0:0:0:0:1'], isCa: false });
    expect(unwrap(readCertificate(ca.certPem)).isCa).toBe(true);
  });

  test('client groups are organizations', async () => {
    const client = await issueClient(ca, { commonName: 'kubernetes-admin', organizations: ['system:masters', 'x'] });
    expect(unwrap(readCertificate(client.certPem))).toMatchObject({
      commonName: 'kubernetes-admin',
      organizations: ['system:masters', 'x'],
    });
  });

  test('a leaf never outlives its CA', async () => {
    const leaf = unwrap(readCertificate((await issueServer(ca, { dnsNames: ['a'], ttlMs: 1e12 })).certPem));
    expect(leaf.notAfterMs).toBeLessThanOrEqual(unwrap(readCertificate(ca.certPem)).notAfterMs + 1000);
  });

  test('a certificate is made at once: no search for RSA primes', async () => {
    const started = performance.now();
    for (let i = 0; i < 10; i++) await issueServer(ca, { dnsNames: ['a'] });
    expect((performance.now() - started) / 10).toBeLessThan(250);
  });
});

describe('requests', () => {
  test('names come from the signer, not from the request', async () => {
    const { csrPem } = await createCsr({ commonName: 'evil' });
    const pem = await signCsr(ca, csrPem, { commonName: 'node-a', uri: nodeSpiffeUri('c1', 'node-a'), ttlMs: 3_600_000 });
    expect(unwrap(readCertificate(pem))).toMatchObject({ commonName: 'node-a', uris: ['spiffe://c1/node/node-a'], dnsNames: [] });
  });

  test('a tampered or foreign request is refused', async () => {
    const { csrPem } = await createCsr({ commonName: 'n' });
    const options = { commonName: 'n', uri: nodeSpiffeUri('c1', 'n'), ttlMs: 1000 };
    const der = Buffer.from(csrPem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
    der[der.length - 3] = (der[der.length - 3] as number) ^ 0xff;
    const bad = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----`;
    await expect(signCsr(ca, bad, options)).rejects.toMatchObject({ code: 'pki/bad-request' });
    await expect(signCsr(ca, 'nonsense', options)).rejects.toMatchObject({ code: 'pki/bad-request' });
    await expect(signCsr(ca, `${csrPem}${' '.repeat(20_000)}`, options)).rejects.toMatchObject({ code: 'pki/bad-request' });
  });
});

test('a request is what OpenSSL understands', async () => {
  const { csrPem, keyPem } = await createCsr({ commonName: 'n'.repeat(200) });
  const checked = execFileSync('openssl', ['req', '-verify', '-noout', '-subject'], { input: csrPem, stdio: ['pipe', 'pipe', 'pipe'] });
  expect(checked.toString()).toContain(`CN = ${'n'.repeat(200)}`);
  expect(createPrivateKey(keyPem).asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' });
  await expect(createCsr({ commonName: '' })).rejects.toMatchObject({ code: 'pki/bad-name' });
});

describe('names', () => {
  test('a node is named by exactly one SPIFFE URI', () => {
    expect(unwrap(nodeIdentityOf({ subjectaltname: 'URI:spiffe://c1/node/worker-1.lan' }))).toEqual({
      cluster: 'c1',
      node: 'worker-1.lan',
    });
    const refused = [
      undefined,
      '',
      'DNS:a',
      'URI:spiffe://c1/node/',
      'URI:spiffe://c1/node/a/b',
      'URI:spiffe://c1/client/admin',
      'URI:spiffe://c1/node/a, URI:spiffe://c1/node/b',
      'URI:"spiffe://c1/node/a, URI:x"',
      'URI:spiffe://c1/node/A',
    ];
    for (const subjectaltname of refused) expect(nodeIdentityOf({ subjectaltname }).ok).toBe(false);
  });

  test('client roles belong to one cluster', () => {
    const subjectaltname = `URI:${clientSpiffeUri('c1', 'admin')}`;
    expect(clientRoleOf({ subjectaltname }, 'c1')).toBe('admin');
    expect(clientRoleOf({ subjectaltname }, 'c2')).toBeUndefined();
    expect(clientRoleOf({ subjectaltname: 'URI:spiffe://c1/node/a' }, 'c1')).toBeUndefined();
  });

  test('renewal lies between 56 % and 67 % of the life', () => {
    const life = { notBeforeMs: 1000, notAfterMs: 2000 };
    expect(renewAtMs(life, () => 0)).toBeCloseTo(1666.7, 0);
    expect(renewAtMs(life, () => 1)).toBeCloseTo(1566.7, 0);
  });

  test('an unreadable certificate is an error value', () => {
    expect(readCertificate('x')).toMatchObject({ ok: false, error: { code: 'pki/bad-certificate' } });
  });
});

test('mutual TLS works and shows the node to the server', async () => {
  const server = await issueServer(ca, { ips: ['127.0.0.1'] });
  const { csrPem, keyPem } = await createCsr({ commonName: 'n1' });
  const certPem = await signCsr(ca, csrPem, { commonName: 'n1', uri: nodeSpiffeUri('c1', 'n1'), ttlMs: 60_000 });
  const listener = tls.createServer({ cert: server.certPem, key: server.keyPem, ca: ca.certPem, requestCert: true }, (socket) => {
    const identity = nodeIdentityOf(socket.getPeerCertificate());
    socket.end(identity.ok ? identity.value.node : 'nobody');
  });
  await new Promise<void>((r) => listener.listen(0, '127.0.0.1', r));
  const { port } = listener.address() as { port: number };
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port, ca: ca.certPem, cert: certPem, key: keyPem });
    socket.on('data', (d: Buffer) => resolve(d.toString()));
    socket.on('error', reject);
  });
  listener.close();
  expect(answer).toBe('n1');
});
