/** A full mesh of ranks that exchange frames: the interface that collectives and the all-to-all stand on. */
import type { CommError } from '../base/errors.js';
import type { FrameHeader, FrameKey } from './frame.js';
import { asRank, type Rank } from '../../base/ids.js';
import type { PayloadMemory } from './payload_pool.js';
import type { PayloadStream } from './payload_stream.js';

export type { FrameKey } from './frame.js';

/** A frame that was received, in memory that its taker has to itself. */
export interface Frame {
  readonly header: FrameHeader;
  /** The payload's bytes; 4-byte aligned, so that a Float32Array view is legal. */
  readonly payload: Uint8Array<ArrayBuffer>;
  /** When this process saw it, in ms of `performance.now()`. */
  readonly arrivedMs: number;
  /**
   * Gives the payload's memory back, for frames to come. Optional and idempotent: without it the garbage collector does, but fresh memory is slow
   * to receive into. After it neither the payload nor a view of its buffer may be used.
   */
  readonly release?: (() => void) | undefined;
}

/** A frame as a transport hands it over. */
export type ArrivingFrame = Omit<Frame, 'arrivedMs'>;

/** How long, and until whose word, a caller waits. */
export interface Wait {
  /** Milliseconds in which this process's own event loop ran; time in which it was blocked doesn't count. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** What who waits for several peers may watch, and how much patience it has with them. */
export interface GatherEvents {
  /** A peer's frame is here, `waitMs` after the wait began. */
  readonly onFrame?: (peer: Rank, waitMs: number) => void;
  /** A peer's frame won't come; true: go on without it. Default: every failure ends the wait. */
  readonly onFailure?: (peer: Rank, error: CommError) => boolean;
  /**
   * How much longer than the timeout to wait while several peers are silent: one may be lost, and the others wait for it as this rank does. Once a
   * single one is left it is the one, unless another was given up already. Default 0.
   */
  readonly graceMs?: number;
}

/** Where a rank that comes later is reached. */
export interface PeerAddress {
  readonly host: string;
  readonly port: number;
  /** What both ends of the new link know it by, and nobody else: whoever had the seat before, or asked for it, can't come in its place. */
  readonly ticket: string;
}

/** Why a mesh is no longer whole: closed by its owner, or by the first loss of a linked peer (links to the others keep working). */
export type MeshClosed =
  { readonly kind: 'closed' } | { readonly kind: 'lost'; readonly rank: Rank; readonly why: string };

/** Counters since the mesh opened, whoever had a seat; arrays are indexed by peer rank. Bytes include the frame header. */
export interface MeshStats {
  readonly framesSent: readonly number[];
  readonly bytesSent: readonly number[];
  readonly framesReceived: readonly number[];
  readonly bytesReceived: readonly number[];
  /** Frames dropped because their tag was already taken or queued. */
  readonly duplicates: number;
  /** Frames dropped because their epoch had passed. */
  readonly stale: number;
  /** Calls that had to wait for the event loop, since not all their frames were here: each is woken once, by the last of them. */
  readonly wakeUps: number;
  /** Payloads and the like that got fresh memory, since none of their size lay idle. */
  readonly allocations: number;
  /** Writes to sockets, or messages to threads. Absent where neither is. */
  readonly writes?: number;
  /** Received payloads of which any byte was copied in this process: 0 for large ones, which are read in place. Absent where nothing is received. */
  readonly copies?: number;
  /** Bytes of those copies. */
  readonly copiedBytes?: number;
}

/** Every rank of the mesh but the own one, ascending. */
export function peersOf({ size, rank: own }: Pick<Mesh, 'size' | 'rank'>): Rank[] {
  return Array.from({ length: size }, (_, rank) => asRank(rank)).filter((rank) => rank !== own);
}

/**
 * One rank's end of the mesh. Frames are matched by key, so they may come in any order and before anybody asks.
 * `size` counts seats: nobody may be in one yet, or any more. Such a peer is as one that was lost, until it is admitted.
 */
export interface Mesh {
  readonly rank: Rank;
  readonly size: number;
  /** Largest frame (header and payload) that either end accepts. */
  readonly maxFrameBytes: number;
  /** For payloads to `give`, and for what is as large and as short-lived. */
  readonly memory: PayloadMemory;
  /**
   * Queues one frame to a peer and returns at once. `payload` parts are sent one after another without a copy: they
   * must not change until the frame left.
   * @throws CommError LIMIT when the frame or what waits is too large, PEER_LOST or CLOSED
   */
  send(to: Rank, header: FrameHeader, payload: readonly Uint8Array[]): void;
  /** As `send`, of a payload that `memory` gave, whole: it is the mesh's from now on, also when this throws. */
  give(to: Rank, header: FrameHeader, payload: Uint8Array<ArrayBuffer>): void;
  /**
   * As `give`, of a payload that is made while it leaves. What this returns has all that is left made now: call it before what the payload is made of
   * changes, more than once if you like.
   */
  stream(to: Rank, header: FrameHeader, payload: PayloadStream): () => void;
  /** Waits while large frames are leaving and go on doing so, since they can't while the event loop is blocked; undefined where none is. */
  settle(): Promise<void> | undefined;
  /** Small frames leave together when a turn of the event loop ends; this lets those that were sent leave now. */
  flush(): void;
  /** The frame from `from` with this key, whenever it arrives. @throws CommError PEER_LOST, TIMEOUT, ABORTED, CLOSED or PROTOCOL. */
  receive(from: Rank, key: FrameKey, wait: Wait): Promise<Frame>;
  /**
   * The frames with this key from `peers`, in their order: at once where all are here, else when the last one comes. All are awaited from the same
   * moment, so one timeout covers them; when one fails, the others aren't awaited any more. Those that the call went on without are left out.
   * @throws CommError as `receive`; a TIMEOUT names every silent peer
   */
  gather(peers: readonly Rank[], key: FrameKey, wait: Wait, events?: GatherEvents): Frame[] | Promise<Frame[]>;
  /** Forgets queued frames of epochs before this one; later arrivals of them are counted as stale. */
  advanceEpoch(epoch: number): void;
  /** While muted, what a peer sends is discarded and counted as stale, and whoever waits for it is told ABORTED. */
  mute(rank: Rank, isMuted: boolean): void;
  /**
   * Links up with whoever takes a seat now, while everything else goes on; the peer does the same with this rank and the same ticket. Nothing is left of
   * who had the seat before: its link is dropped, its frames are forgotten. It stays muted where it is. Frames travel when this resolves.
   * @throws CommError UNREACHABLE, TIMEOUT, ABORTED (`dismiss` or the signal), AUTH_FAILED, PEER_LOST, VERSION_MISMATCH, FINGERPRINT_MISMATCH, PROTOCOL,
   * CLOSED, or INVALID_ARGUMENT for what is no peer or where none can come later; then the seat is empty
   */
  admit(rank: Rank, address: PeerAddress, wait: Wait): Promise<void>;
  /** Idempotent: drops the link to a peer at once, or ends an `admit`. Who waits for it is told PEER_LOST with `why`; `closed` isn't settled by it. */
  dismiss(rank: Rank, why: string): void;
  /** A copy of the counters. */
  stats(): MeshStats;
  /**
   * Idempotent: closes every link and port; waiting callers reject with CLOSED. What was sent has half a second to leave: let a `barrier` be the
   * last thing where a peer may be slow to read.
   */
  close(): Promise<void>;
  /** Settles once, with why the mesh is no longer whole. */
  readonly closed: Promise<MeshClosed>;
}
