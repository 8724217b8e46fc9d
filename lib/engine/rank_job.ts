/** What the head tells every rank about the job when it joins. */
import type { Reduce, WireOptions } from '../../comm/all_to_all.js';
import { combineBytes, dispatchBytes } from '../../comm/all_to_all.js';
import { FRAME_HEADER_BYTES } from '../../comm/frame.js';
import type { PlacementStrategy } from '../../experts/placement.js';
import type { BackendChoice } from '../../experts/tf.js';
import type { MlaForm } from '../model/mla.js';
import type { ModelSpec } from '../model/spec.js';

export interface RankJob {
  /** Model folder, as the head sees it. */
  readonly model: string;
  /** What the head read in its config.json; the fingerprint makes sure that every rank's is the same. */
  readonly spec: ModelSpec;
  readonly backend: BackendChoice;
  readonly placement: PlacementStrategy;
  readonly reduce: Reduce;
  readonly wire: Required<WireOptions>;
  readonly microBatches: number;
  /** Sockets in a thread of their own. */
  readonly ioThread: boolean;
  /** Report what ran when with each step's result. */
  readonly trace: boolean;
  readonly mla: MlaForm;
  readonly timeoutMs: number;
  /** 'mask': a rank that misses a peer waits for the head to declare a new epoch. */
  readonly onPeerLoss: 'fail' | 'mask';
  /** Tokens per KV block. */
  readonly blockSize: number;
  readonly maxNumBatchedTokens: number;
}

/** The largest frame of a job: all tokens of a rank's step to one other rank, or all their experts' rows back. */
export function maxFrameBytesOf({ spec: { hiddenSize, moe }, maxNumBatchedTokens, reduce, wire }: RankJob): number {
  const { numTopk } = moe.gate;
  const numReturned = reduce === 'source' ? maxNumBatchedTokens * numTopk : maxNumBatchedTokens;
  const payload = Math.max(
    dispatchBytes(maxNumBatchedTokens, { hidden: hiddenSize, numTopk, reduce, dtype: wire.dispatch }),
    combineBytes(numReturned, hiddenSize, wire.combine),
  );
  return FRAME_HEADER_BYTES + payload;
}
