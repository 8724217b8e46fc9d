/** KV blocks on their way from one rank to another, because sequences move. Why: docs/decisions/elastic.md#sequences-move-beside-steps */
import type { RemoteError } from '../../comm/base/errors.js';
import type { ExpertwireConfig } from '../config/schema.js';
import { blockBytesOf } from '../model/spec/cache_layout.js';
import type { ModelSpec } from '../model/spec/spec.js';

/** What blocks take on their way, in the layout that all ranks share. */
export interface KvSizes {
  /** Keys and values of a block's tokens. */
  readonly rowBytes: number;
  /** A state that a block keeps; 0 where all layers have keys and values. */
  readonly stateBytes: number;
  /** That a rank sends, and that it gets, beside one step at most: at least `rowBytes`. */
  readonly bytesPerStep: number;
}

/** Of a model's blocks. */
export function kvSizesOf({ load_balance, engine }: ExpertwireConfig, spec: ModelSpec): KvSizes {
  const { rows: rowBytes, state: stateBytes } = blockBytesOf(spec, engine.kv_dtype, engine.block_size);
  return { rowBytes, stateBytes, bytesPerStep: Math.max(load_balance.bytes_per_step, rowBytes, 1) };
}

/** Bytes `start` … `end` − 1 of a block as it is outside its cache (KvCache in lib/model/decoder/decoder.ts). */
export interface KvPiece {
  /** The block that they are read from, on the rank that sends. */
  readonly source: number;
  /** The block that they become, on the rank that gets them; written when the last of its bytes is there. */
  readonly target: number;
  readonly start: number;
  readonly end: number;
  /** Of the whole block: more where it takes a state along. */
  readonly numBytes: number;
}

/** What one rank sends to another beside one step: one frame. */
export interface KvTransfer {
  readonly from: number;
  readonly to: number;
  /** Of a block in the order of its bytes. */
  readonly pieces: readonly KvPiece[];
}

/** What came of the transfers of a step on a rank that took part in any. */
export interface KvReport {
  readonly receivedBytes: number;
  /** How much longer the step took here: reading blocks before it, and waiting for others behind it. */
  readonly stallMs: number;
  /** Transfers to this rank of which nothing can be used, each by who sent it. */
  readonly failed: readonly { readonly from: number; readonly error: RemoteError }[];
}
