/** What becomes of experts when ranks come and go. */
import type { EngineError } from '../../protocol/errors.js';
import type { Moved } from './move_stats.js';

/** Ranks took over the experts that nobody held any more. */
export interface Recovered {
  /** Over all layers. */
  readonly numExperts: number;
  /** How long no step ran for it. */
  readonly recoveryMs: number;
}

/** `why`: what changed, as in 'rank 3 joined'. */
export type ExpertsEvent =
  | ({ readonly kind: 'recovered' } & Recovered)
  /** They are spread over those who may hold some now. */
  | { readonly kind: 'spread'; readonly why: string; readonly moved: Moved }
  /** They could not be spread anew: everything stays where it is. */
  | { readonly kind: 'failed'; readonly why: string; readonly error: EngineError };

/** Told of each. */
export type OnExperts = (event: ExpertsEvent) => void;
