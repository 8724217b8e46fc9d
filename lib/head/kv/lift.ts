/**
 * Blocks on their way into the cache of a rank, for a sequence that isn't computed until they are there: its first ones that the cache doesn't have, and others do.
 * Why: docs/decisions/kv_store.md#a-block-is-found-by-its-key-wherever-it-lies
 */
import type { KeyedBlock } from '../../protocol/kv_store.js';
import type { HeldLoan } from './held_loan.js';
import type { BlockOrigin } from './kv_costs.js';

/** Blocks that the rank has in its own tiers. */
export interface TierSource {
  readonly kind: 'tier';
}

/** Blocks of another rank of the job, in its cache or its tiers. */
export interface RankSource {
  readonly kind: 'rank';
  readonly rank: number;
}

/** Blocks that another instance lent for the sequence, the first of it first. */
export interface LoanSource {
  readonly kind: 'loan';
  readonly loan: HeldLoan;
}

/** Who has blocks of a lift. */
export type LiftSource = TierSource | RankSource | LoanSource;

/** Blocks of a sequence, in order of position, that one source has. */
export interface LiftSegment<Source extends LiftSource = LiftSource> {
  readonly source: Source;
  /** The place of its first block in the sequence; the others follow. */
  readonly first: number;
  readonly blocks: readonly KeyedBlock[];
  /** As many as blocks: what each costs. */
  readonly origins: readonly BlockOrigin[];
  /** As many: whether each brings the state behind its last token along. */
  readonly states: readonly boolean[];
}

/** What comes of one sequence, in the order in which it is wanted: nothing behind a block that doesn't come is of use. */
export interface Lift {
  readonly rank: number;
  readonly segments: readonly LiftSegment[];
}

/** A segment, and for whom it is. */
export interface LiftPart<Source extends LiftSource = LiftSource> extends LiftSegment<Source> {
  readonly sequence: number;
  readonly rank: number;
}

/** Has a rank fill blocks with what lies elsewhere: one per kind of source. */
export interface BlockSource<Source extends LiftSource = LiftSource> {
  /**
   * Resolves with how many are there, from the first one on; whatever fails is blocks that aren't. Rejects with the reason of `signal`, at once: whoever aborts it may
   * take it that the rank writes none of them behind any order that it is told from then on.
   */
  bring(part: LiftPart<Source>, signal: AbortSignal): Promise<number>;
}
