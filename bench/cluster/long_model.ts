/** The model whose requests move: random weights, grouped-query attention, and room for long prompts. */
import { join } from 'node:path';
import { makeRandomCheckpoint } from '../../lib/model/random_checkpoint.js';
import { randomConfig } from '../../lib/model/random_config.js';
import { MAX_POSITIONS } from './options.js';

const SHAPE = {
  layers: 8,
  denseLayers: 0,
  hidden: 256,
  experts: 16,
  topk: 4,
  intermediate: 256,
  heads: 4,
  vocab: 2048,
};
/** Two heads of 64 floats, keys and values, in 8 layers: 8 KiB per token. */
const NUM_KV_HEADS = 2;

/** Writes it into a folder; where it is. */
export async function writeLongModel(folder: string, seed: number, signal: AbortSignal): Promise<string> {
  const dir = join(folder, 'long');
  const shape = randomConfig('qwen3_moe', { ...SHAPE, dtype: 'BF16' });
  const config = { ...shape, num_key_value_heads: NUM_KV_HEADS, max_position_embeddings: MAX_POSITIONS };
  await makeRandomCheckpoint(dir, { config, dtype: 'BF16', seed, signal });
  return dir;
}

/** KV blocks that one rank has of it, and no prefix cache: whatever moves, moves whole. */
export const LONG_KEYS = ['engine.num_kv_blocks=1024', 'engine.prefix_cache=off', 'comm.reduce=source'] as const;
