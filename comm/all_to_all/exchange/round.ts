/** One round of an all-to-all: a frame to each of several peers, what this rank keeps for itself, and a frame from each. */
import type { FrameHeader, Phase, StepTag } from '../../mesh/frame.js';
import type { Frame } from '../../mesh/mesh.js';
import type { PayloadStream } from '../../mesh/payload_stream.js';
import type { Rank } from '../../../base/ids.js';

/** One dispatch or combine. */
export interface Call {
  readonly tag: StepTag;
  readonly signal: AbortSignal | undefined;
  /** Ranks without tokens in the dispatch. Default: nobody knows of any. */
  readonly idle?: ReadonlySet<Rank> | undefined;
}

/** What the frames of a round say alike, whoever sends them. */
export interface FrameForm extends Pick<FrameHeader, 'hidden' | 'numTopk' | 'dtype' | 'flags'> {
  /** Bytes on the wire, header included, of a frame with so many rows. */
  readonly frameBytes: (numRows: number) => number;
}

/** What goes to one rank. */
export interface RowCounts {
  readonly numRows: number;
  /** Distinct tokens that the rows stand for. Default: as many as rows. */
  readonly numTokens?: number;
}

/**
 * What travels: the mesh's own memory, which goes back there, or somebody's that must not change until it has left, or what is made while it leaves, of
 * what must not change until the round is over.
 */
export type FramePayload =
  | { readonly payload: Uint8Array; readonly isOwn?: false }
  | { readonly payload: Uint8Array<ArrayBuffer>; readonly isOwn: true }
  | { readonly parts: readonly Uint8Array[] }
  | { readonly stream: PayloadStream };

/** What a round's frames say, and what goes to whom; `Own`: what this rank keeps for itself. */
export interface RoundRows<Own> {
  /** Of a peer's frame, and of what this rank keeps. */
  readonly countsOf: (rank: Rank) => RowCounts;
  /** The payload to a peer, made right before it is sent. */
  readonly pack: (peer: Rank) => FramePayload;
  /** Called when all frames have left: it takes time that they travel. */
  readonly keep: () => Own;
}

/** The frames that a round is about. */
export interface RoundFrames extends Call {
  readonly phase: Phase;
  readonly form: FrameForm;
  /** Who gets a frame, also without rows, since whoever gets none would wait for it. */
  readonly peers: readonly Rank[];
}

/** Everything that an exchange needs for one frame to and from each of several peers. */
export interface Round<Own> extends RoundFrames, RoundRows<Own> {
  /** When work on its frames began, in ms of `performance.now()`. */
  readonly startMs: number;
  /** Who sends one. Default: whoever gets one. */
  readonly sources?: readonly Rank[];
  /**
   * How many deadlines long it waits, one more for those that may have waited with grace themselves. Default 1; with 'mask', one of grace
   * while several peers are silent.
   */
  readonly patience?: number;
  /** Peers are taken out as soon as their frames left. */
  readonly unsent?: Set<Rank>;
}

/** A round at its end. */
export interface Gathered<Own> {
  readonly own: Own;
  /** In the order of the peers, without those that are masked by now. */
  readonly frames: readonly Frame[];
  /** When the last of them came, but not before this rank had sent its own. */
  readonly arrivedMs: number;
}
