/** Models with room for long prompts: random weights, and more keys and values than weights. */
import { join } from 'node:path';
import { makeRandomCheckpoint } from '../../lib/model/random_checkpoint.js';
import { randomConfig } from '../../lib/model/random_config.js';
import type { KvBench } from './kv_bench.js';

const SHAPE = { layers: 4, denseLayers: 0, hidden: 256, experts: 8, topk: 2, intermediate: 128, heads: 8, vocab: 2048 };

/** By the attention that they have. */
const CONFIGS = {
  /** Two heads of keys and values, 64 channels each, for eight of queries. */
  gqa: { ...randomConfig('qwen3_moe', { ...SHAPE, dtype: 'BF16' }), head_dim: 64, num_key_value_heads: 2 },
  /** As large as those that are published, for fewer heads. */
  mla: {
    ...randomConfig('deepseek_v3', { ...SHAPE, dtype: 'BF16' }),
    ...{ kv_lora_rank: 512, qk_rope_head_dim: 64 },
  },
} as const;

/** What kind of attention a model has. */
export type LongModel = keyof typeof CONFIGS;

/** In the order in which they are measured. */
export const LONG_MODELS = Object.keys(CONFIGS) as LongModel[];

/** Writes one with room for so many tokens; where it is. */
export async function writeLongModel(
  { folder, seed, signal }: KvBench,
  kind: LongModel,
  numTokens: number,
): Promise<string> {
  const dir = join(folder, kind);
  const config = { ...CONFIGS[kind], max_position_embeddings: numTokens };
  await makeRandomCheckpoint(dir, { config, dtype: 'BF16', seed, signal });
  return dir;
}
