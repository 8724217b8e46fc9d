/** X.509 certificates for tests, as short as DER allows: an authority and what it signs, on P-256. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import type { TlsOptions } from '../../../comm/index.js';

export interface TestAuthority {
  /** PEM. */
  readonly ca: string;
  /** A certificate of this authority with its key. `subject`: default a rank. */
  issue(subject?: string): TlsOptions;
}

const ECDSA_SHA256 = '2a8648ce3d040302';
const COMMON_NAME = '550403';
const BASIC_CONSTRAINTS = '551d13';

export function createAuthority(name: string): TestAuthority {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ca = certificate({ subject: name, issuer: name, publicKey, signedWith: privateKey, isAuthority: true });
  const issue = (subject = `a rank of ${name}`): TlsOptions => {
    const own = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const cert = certificate({
      subject,
      issuer: name,
      publicKey: own.publicKey,
      signedWith: privateKey,
      isAuthority: false,
    });
    return { cert, key: own.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), ca };
  };
  return { ca, issue };
}

/** Files with a certificate, its key and its authority. */
export async function writeCertificates(
  dir: string,
  name: string,
  subject?: string,
): Promise<Record<'cert' | 'key' | 'ca', string>> {
  const { cert, key, ca } = createAuthority(name).issue(subject);
  const files = {
    cert: join(dir, `${name}-cert.pem`),
    key: join(dir, `${name}-key.pem`),
    ca: join(dir, `${name}-ca.pem`),
  };
  await Promise.all([writeFile(files.cert, cert), writeFile(files.key, key), writeFile(files.ca, ca)]);
  return files;
}

interface Fields {
  readonly subject: string;
  readonly issuer: string;
  readonly publicKey: KeyObject;
  readonly signedWith: KeyObject;
  readonly isAuthority: boolean;
}

/** RFC 5280 §4.1: TBSCertificate, algorithm, signature. */
function certificate({ subject, issuer, publicKey, signedWith, isAuthority }: Fields): string {
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const algorithm = der(0x30, oid(ECDSA_SHA256));
  const serial = createHash('sha256').update(spki).digest().subarray(0, 8);
  serial[0] = (serial[0]! & 0x3f) | 0x40;
  const validity = der(0x30, utcTime('200101000000Z'), utcTime('491231235959Z'));
  const constraints = der(0x30, ...(isAuthority ? [der(0x01, Buffer.of(0xff))] : []));
  const extension = der(0x30, oid(BASIC_CONSTRAINTS), der(0x01, Buffer.of(0xff)), der(0x04, constraints));
  const tbs = der(
    0x30,
    ...[der(0xa0, der(0x02, Buffer.of(2))), der(0x02, serial), algorithm, nameOf(issuer), validity, nameOf(subject)],
    ...[spki, der(0xa3, der(0x30, extension))],
  );
  const signature = der(0x03, Buffer.of(0), sign('sha256', tbs, signedWith));
  const base64 = der(0x30, tbs, algorithm, signature).toString('base64');
  return `-----BEGIN CERTIFICATE-----\n${base64.replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`;
}

/** Tag, length, contents. */
function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(contents);
  const n = body.length;
  const length = n < 128 ? [n] : n < 256 ? [0x81, n] : [0x82, n >> 8, n & 0xff];
  return Buffer.concat([Buffer.of(tag, ...length), body]);
}

const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, 'hex'));
const utcTime = (text: string): Buffer => der(0x17, Buffer.from(text));
const nameOf = (text: string): Buffer =>
  der(0x30, der(0x31, der(0x30, oid(COMMON_NAME), der(0x0c, Buffer.from(text)))));
