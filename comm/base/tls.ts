/** TLS with given certificates on both ends: who holds a certificate of the job's authority is inside. */
import type { ServerOptions } from 'node:https';
import { connect, type TLSSocket } from 'node:tls';
import { CommError } from './errors.js';

/** PEM texts. The same authority on all machines of a job; certificate and key may differ. */
export interface TlsOptions {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
  /** Who must have signed the other side's certificate. */
  readonly ca: string | Buffer;
}

/** Options of a server that refuses clients without a certificate of `ca`. */
export function tlsServerOptions({ cert, key, ca }: TlsOptions): ServerOptions {
  return { cert, key, ca, requestCert: true, rejectUnauthorized: true };
}

/** A connection that accepts only a server with a certificate of `ca`. @throws CommError INVALID_ARGUMENT when certificate or key can't be read. */
export function tlsConnect(host: string, port: number, { cert, key, ca }: TlsOptions): TLSSocket {
  return readingCertificates(() =>
    connect({
      ...{ host, port, cert, key, ca, rejectUnauthorized: true },
      // Ranks are found by addresses that change from job to job, and a certificate of `ca` proves membership on its
      // own: `ca` is the job's private authority, not the public ones. The job secret is still to be proved.
      checkServerIdentity: () => undefined,
    }),
  );
}

/** Runs what reads certificates; its errors become INVALID_ARGUMENT. */
export function readingCertificates<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const message = `the certificate, key or ca of tls can't be used (${String(cause)}); pass matching PEM files`;
    throw new CommError('INVALID_ARGUMENT', message, { cause });
  }
}

/**
 * The error for one of TLS itself, which trying again doesn't change; undefined for any other. `isSecure`: TLS stood and
 * the peer had said nothing; Node hangs up then, without a word, on a client whose certificate it doesn't trust.
 */
export function tlsErrorOf(cause: Error & { code?: unknown }, isSecure = false): CommError | undefined {
  const code = typeof cause.code === 'string' ? cause.code : '';
  const isTls = /^(ERR_SSL|ERR_TLS|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|EPROTO$)/.test(code);
  if (!isTls && !(isSecure && code === 'ECONNRESET')) return undefined;
  const advice = 'give the head and every rank certificates of one ca, or none of them tls';
  return new CommError('AUTH_FAILED', `no TLS with the other side (${code}: ${cause.message}); ${advice}`, { cause });
}
