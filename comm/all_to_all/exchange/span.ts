/** A stretch of one all-to-all call, for timelines. */
import type { Phase, StepTag } from '../../mesh/frame.js';

/** What a call did from when to when. */
export interface Span {
  readonly phase: Phase;
  /** pack: rows into frames; flight: from the last frame sent to the last one arrived, whatever ran meanwhile; unpack: frames into results. */
  readonly part: 'pack' | 'flight' | 'unpack';
  readonly tag: StepTag;
  /** Milliseconds of `performance.now()`. */
  readonly startMs: number;
  readonly endMs: number;
}

/** Called when a stretch has ended; it runs inside the call, so it should be quick. */
export type OnSpan = (span: Span) => void;
