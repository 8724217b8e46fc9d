/**
 * The dense part of a model on one rank: everything but the routed experts, in the memory of whatever computes it. One implementation per kind of
 * compute (tensors/, kernels/), proved equal. Shape suffixes: T tokens of the step, H hidden, V vocabulary.
 * Why: docs/decisions/exactness.md#two-computes
 */
import type { MoeTokens } from '../../../experts/layer/moe_tokens.js';
import type { MlaForm, ModelSpec } from '../spec/spec.js';
import type { Residence } from '../weights/residence.js';
import type { LogitRow } from './logits.js';

/** A sequence's blocks, in order of position; the head's block ledger hands out the ids. */
export type BlockTable = readonly number[];

/** One sequence's tokens in a step: rows rowStart … rowStart + numTokens − 1. */
export interface SequencePart {
  readonly rowStart: number;
  readonly numTokens: number;
  /** Position of the first of them. */
  readonly position: number;
  readonly blocks: BlockTable;
  /** Needed by models whose layers don't all have keys and values. */
  readonly state?: SequenceStateWish;
  /** Prompt tokens; generated ones otherwise. The form that `mla: auto` takes depends on this alone, never on chunking. */
  readonly isPrompt: boolean;
}

/** Whose state a part changes, and where copies of it are kept: behind so many tokens of the sequence, ends of blocks, ascending. */
export interface SequenceStateWish {
  readonly sequence: number;
  readonly keeps: readonly number[];
}

/** A step's tokens on one rank, at least one. */
export interface StepTokens {
  readonly tokenIds: Int32Array;
  /** Generated tokens before prompt tokens, in ascending rowStart. */
  readonly parts: readonly SequencePart[];
}

/**
 * Keys and values of past tokens, in blocks; a block exists from the first write to it until it is freed.
 *
 * Outside its cache a block is the same bytes for every compute, so that it can be kept elsewhere, or go on in the cache of another rank that has the same model, block
 * size and type of keys and values: little-endian rows of that type (kv_dtype.ts) without header or padding, [layers, lanes, tokens of a block, bytes of a token's rows],
 * with the lanes of cache_layout.ts. A block that keeps a state has it behind all of its rows, in float32.
 */
export interface KvCache {
  /** Tokens per block. */
  readonly blockSize: number;
  readonly numBlocks: number;
  /**
   * What a block holds at the time of the call, bit by bit. Which of its tokens count is the sequence's business: of others there are zeros, or what was there before.
   * @throws InternalError for a block that holds nothing
   */
  read(block: number): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * Replaces what a block holds, for all its tokens; also while a step of other sequences runs. The bytes stay the caller's.
   * @throws InternalError for another number of bytes, and nothing changed; ExpertError OUT_OF_MEMORY
   */
  write(block: number, bytes: Uint8Array): void;
  /**
   * Rows of tokens `from` … `to` − 1 of a sequence in one of the attention layers, as they are at the time of the call: a copy [n, lanes, bytes of a token's rows],
   * the same whatever the block size and the compute.
   * @throws InternalError where a block holds nothing, or the table is too short
   */
  readRows(table: BlockTable, layer: number, from: number, to: number): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * Replaces the rows of tokens from `from` on of a sequence in one layer, and no others; also while a step of other sequences runs. The rows stay the caller's.
   * @throws InternalError for rows that are no whole tokens' or a table that is too short, and nothing changed; ExpertError OUT_OF_MEMORY
   */
  writeRows(table: BlockTable, layer: number, from: number, rows: Uint8Array): void;
  /** Forgets blocks that the head took back, and the states that they keep. */
  free(ids: readonly number[]): void;
  /** Null where all layers have keys and values. */
  readonly states: StateCache | null;
}

/**
 * States of layers without keys and values. A sequence has one, which its steps change: a step of it can't run again, but a sequence can begin anew behind a block that
 * keeps a state. Why: docs/decisions/states.md#a-sequence-has-one-state
 */
export interface StateCache {
  /** Forgets the states that blocks keep, and nothing else of them. */
  forget(blocks: readonly number[]): void;
  /** Forgets sequences that are over, or begin anew. */
  end(sequences: readonly number[]): void;
}

/** What a decoder's form and size depend on. */
export interface DecoderOptions {
  readonly spec: ModelSpec;
  readonly mla: MlaForm;
  readonly residence: Residence;
  /** Tokens per KV block. */
  readonly blockSize: number;
}

/** A loaded dense part: it embeds a step's tokens, and the states then go through its layers. */
export interface Decoder {
  readonly cache: KvCache;
  /** Embeds tokens. One step at a time: what it returns must be disposed before the next. */
  begin(tokens: StepTokens): HiddenStates;
  /** Frees weights and cache. Hidden states must be disposed before. */
  dispose(): void;
}

/** The hidden states [T,H] of one step's tokens, and what layers do to them: one after the other, each when the one before is done. */
export interface HiddenStates {
  /** Norm, attention over the tokens so far, residual. Keys and values that it writes into the cache are overwritten when the step runs again. */
  attend(layer: number): Promise<void> | undefined;
  /** Norm, dense feed-forward network, residual; of a dense layer. */
  feedForward(layer: number): Promise<void> | undefined;
  /** Norm; then what the MoE layer does. Its `add` is the residual. */
  moe(layer: number): MoeTokens;
  /** A copy of some rows as they are at this moment, [n·H]. */
  read(rows: readonly number[]): Float32Array | Promise<Float32Array>;
  /** Logits of some rows, behind the final norm; valid until the states are disposed. */
  logits(rows: readonly number[]): Promise<readonly LogitRow[]>;
  /** Frees what the step alone needed; the cache keeps what the step wrote. */
  dispose(): void;
}
