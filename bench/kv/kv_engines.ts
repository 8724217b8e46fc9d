/** Engines that differ in what they keep keys and values as. */
import { KV_DTYPES, type KvDtype } from '../../compute/base/kv_dtype.js';
import { closing } from '../../lib/commands/base/closing.js';
import { loadConfig } from '../../lib/config/load.js';
import { Engine } from '../../lib/head/engine.js';
import type { KvBench } from './kv_bench.js';

/** Tokens of a block. */
export const BLOCK_SIZE = 16;

/** One of each type, of one model. */
export type KvEngines = ReadonlyMap<KvDtype, Engine>;

/** Starts one rank with one thread for each, with room for two sequences of so many tokens, and closes them behind `use`. */
export async function withKvEngines<T>(
  { set, signal }: KvBench,
  model: string,
  numTokens: number,
  use: (engines: KvEngines) => Promise<T>,
): Promise<T> {
  const engines = new Map<KvDtype, Engine>();
  const numBlocks = 2 * Math.ceil(numTokens / BLOCK_SIZE) + 2;
  const keys = [`engine.block_size=${BLOCK_SIZE}`, `engine.num_kv_blocks=${numBlocks}`, 'parallel.threads=1', ...set];
  return closing(
    async () => {
      for (const engine of engines.values()) await engine.close();
    },
    async () => {
      for (const dtype of KV_DTYPES) {
        const overrides = [...keys, `engine.kv_dtype=${dtype}`];
        const config = await loadConfig({ flags: { model, parallel: { ranks: 1 } }, overrides });
        engines.set(dtype, await Engine.start({ config, signal }));
      }
      return use(engines);
    },
  );
}
