/** A stretch of one all-to-all call, for timelines. */
import type { Rank } from '../../../base/ids.js';
import type { Phase, StepTag } from '../../mesh/frame.js';

/** A frame to or from one peer. */
export interface FrameSpan {
  readonly peer: Rank;
  readonly numRows: number;
  /** On the wire, header included. */
  readonly bytes: number;
}

/** A frame that came. */
export interface ArrivedFrame extends FrameSpan {
  /** In milliseconds of `performance.now()`; a faster peer's may have been here before this rank sent its own. */
  readonly arrivedMs: number;
}

/** What a call did from when to when. */
export interface Span {
  readonly phase: Phase;
  /** pack: rows into frames; flight: from the last frame sent to the last one arrived, whatever ran meanwhile; unpack: frames into results. */
  readonly part: 'pack' | 'flight' | 'unpack';
  readonly tag: StepTag;
  /** Milliseconds of `performance.now()`. */
  readonly startMs: number;
  readonly endMs: number;
  /** Of `pack`: what left then. */
  readonly sent?: readonly FrameSpan[];
  /** Of `flight`: what came. */
  readonly received?: readonly ArrivedFrame[];
}

/** Called when a stretch has ended; it runs inside the call, so it should be quick. */
export type OnSpan = (span: Span) => void;
