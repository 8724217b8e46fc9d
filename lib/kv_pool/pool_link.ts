/** The source's end of a transfer: it asks, and the target reads. */
import type { WebSocket } from 'ws';
import { Deadline } from '../../comm/base/deadline.js';
import { dial } from '../../comm/ws/door/dial.js';
import type { TlsOptions } from '../../comm/base/tls.js';
import { KvPoolError } from './errors.js';
import { decodeAnswer, encodeBring, MAX_POOL_MESSAGE_BYTES, type BringOrder } from './pool_messages.js';

/** Where pools listen to each other. */
export const POOL_PATH = '/expertwire/kv_pool';

/** Where a pool listens, and what others have to know who bring blocks. */
export interface KvPoolAddress {
  readonly host: string;
  readonly port: number;
  /** A secret. */
  readonly key: string;
}

/** How a pool is asked. */
export interface AskOptions {
  readonly tls?: TlsOptions | undefined;
  /** How long it may give no sign of life. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Signs of life that fit into the silence that ends a link. */
const PINGS_PER_TIMEOUT = 6;

/** Has another pool read blocks; resolves with their numbers there. @throws KvPoolError REFUSED, TRANSFER_FAILED; the reason of `signal` */
export async function bring(
  { host, port, key: secret }: KvPoolAddress,
  order: BringOrder,
  { tls, timeoutMs, signal }: AskOptions,
): Promise<readonly number[]> {
  const target = { address: { host, port }, path: POOL_PATH, secret, tls, purpose: 'pool', identity: {} } as const;
  const how = { maxPayload: MAX_POOL_MESSAGE_BYTES, timeoutMs, isThere: true, signal };
  try {
    const { answer } = await dial({ ...target, ...how }, (ws) => ({ answer: answerOf(ws, timeoutMs, signal, order) }));
    return decodeAnswer(await answer);
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof KvPoolError) throw cause;
    throw new KvPoolError('TRANSFER_FAILED', `${textOf(cause)}; try again, or another pool`, { cause });
  }
}

const textOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

/** The one message that comes, or why none does. */
function answerOf(ws: WebSocket, timeoutMs: number, signal: AbortSignal, order: BringOrder): Promise<Uint8Array> {
  return new Promise<Uint8Array>((resolve, reject) => {
    let deadline: Deadline | null = null;
    const end = (error: Error): void => {
      reject(error);
      ws.terminate();
    };
    const listen = (): void => {
      deadline?.cancel();
      deadline = new Deadline(timeoutMs, () => end(new Error(`no sign of life of the other pool in ${timeoutMs} ms`)));
    };
    const onAbort = (): void => end(new Error('nobody waits for it any more'));
    const pings = setInterval(() => ws.ping(), timeoutMs / PINGS_PER_TIMEOUT);
    listen();
    signal.addEventListener('abort', onAbort, { once: true });
    ws.on('pong', listen);
    ws.on('error', end);
    ws.on('message', (data) => resolve(data as Buffer));
    ws.on('close', (code) => {
      clearInterval(pings);
      deadline?.cancel();
      signal.removeEventListener('abort', onAbort);
      reject(new Error(`the link to the other pool closed (${code})`));
    });
    ws.send(encodeBring(order));
  }).finally(() => ws.close());
}
