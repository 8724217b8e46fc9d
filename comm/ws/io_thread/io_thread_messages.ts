/** What a compute thread and its I/O thread tell each other; frames that leave are bare ArrayBuffers (frame_port). */
import type { Address } from '../door/dial.js';
import { CommError, type CommErrorCode, type CommErrorContext } from '../../base/errors.js';
import type { FrameHeader, FrameKey } from '../../mesh/frame.js';
import type { Rank } from '../../../base/ids.js';
import type { MeshStats, PeerAddress } from '../../mesh/mesh.js';
import type { RefusedFrom } from '../door/refusals.js';
import type { PeerServerOptions, WsMeshOptions } from '../ws_mesh.js';

/** Where and how the I/O thread listens: its `workerData`. */
export interface IoThreadOrder {
  readonly address: Address;
  readonly tls: PeerServerOptions['tls'];
}

/** What the compute thread tells; a `receive` is answered once, by `frame` or `refused` with its id. */
export type ToIoThread =
  | { readonly kind: 'open'; readonly options: ThreadMeshOptions }
  /** Stop opening. */
  | { readonly kind: 'abort' }
  | { readonly kind: 'receive'; readonly id: number; readonly from: Rank; readonly key: FrameKey }
  /** Nobody waits any more; it is answered all the same, perhaps with the frame. */
  | { readonly kind: 'cancel'; readonly id: number }
  | { readonly kind: 'advance_epoch'; readonly epoch: number }
  | { readonly kind: 'mute'; readonly rank: Rank; readonly isMuted: boolean }
  /** Answered once, by `admitted` or `not_admitted` with its id. */
  | {
      readonly kind: 'admit';
      readonly id: number;
      readonly rank: Rank;
      readonly address: PeerAddress;
      readonly timeoutMs: number;
    }
  | { readonly kind: 'dismiss'; readonly rank: Rank; readonly why: string }
  | { readonly kind: 'close' };

/** What can be told to a thread. */
export type ThreadMeshOptions = Omit<WsMeshOptions, 'server' | 'signal' | 'onLost'>;

/** What the I/O thread tells. `listening`, or `failed`, is the first. */
export type FromIoThread =
  | { readonly kind: 'listening'; readonly host: string; readonly port: number }
  | { readonly kind: 'open' }
  /** It can't listen or link; it ends. */
  | { readonly kind: 'failed'; readonly error: PlainError }
  | {
      readonly kind: 'frame';
      readonly id: number;
      readonly header: FrameHeader;
      readonly payload: Uint8Array<ArrayBuffer>;
      /** Milliseconds since the Unix epoch: threads count `performance.now()` from different moments. */
      readonly arrivedAtMs: number;
      readonly stats: MeshStats;
    }
  | { readonly kind: 'refused'; readonly id: number; readonly error: PlainError; readonly stats: MeshStats }
  /** A frame could not be sent to this rank. */
  | { readonly kind: 'unsent'; readonly to: Rank; readonly error: PlainError }
  /** A stranger was turned away. */
  | { readonly kind: 'turned_away'; readonly error: PlainError; readonly from: RefusedFrom }
  | { readonly kind: 'lost'; readonly rank: Rank; readonly why: string; readonly code: CommErrorCode }
  | { readonly kind: 'admitted'; readonly id: number }
  | { readonly kind: 'not_admitted'; readonly id: number; readonly error: PlainError };

/** A CommError as data: structured cloning would lose its class and fields. */
export interface PlainError extends Omit<CommErrorContext, 'remote' | 'cause'> {
  readonly code: CommErrorCode;
  readonly text: string;
}

/** A CommError as it travels between threads. @throws `error` itself when it is no CommError. */
export function plainErrorOf(error: unknown): PlainError {
  if (!(error instanceof CommError)) throw error;
  const { code, text, rank, layer, phase, waitedMs, blames } = error;
  return { code, text, rank, layer, phase, waitedMs, isItsDoing: blames.length > 0 };
}

/** The CommError again, on the other side; `cause` doesn't travel and is given here. */
export const errorOfPlain = ({ code, text, ...context }: PlainError, cause?: unknown): CommError =>
  new CommError(code, text, { ...context, cause });
