/** Drives a handshake over a WebSocket. */
import type { RawData, WebSocket } from 'ws';
import { CommError } from './errors.js';
import type { HandshakeStep } from './handshake.js';

/** How long a socket may stay unauthenticated. */
export const HANDSHAKE_TIMEOUT_MS = 5000;

/** Either side of a handshake. */
export interface HandshakeSide {
  receive(message: Uint8Array): HandshakeStep;
}

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
  timeoutMs = HANDSHAKE_TIMEOUT_MS,
): void {
  const settle = (outcome: HandshakeOutcome): void => {
    clearTimeout(timer);
    socket.off('message', onMessage);
    socket.off('close', onClose);
    if (outcome.kind === 'refused') socket.close(1008);
    done(outcome);
  };
  const onMessage = (data: RawData): void => {
    const { reply, outcome } = side.receive(data as Buffer);
    if (reply !== undefined) socket.send(reply);
    if (outcome !== undefined) settle(outcome);
  };
  const onClose = (code: number): void => settle(refused('UNREACHABLE', `the connection closed (${code})`));
  const timer = setTimeout(() => {
    settle(refused('TIMEOUT', `no answer in ${timeoutMs} ms`));
    socket.terminate();
  }, timeoutMs);
  socket.on('message', onMessage);
  socket.on('close', onClose);
}

function refused(code: 'UNREACHABLE' | 'TIMEOUT', what: string): HandshakeOutcome {
  const message = `${what} during the handshake; is this the port of an expertwire job?`;
  return { kind: 'refused', error: new CommError(code, message, { phase: 'handshake' }) };
}
