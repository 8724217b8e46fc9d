/** What a scheduler is made for, and what may change about it later. */
import type { KvSizes } from '../../protocol/kv_transfer.js';
import type { KvCosts } from '../kv/kv_costs.js';
import type { SchedulingPolicy } from './policy.js';
import type { PrefixSharing } from './blocks/prefix_sharing.js';
import type { BlockLimits } from './sequence_blocks.js';
import type { Told } from './told.js';

/** Limits are per rank; plans are by seat. */
export interface SchedulerLimits extends BlockLimits {
  /** Seats that are taken at the start. Default: all. */
  readonly members?: Iterable<number>;
  /** The epoch that they are in. Default 0. */
  readonly epoch?: number;
  readonly maxNumSeqs: number;
  readonly maxNumBatchedTokens: number;
  /** What one step tells the head of its tokens, beside their ids. */
  readonly maxToldBytes: number;
  /** What sequences take along that move to other ranks. */
  readonly kv: KvSizes;
}

/** The limits of the ranks, and what decides within them. */
export interface SchedulerOptions extends SchedulerLimits {
  readonly policy: SchedulingPolicy;
  /** Null: each sequence computes all of its tokens. */
  readonly sharing: PrefixSharing | null;
  /** How large it is what tokens tell. */
  readonly told: Told;
  /** How many times longer than the median rank one takes for the same work of its own. Default: all alike. */
  readonly paceOf?: (rank: number) => number;
  /** No block is pinned for longer. Default: as long as requests say. */
  readonly maxPinMs?: number;
  /** The clock of pins. Default performance.now. */
  readonly nowMs?: () => number;
  /** Blocks that a sequence finds free to grow into before another one is admitted beside it. */
  readonly numHeadroomBlocks: number;
  /** Whether blocks that lie elsewhere are brought. Default: always. */
  readonly costs?: Pick<KvCosts, 'numWorth' | 'numCheaper'>;
}

/** Who computes sequences from now on. */
export interface SchedulerEpoch {
  readonly epoch: number;
  /** All others hold nothing any more; who wasn't before is new, and holds nothing yet. */
  readonly present: ReadonlySet<number>;
  /** Those that may be given sequences. */
  readonly takers: ReadonlySet<number>;
  /** Those whose sequences go to takers, but to themselves where they are takers; who is neither, keeps what it has. */
  readonly leaving: ReadonlySet<number>;
  /** Ranks that are gone whose end may be the doing of what they computed. Default: none. */
  readonly failed?: readonly number[];
  /** Ranks that are gone, with what they said. Default: none. */
  readonly gone?: readonly number[];
  /** Steps began that don't count. */
  readonly hasAbandoned: boolean;
}

/** What a loss does to the sequences of the lost ranks. */
export interface Homeless {
  /** Sequences that wait to be computed anew. */
  readonly numRequeued: number;
  /** Those that two ranks failed at, one after the other: they are over, and these are the ranks. */
  readonly failed: readonly { readonly sequence: number; readonly ranks: readonly number[] }[];
}
