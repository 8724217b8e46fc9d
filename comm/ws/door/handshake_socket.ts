/** Drives a handshake over a WebSocket. */
import type { Socket } from 'node:net';
import type { RawData, WebSocket } from 'ws';
import { Deadline } from '../../base/deadline.js';
import { CommError } from '../../base/errors.js';
import { MAX_HANDSHAKE_BYTES, type HandshakeStep } from './handshake.js';

/** How long a socket may stay unauthenticated: a machine that starts more ranks than it has cores is slow to answer. */
export const HANDSHAKE_TIMEOUT_MS = 30_000;
const CLOSE_GRACE_MS = 500;

/** Either side of a handshake. */
export interface HandshakeSide {
  /** Takes the peer's next message; says what to answer and whether the handshake has ended. */
  receive(message: Uint8Array): HandshakeStep;
}

/** What bounds a handshake. */
export interface ShakeOptions {
  /** Default 30000. */
  readonly timeoutMs?: number | undefined;
  /** The transport of the peer: cut when it sends more than a handshake takes. */
  readonly stranger?: Socket | undefined;
}

/** Accepted, with the identity that a dialer proved, or refused, with the reason. */
export type HandshakeOutcome = NonNullable<HandshakeStep['outcome']>;

/**
 * Answers the peer's messages until `side` comes to an outcome, the socket closes or time is up.
 * `done` is called once, in the turn of the last message: the next message may be in the same read, so whoever wants it
 * must listen before this turn ends. A socket whose handshake failed is closed.
 */
export function shakeHands(
  socket: WebSocket,
  side: HandshakeSide,
  done: (outcome: HandshakeOutcome) => void,
  { timeoutMs = HANDSHAKE_TIMEOUT_MS, stranger }: ShakeOptions = {},
): void {
  let numBytes = 0;
  // ws would gather a message of up to its maxPayload, which is meant for ranks, from anybody.
  const onData = (chunk: Buffer): void => {
    numBytes += chunk.length;
    if (numBytes > 2 * MAX_HANDSHAKE_BYTES) stranger?.destroy();
  };
  const settle = (outcome: HandshakeOutcome): void => {
    deadline.cancel();
    socket.off('message', onMessage);
    socket.off('close', onClose);
    // Who was refused is still listened to for a moment, and must not fill our memory meanwhile.
    if (outcome.kind === 'refused') dismiss(socket);
    else stranger?.off('data', onData);
    done(outcome);
  };
  const onMessage = (data: RawData): void => {
    const { reply, outcome } = side.receive(data as Buffer);
    if (reply !== undefined) socket.send(reply);
    if (outcome !== undefined) settle(outcome);
  };
  const onClose = (code: number): void => settle(refused('UNREACHABLE', `the connection closed (${code})`));
  const deadline = new Deadline(timeoutMs, () => {
    settle(refused('TIMEOUT', `no answer in ${timeoutMs} ms`));
    socket.terminate();
  });
  socket.on('message', onMessage);
  socket.on('close', onClose);
  stranger?.on('data', onData);
}

/** A refused peer gets the reason and a moment to take it, not ws's half minute. */
function dismiss(socket: WebSocket): void {
  const timer = setTimeout(() => socket.terminate(), CLOSE_GRACE_MS);
  socket.once('close', () => clearTimeout(timer));
  socket.close(1008);
}

function refused(code: 'UNREACHABLE' | 'TIMEOUT', what: string): HandshakeOutcome {
  const message = `${what} during the handshake; is this the port of an expertwire job?`;
  return { kind: 'refused', error: new CommError(code, message, { phase: 'handshake' }) };
}
