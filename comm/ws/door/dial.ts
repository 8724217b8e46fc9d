/** Connecting to a peer's port: WebSocket, handshake, and retries until something listens there. */
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { BulkSocket } from './bulk_socket.js';
import { checkTimeout, Deadline } from '../../base/deadline.js';
import { CommError } from '../../base/errors.js';
import { DialerHandshake, type HandshakeOptions } from './handshake.js';
import { HANDSHAKE_TIMEOUT_MS, shakeHands } from './handshake_socket.js';
import { tlsErrorOf, type TlsOptions } from '../../base/tls.js';

/** A host name or IP address, and a port; port 0, where one listens: any that is free. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Whom to dial, how to prove oneself there, and how long to try. */
export interface DialOptions extends HandshakeOptions {
  readonly address: Address;
  readonly path: string;
  /** What this side says it is; proved by the job secret. */
  readonly identity: unknown;
  /** Largest message that ws accepts. */
  readonly maxPayload: number;
  /** This side's certificate and who signed the other's. Default: no TLS. */
  readonly tls?: TlsOptions | undefined;
  /** How long to try: the peer may start later. */
  readonly timeoutMs: number;
  /** It listens already: where nothing answers, nothing will. Default false. */
  readonly isThere?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

const RETRY_MS = 100;

/** What a dialer gets: the WebSocket, and the socket below, whose bytes it may take over. */
export type OnOpen<T> = (ws: WebSocket, bulk: BulkSocket) => T;

/**
 * Connects and authenticates; `open` is called in the turn in which the handshake ended, so that no message is
 * missed.
 * @throws CommError UNREACHABLE when nothing answers until `timeoutMs`, ABORTED, or why the peer refused
 */
export async function dial<T>(options: DialOptions, open: OnOpen<T>): Promise<T> {
  const until = performance.now() + checkTimeout(options.timeoutMs);
  checkAddress(options.address);
  for (;;) {
    if (options.signal?.aborted === true) throw aborted(options);
    const leftMs = until - performance.now();
    const attempt = await dialOnce(options, Math.max(1, Math.min(leftMs, HANDSHAKE_TIMEOUT_MS)), open);
    if (attempt.kind === 'open') return attempt.value;
    if (attempt.kind === 'failed') throw attempt.error;
    if (options.isThere === true || performance.now() + RETRY_MS >= until) throw unreachable(options, attempt.cause);
    await sleep(RETRY_MS, undefined, { signal: options.signal }).catch(() => undefined);
  }
}

type Attempt<T> =
  | { readonly kind: 'open'; readonly value: T }
  | { readonly kind: 'failed'; readonly error: CommError }
  | { readonly kind: 'retry'; readonly cause: Error };

function dialOnce<T>(options: DialOptions, timeoutMs: number, open: OnOpen<T>): Promise<Attempt<T>> {
  const bulk = new BulkSocket({ ...options.address, tls: options.tls });
  return new Promise((resolve) => {
    const ws = new WebSocket(urlOf(options), {
      ...{ perMessageDeflate: false, maxPayload: options.maxPayload },
      createConnection: () => bulk.socket,
      // ws sends zeros as the mask and then skips masking, which in JavaScript costs more than the network. Data links
      // send no more than a few bytes this way, and mask them.
      ...(options.purpose === 'control' && { generateMask: () => undefined }),
    });
    /** TLS stands and the peer has said nothing yet. */
    let isSecure = false;
    bulk.socket.once('secureConnect', () => (isSecure = true));
    const onAbort = (): void => ws.terminate();
    // What accepts a connection may be stopped; ws has no eye on a socket that it didn't make.
    const late = new Deadline(timeoutMs, () => {
      settle({ kind: 'retry', cause: new Error('it accepts connections and says nothing') });
      ws.terminate();
    });
    const settle = (attempt: Attempt<T>): void => {
      late.cancel();
      options.signal?.removeEventListener('abort', onAbort);
      resolve(attempt);
    };
    options.signal?.addEventListener('abort', onAbort);
    ws.on('error', (cause) => {
      const error = tlsErrorOf(cause, isSecure);
      settle(error === undefined ? { kind: 'retry', cause } : { kind: 'failed', error });
      ws.terminate();
    });
    ws.on('open', () => {
      isSecure = false;
      late.cancel();
      shakeHands(
        ws,
        new DialerHandshake(options, options.identity),
        (outcome) => {
          if (outcome.kind === 'refused') settle(failureOf(outcome.error));
          else settle({ kind: 'open', value: open(ws, bulk) });
        },
        { timeoutMs, stranger: bulk.socket },
      );
    });
  });
}

/** A socket that closed or fell silent may be a peer that is just starting or ending; a refusal is final, but for UNREACHABLE: not yet. */
function failureOf(error: CommError): { kind: 'failed'; error: CommError } | { kind: 'retry'; cause: Error } {
  const isFinal = error.phase !== 'handshake' && error.code !== 'UNREACHABLE';
  return isFinal ? { kind: 'failed', error } : { kind: 'retry', cause: error };
}

/** The socket is connected already, so the host stands for nothing here: not every one that can be dialed can be written in a URL. */
const urlOf = ({ address: { port }, path, tls }: DialOptions): string =>
  `${tls === undefined ? 'ws' : 'wss'}://peer:${port}${path}`;

/** A head passes on what ranks say of themselves, so an address can be anything. */
function checkAddress({ host, port }: Address): void {
  if (/^[^\s/?#@]+$/.test(host) && Number.isInteger(port) && port >= 1 && port <= 65535) return;
  const message = `'${host}:${port}' is no address to dial; pass a host or IP address and a port from 1 to 65535`;
  throw new CommError('INVALID_ARGUMENT', message);
}

function unreachable({ address, timeoutMs, purpose }: DialOptions, cause: Error): CommError {
  const message =
    `nothing answers at ${address.host}:${address.port} after ${timeoutMs} ms (${cause.message}); ` +
    'check the address, the firewall and that the other side runs';
  return new CommError('UNREACHABLE', message, { phase: purpose, waitedMs: timeoutMs, cause });
}

function aborted({ address, purpose, signal }: DialOptions): CommError {
  const message = `the caller ended connecting to ${address.host}:${address.port}; connect again`;
  return new CommError('ABORTED', message, { phase: purpose, cause: signal?.reason });
}
