/** What one rank may hold at once, from configuration and model. */
import { ConfigError } from '../config/errors.js';
import type { ExpertwireConfig } from '../config/schema.js';
import { cacheBlockBytes, stateFloatsOf } from '../model/spec/cache_layout.js';
import { kvFloatsPerToken, numAttentionLayersOf, type ModelSpec } from '../model/spec/spec.js';

/** The limits of one rank; all ranks of a job have the same. */
export interface EngineLimits {
  readonly maxNumSeqs: number;
  readonly maxNumBatchedTokens: number;
  /** Tokens per KV block. */
  readonly blockSize: number;
  readonly numKvBlocks: number;
  readonly maxModelLen: number;
  /** What one step tells the head of its tokens, beside their ids: logits, and what looks see. */
  readonly maxToldBytes: number;
  /** Default null: all layers have keys and values. */
  readonly states?: StateLimits | null;
  /** Of the blocks in the last place of a rank, those that may be pinned at once. Default 0. */
  readonly pinShare?: number;
  /** No block is pinned for longer. Default: as long as requests say. */
  readonly maxPinMs?: number;
}

/** What the states of sequences may take of a rank beside its KV blocks. Why: docs/decisions/states.md#blocks-keep-some-states */
export interface StateLimits {
  /** Blocks that keep a state at once. */
  readonly maxKept: number;
  /** Tokens of a prompt from one state that is kept to the next: whole blocks. */
  readonly interval: number;
}

/** `kept_states: auto` stays under this, unless a single state is larger. */
const AUTO_STATE_BYTES = 2 ** 30;
/** `num_kv_blocks: auto` stays under this. */
const AUTO_KV_BYTES = 2 ** 29;
/** `maxToldBytes`, unless the logits of one token are more. */
const MAX_TOLD_BYTES = 16 * 2 ** 20;

/** The most tokens that a sequence may have, prompt and answer together. */
export const mostTokensOf = ({
  maxModelLen,
  numKvBlocks,
  blockSize,
}: Pick<EngineLimits, 'maxModelLen' | 'numKvBlocks' | 'blockSize'>): number =>
  Math.min(maxModelLen, numKvBlocks * blockSize);

/** @throws ConfigError INVALID_VALUE where two limits contradict each other or the model */
export function limitsOf({ engine }: ExpertwireConfig, spec: ModelSpec): EngineLimits {
  const maxModelLen = engine.max_model_len === 'auto' ? spec.maxPositions : engine.max_model_len;
  if (maxModelLen > spec.maxPositions) {
    throw new ConfigError(
      'INVALID_VALUE',
      `engine.max_model_len is ${maxModelLen}, and the model has ${spec.maxPositions} positions; lower it`,
      { key: 'engine.max_model_len' },
    );
  }
  if (engine.max_num_batched_tokens < engine.max_num_seqs) {
    throw new ConfigError(
      'INVALID_VALUE',
      `engine.max_num_batched_tokens is ${engine.max_num_batched_tokens}, less than one token for each of ` +
        `engine.max_num_seqs ${engine.max_num_seqs}; raise it or lower max_num_seqs`,
      { key: 'engine.max_num_batched_tokens' },
    );
  }
  if (engine.kv_tiers.length > 0 && engine.prefix_cache === 'off') {
    throw new ConfigError(
      'INVALID_VALUE',
      'engine.kv_tiers has tiers for blocks that are found again, and engine.prefix_cache is off; set it to auto, or kv_tiers to []',
      { key: 'engine.kv_tiers' },
    );
  }
  const blockBytes = kvBlockBytes(spec, engine);
  const blocksPerSequence = Math.ceil(maxModelLen / engine.block_size);
  const autoBlocks = Math.min(
    engine.max_num_seqs * blocksPerSequence,
    Math.max(1, Math.floor(AUTO_KV_BYTES / blockBytes)),
  );
  return {
    maxNumSeqs: engine.max_num_seqs,
    maxNumBatchedTokens: engine.max_num_batched_tokens,
    blockSize: engine.block_size,
    numKvBlocks: engine.num_kv_blocks === 'auto' ? autoBlocks : engine.num_kv_blocks,
    pinShare: engine.kv_pin_share,
    maxPinMs: engine.kv_pin_max_ms,
    maxModelLen,
    maxToldBytes: Math.max(MAX_TOLD_BYTES, 4 * spec.vocabSize),
    states: stateLimitsOf(engine, spec),
  };
}

/** Of all layers, the most that one of the computes takes: types but f32 are the kernels' alone. */
const kvBlockBytes = (
  spec: ModelSpec,
  { kv_dtype: dtype, block_size: blockSize }: ExpertwireConfig['engine'],
): number =>
  dtype === 'f32'
    ? 4 * kvFloatsPerToken(spec) * blockSize
    : numAttentionLayersOf(spec) * cacheBlockBytes(spec.attention, dtype, blockSize);

/** States that a rank may hold: one for each sequence that runs, and those that blocks keep. */
export const numStatesOf = ({ maxNumSeqs, states }: EngineLimits): number => (states ? maxNumSeqs + states.maxKept : 0);

function stateLimitsOf(engine: ExpertwireConfig['engine'], { layers, hiddenSize }: ModelSpec): StateLimits | null {
  const numFloats = stateFloatsOf(layers, hiddenSize);
  if (numFloats === 0) return null;
  const fitting = Math.max(1, Math.floor(AUTO_STATE_BYTES / (4 * numFloats)));
  const maxKept = engine.kept_states === 'auto' ? Math.min(2 * engine.max_num_seqs, fitting) : engine.kept_states;
  return {
    maxKept: engine.prefix_cache === 'off' ? 0 : maxKept,
    interval: engine.block_size * Math.ceil(engine.state_interval / engine.block_size),
  };
}
