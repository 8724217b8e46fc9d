/** A stretch of one all-to-all call, for timelines. */
import type { Phase, StepTag } from '../../mesh/frame.js';

export interface Span {
  readonly phase: Phase;
  /** pack: rows into frames; flight: from the last frame sent to the last one arrived, whatever ran meanwhile; unpack: frames into results. */
  readonly part: 'pack' | 'flight' | 'unpack';
  readonly tag: StepTag;
  /** Milliseconds of `performance.now()`. */
  readonly startMs: number;
  readonly endMs: number;
}

export type OnSpan = (span: Span) => void;
