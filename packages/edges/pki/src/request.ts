// Makes a key and a certificate request (PKCS#10), written by hand: agents need nothing else of a certificate library, and it would cost
// each of them some 10 MB. Called by agents that bootstrap or renew.
import { generateKeyPairSync, sign } from 'node:crypto';
import { AppError } from '@axoneme/std';

/** One DER element: tag, length, content. */
function der(tag: number, ...content: readonly Buffer[]): Buffer {
  const body = Buffer.concat(content);
  const n = body.length;
  const length = n < 0x80 ? [n] : n < 0x100 ? [0x81, n] : [0x82, n >> 8, n & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}

const sequence = (...c: readonly Buffer[]): Buffer => der(0x30, ...c);
const commonNameOid = Buffer.from('0603550403', 'hex');
const ecdsaWithSha256 = sequence(Buffer.from('06082a8648ce3d040302', 'hex'));
const version = Buffer.from('020100', 'hex');
const noAttributes = Buffer.from('a000', 'hex');

const pem = (label: string, bytes: Buffer): string => {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
};

export interface NewRequest {
  readonly csrPem: string;
  /** PKCS#8. */
  readonly keyPem: string;
}

/** A fresh EC P-256 key and a request for it. The signer decides about names; the common name here is only for people. */
export async function createCsr(o: { readonly commonName: string }): Promise<NewRequest> {
  const name = Buffer.from(o.commonName, 'utf8');
  if (name.length === 0 || name.length > 253) {
    throw new AppError({ code: 'pki/bad-name', message: 'a common name has 1 to 253 bytes', fields: { commonName: o.commonName } });
  }
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const subject = sequence(der(0x31, sequence(commonNameOid, der(0x0c, name))));
  const info = sequence(version, subject, publicKey.export({ type: 'spki', format: 'der' }), noAttributes);
  const signature = sign('sha256', info, privateKey);
  const request = sequence(info, ecdsaWithSha256, der(0x03, Buffer.from([0]), signature));
  return { csrPem: pem('CERTIFICATE REQUEST', request), keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string };
}
