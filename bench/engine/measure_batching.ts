/** Tokens per second with continuous batching, against static batching of requests of the same lengths. */
import { median } from '../base/machine.js';
import { askedOf, mixedLengths, type PromptSource } from './asked.js';
import { numTokensOf, runBatch, type Batching } from './followed.js';
import { medianRatio, sized, withEngine, type Bench, type FigureRow, type Measured } from './measurement.js';
import type { Engine } from '../../lib/head/engine.js';

const CONCURRENCIES = [1, 8, 32];
const PROMPT_TOKENS = 32;
const MEAN_OUTPUT = 64;
/** Requests per place: enough that the last ones, which leave places empty, weigh little. */
const PER_PLACE = 6;

/** A row for each concurrency, on the bench's ranks. */
export async function measureBatching(bench: Bench): Promise<Measured> {
  const rows = await withEngine(bench, {}, async (engine, prompts) => {
    const all: FigureRow[] = [];
    for (const concurrency of CONCURRENCIES) all.push(await rowOf(bench, engine, prompts, concurrency));
    return all;
  });
  return {
    formula: `output tokens / time for ${PER_PLACE} × concurrency requests (8 at least) with ${PROMPT_TOKENS} prompt tokens and exponentially distributed answers, ${MEAN_OUTPUT} tokens on average; step_ratio: static steps / steps, what the ratio would be were all steps equally long`,
    baseline:
      'static: the next requests enter when all of the batch before have ended; lengths the same, rounds in turns, median of the rounds’ ratios',
    rows,
  };
}

async function rowOf(bench: Bench, engine: Engine, prompts: PromptSource, concurrency: number): Promise<FigureRow> {
  const count = sized(bench, Math.max(8, PER_PLACE * concurrency), concurrency);
  const lengths = mixedLengths(count, MEAN_OUTPUT, engine.limits.maxModelLen - PROMPT_TOKENS, bench.seed);
  const speeds: Record<Batching, number[]> = { continuous: [], static: [] };
  const steps: Record<Batching, number> = { continuous: 0, static: 0 };
  for (let round = 0; round < bench.rounds; round++) {
    for (const batching of ['continuous', 'static'] as const) {
      const asked = askedOf(prompts, PROMPT_TOKENS, lengths);
      const before = engine.stats().numSteps;
      const { ms, followed } = await runBatch(engine, asked, concurrency, batching, bench.signal);
      steps[batching] = engine.stats().numSteps - before;
      speeds[batching].push((1000 * numTokensOf(followed)) / ms);
    }
  }
  return {
    concurrency,
    requests: count,
    tokens_per_s: median(speeds.continuous),
    static_tokens_per_s: median(speeds.static),
    ratio: medianRatio(speeds.continuous, speeds.static),
    steps: steps.continuous,
    static_steps: steps.static,
    step_ratio: steps.static / steps.continuous,
  };
}
