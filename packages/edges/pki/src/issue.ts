// Certificate authority of a cluster: makes CAs, server and client certificates, and signs requests. EC P-256 only.
// Callers: the operator (node protocol, webhook), the sandbox (API server). The only file that knows @peculiar/x509.
import { randomBytes, type webcrypto as WebCrypto, webcrypto } from 'node:crypto';
import { AppError } from '@axoneme/std';
import type * as X509 from '@peculiar/x509';

type CryptoKey = WebCrypto.CryptoKey;
type CryptoKeyPair = WebCrypto.CryptoKeyPair;

/** A certificate and its private key (PKCS#8), PEM. */
export interface Issued {
  readonly certPem: string;
  readonly keyPem: string;
}

/** A CA is the same pair: it can be kept in a Secret and used again. */
export type Ca = Issued;

const dayMs = 86_400_000;
/** Certificates start this much earlier, for clocks that are behind. */
const backdateMs = 5 * 60_000;
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const serverAuth = '1.3.6.1.5.5.7.3.1';
const clientAuth = '1.3.6.1.5.5.7.3.2';

/** Loaded when something is issued: processes that only read certificates do without. Its container needs decorators' metadata first. */
async function library(): Promise<typeof X509> {
  await import('reflect-metadata');
  return await import('@peculiar/x509');
}

const newKeys = (): Promise<CryptoKeyPair> => webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);

async function keyToPem(key: CryptoKey): Promise<string> {
  const x509 = await library();
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}

async function keyFromPem(pem: string): Promise<CryptoKey> {
  const x509 = await library();
  const der = x509.PemConverter.decodeFirst(pem);
  return await webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
}

/** 128 random bits, positive, never starting with zero. */
function newSerial(): string {
  const b = randomBytes(16);
  b[0] = ((b[0] as number) & 0x3f) | 0x40;
  return b.toString('hex');
}

function validity(ttlMs: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - backdateMs), notAfter: new Date(now + ttlMs) };
}

const distinguishedName = (commonName: string, organizations: readonly string[] = []): X509.JsonName => [
  ...organizations.map((o) => ({ O: [o] })),
  { CN: [commonName] },
];

export async function createCa(o: { readonly name: string; readonly days: number }): Promise<Ca> {
  const x509 = await library();
  const keys = await newKeys();
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: distinguishedName(o.name),
    ...validity(o.days * dayMs),
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign | x509.KeyUsageFlags.digitalSignature, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certPem: cert.toString('pem'), keyPem: await keyToPem(keys.privateKey) };
}

interface LeafRequest {
  readonly publicKey: X509.PublicKeyType;
  readonly commonName: string;
  readonly organizations?: readonly string[] | undefined;
  readonly names: readonly X509.JsonGeneralName[];
  readonly usages: readonly string[];
  readonly ttlMs: number;
}

async function signLeaf(ca: Ca, r: LeafRequest): Promise<string> {
  const x509 = await library();
  const issuer = new x509.X509Certificate(ca.certPem);
  const extensions: X509.Extension[] = [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([...r.usages]),
    await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
  ];
  if (r.names.length > 0) extensions.push(new x509.SubjectAlternativeNameExtension([...r.names]));
  const cert = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: distinguishedName(r.commonName, r.organizations),
    issuer: issuer.subjectName.toJSON(),
    ...validity(Math.min(r.ttlMs, issuer.notAfter.getTime() - Date.now())),
    signingKey: await keyFromPem(ca.keyPem),
    publicKey: r.publicKey,
    signingAlgorithm: algorithm,
    extensions,
  });
  return cert.toString('pem');
}

export interface ServerRequest {
  readonly commonName?: string;
  readonly dnsNames?: readonly string[];
  readonly ips?: readonly string[];
  /** Default one year. */
  readonly ttlMs?: number;
}

/** Certificate for a TLS server; also usable as a client, since operator replicas call each other. */
export async function issueServer(ca: Ca, o: ServerRequest): Promise<Issued> {
  const keys = await newKeys();
  const names = [
    ...(o.dnsNames ?? []).map((value) => ({ type: 'dns' as const, value })),
    ...(o.ips ?? []).map((value) => ({ type: 'ip' as const, value })),
  ];
  const certPem = await signLeaf(ca, {
    publicKey: keys.publicKey,
    commonName: o.commonName ?? o.dnsNames?.[0] ?? o.ips?.[0] ?? 'server',
    names,
    usages: [serverAuth, clientAuth],
    ttlMs: o.ttlMs ?? 365 * dayMs,
  });
  return { certPem, keyPem: await keyToPem(keys.privateKey) };
}

export interface ClientRequest {
  readonly commonName: string;
  /** Kubernetes reads these as groups. */
  readonly organizations?: readonly string[];
  readonly uri?: string;
  /** Default one year. */
  readonly ttlMs?: number;
}

export async function issueClient(ca: Ca, o: ClientRequest): Promise<Issued> {
  const keys = await newKeys();
  const certPem = await signLeaf(ca, {
    publicKey: keys.publicKey,
    commonName: o.commonName,
    organizations: o.organizations,
    names: o.uri === undefined ? [] : [{ type: 'url', value: o.uri }],
    usages: [clientAuth],
    ttlMs: o.ttlMs ?? 365 * dayMs,
  });
  return { certPem, keyPem: await keyToPem(keys.privateKey) };
}

export interface SignOptions {
  readonly commonName: string;
  readonly uri: string;
  readonly ttlMs: number;
}

const csrSizeMax = 16_384;

/** Signs a request for a client certificate. Only the public key is taken from the request: names come from the caller, who checked them. */
export async function signCsr(ca: Ca, csrPem: string, o: SignOptions): Promise<string> {
  const refuse = (cause?: unknown): AppError =>
    new AppError({ code: 'pki/bad-request', message: 'the certificate request is not a valid PKCS#10 request', cause });
  if (csrPem.length > csrSizeMax) throw refuse();
  const x509 = await library();
  let request: X509.Pkcs10CertificateRequest;
  let proven: boolean;
  try {
    request = new x509.Pkcs10CertificateRequest(csrPem);
    proven = await request.verify();
  } catch (cause) {
    throw refuse(cause);
  }
  const key = request.publicKey.algorithm as { readonly name?: string; readonly namedCurve?: string };
  if (!proven || key.name !== algorithm.name || key.namedCurve !== algorithm.namedCurve) throw refuse();
  return await signLeaf(ca, {
    publicKey: request.publicKey,
    commonName: o.commonName,
    names: [{ type: 'url', value: o.uri }],
    usages: [clientAuth],
    ttlMs: o.ttlMs,
  });
}
