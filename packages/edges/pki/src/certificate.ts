// Reads certificates: who they name and how long they last. No third-party code here, so that agents may call it cheaply.
import { X509Certificate } from 'node:crypto';
import { AppError, err, type NodeName, ok, type Result } from '@axoneme/std';

export interface CertificateInfo {
  readonly commonName: string | undefined;
  readonly organizations: readonly string[];
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  readonly ips: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly serial: string;
  readonly isCa: boolean;
}

export function readCertificate(pem: string | Buffer): Result<CertificateInfo> {
  try {
    const c = new X509Certificate(pem);
    const subject = (c.subject ?? '').split('\n');
    const attribute = (name: string): string[] => subject.filter((l) => l.startsWith(`${name}=`)).map((l) => l.slice(name.length + 1));
    return ok({
      commonName: attribute('CN')[0],
      organizations: attribute('O'),
      ...parseSubjectAltName(c.subjectAltName),
      notBeforeMs: c.validFromDate.getTime(),
      notAfterMs: c.validToDate.getTime(),
      serial: c.serialNumber,
      isCa: c.ca,
    });
  } catch (cause) {
    return err(new AppError({ code: 'pki/bad-certificate', message: 'not a readable X.509 certificate', cause }));
  }
}

export interface AlternativeNames {
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  readonly ips: readonly string[];
}

/** Parses Node's text form of subjectAltName. Quoted entries (which Node uses for odd characters) are dropped: no name of ours needs them. */
export function parseSubjectAltName(text: string | undefined): AlternativeNames {
  const entries = (text ?? '').includes('"') ? [] : (text ?? '').split(', ');
  const of = (kind: string): string[] => entries.filter((e) => e.startsWith(kind)).map((e) => e.slice(kind.length));
  return { uris: of('URI:'), dnsNames: of('DNS:'), ips: of('IP Address:') };
}

const nodeUri = /^spiffe:\/\/([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)\/node\/([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)$/;

export const nodeSpiffeUri = (cluster: string, node: string): string => `spiffe://${cluster}/node/${node}`;
export const clientSpiffeUri = (cluster: string, role: string): string => `spiffe://${cluster}/client/${role}`;

export interface NodeIdentity {
  readonly cluster: string;
  readonly node: NodeName;
}

/** The node a certificate speaks for. Exactly one URI, and it must be a node's: everything else is refused. */
export function nodeIdentityOf(peer: { readonly subjectaltname?: string | undefined }): Result<NodeIdentity> {
  const { uris } = parseSubjectAltName(peer.subjectaltname);
  const match = uris.length === 1 ? nodeUri.exec(uris[0] ?? '') : null;
  if (match === null) return err(new AppError({ code: 'pki/not-a-node', message: 'the certificate does not name a node' }));
  return ok({ cluster: match[1] as string, node: match[3] as NodeName });
}

/** The role of a client certificate (`admin` for the command line tool), if it is one. */
export function clientRoleOf(peer: { readonly subjectaltname?: string | undefined }, cluster: string): string | undefined {
  const { uris } = parseSubjectAltName(peer.subjectaltname);
  const prefix = clientSpiffeUri(cluster, '');
  return uris.length === 1 && (uris[0] as string).startsWith(prefix) ? (uris[0] as string).slice(prefix.length) : undefined;
}

/** Moment from which a certificate should be replaced: two thirds of its life, moved up to 10 % earlier so that a fleet spreads out. */
export function renewAtMs(c: Pick<CertificateInfo, 'notBeforeMs' | 'notAfterMs'>, random: () => number = Math.random): number {
  const life = c.notAfterMs - c.notBeforeMs;
  return c.notBeforeMs + life * (2 / 3 - 0.1 * random());
}
