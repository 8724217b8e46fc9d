/** Time to the first token with and without a hit in the prefix cache. */
import { median } from '../base/machine.js';
import { follow, ttftOf } from './followed.js';
import { medianRatio, sized, withEngine, type Bench, type Measured } from './measurement.js';

const PREFIX_TOKENS = 512;
const SUFFIX_TOKENS = 16;
const REPEATS = 8;

/** One row. */
export async function measurePrefix(bench: Bench): Promise<Measured> {
  const [misses, hits, cached]: [number[], number[], number[]] = [[], [], []];
  await withEngine(bench, { model: bench.longModel }, async (engine, prompts) => {
    for (let i = 0; i < sized(bench, REPEATS * bench.rounds, 2); i++) {
      const prefix = prompts.next(PREFIX_TOKENS);
      const ask = () => ({ promptTokenIds: [...prefix, ...prompts.next(SUFFIX_TOKENS)], maxNewTokens: 4 });
      misses.push(ttftOf(await follow(engine, ask(), bench.signal)));
      const hit = await follow(engine, ask(), bench.signal);
      hits.push(ttftOf(hit));
      cached.push(hit.numCachedTokens);
    }
  });
  return {
    formula: `time to the first token of ${PREFIX_TOKENS} + ${SUFFIX_TOKENS} prompt tokens, of which an earlier request, which is over, had the first ${PREFIX_TOKENS}`,
    baseline: 'miss: that earlier request, on the same engine, right before; median of the pairs’ ratios (miss / hit)',
    rows: [
      {
        hit_ttft_ms: median(hits),
        miss_ttft_ms: median(misses),
        ratio: medianRatio(misses, hits),
        cached_tokens: median(cached),
      },
    ],
  };
}
