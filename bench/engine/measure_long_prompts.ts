/** What decoding sequences notice of a long prompt: its chunks mixed with their tokens, against the whole prompt in one step. */
import type { Engine } from '../../lib/head/engine.js';
import { percentile } from '../serve/figures/distribution.js';
import { median } from '../base/machine.js';
import type { PromptSource } from './asked.js';
import { follow, ttftOf, type Followed } from './followed.js';
import { medianRatio, sized, withEngine, type Bench, type Measured } from './measurement.js';

const NUM_DECODING = 4;
const LONG_TOKENS = 1536;
const NUM_LONG = 4;
/** Tokens of a step: the decoding ones and a small chunk. */
const CHUNKED_TOKENS = 64;
/** Tokens that a sequence generates before the first long prompt comes, and that it has for all of them. */
const HEAD_START = 16;
const OUTPUT_TOKENS = 1500;

/** One row. */
export async function measureLongPrompts(bench: Bench): Promise<Measured> {
  const whole = ['engine.max_num_batched_tokens=4096'];
  const chunked = [`engine.max_num_batched_tokens=${CHUNKED_TOKENS}`, 'engine.max_num_seqs=16'];
  const model = bench.longModel;
  const runs = await withEngine(bench, { model, set: chunked }, (chunkedEngine, prompts) =>
    withEngine(bench, { model, set: whole }, async (wholeEngine) => {
      const all: { readonly chunked: LongRun; readonly whole: LongRun }[] = [];
      for (let round = 0; round < bench.rounds; round++)
        all.push({
          chunked: await longRun(bench, chunkedEngine, prompts),
          whole: await longRun(bench, wholeEngine, prompts),
        });
      return all;
    }),
  );
  const each = (of: 'chunked' | 'whole', figure: keyof LongRun): number[] => runs.map((run) => run[of][figure]);
  return {
    formula: `99th percentile of the gaps between tokens of ${NUM_DECODING} decoding sequences that overlap the time from a prompt of ${LONG_TOKENS} tokens to its first token, ${NUM_LONG} such prompts one after the other; chunks of a step of ${CHUNKED_TOKENS} tokens`,
    baseline:
      'whole: the same with the whole prompt in one step; rounds in turns, median of the rounds’ ratios (whole / chunked)',
    rows: [
      {
        itl_p99_ms: median(each('chunked', 'p99')),
        whole_itl_p99_ms: median(each('whole', 'p99')),
        ratio: medianRatio(each('whole', 'p99'), each('chunked', 'p99')),
        long_ttft_ms: median(each('chunked', 'ttft')),
        whole_long_ttft_ms: median(each('whole', 'ttft')),
      },
    ],
  };
}

interface LongRun {
  readonly p99: number;
  readonly ttft: number;
}

async function longRun(bench: Bench, engine: Engine, prompts: PromptSource): Promise<LongRun> {
  const stop = new AbortController();
  const sequences = Array.from({ length: NUM_DECODING }, () => decode(engine, prompts.next(32), stop.signal));
  try {
    await Promise.all(sequences.map(({ ready }) => ready));
    const long: Followed[] = [];
    for (let i = 0; i < sized(bench, NUM_LONG); i++)
      long.push(await follow(engine, { promptTokenIds: prompts.next(LONG_TOKENS), maxNewTokens: 1 }, bench.signal));
    const gaps = sequences.flatMap(({ tokenMs }) => gapsWithin(tokenMs, long)).sort((a, b) => a - b);
    return { p99: percentile(gaps, 99), ttft: median(long.map(ttftOf)) };
  } finally {
    stop.abort();
    await Promise.all(sequences.map(({ over }) => over));
  }
}

interface Decoding {
  readonly tokenMs: readonly number[];
  /** It has its first tokens. */
  readonly ready: Promise<void>;
  /** It ended, in whatever way. */
  readonly over: Promise<unknown>;
}

function decode(engine: Engine, promptTokenIds: readonly number[], signal: AbortSignal): Decoding {
  const tokenMs: number[] = [];
  let over: Promise<unknown> = Promise.resolve();
  const ready = new Promise<void>((resolve, reject) => {
    const followed = follow(engine, { promptTokenIds, maxNewTokens: OUTPUT_TOKENS }, signal, (numTokens) => {
      tokenMs.push(performance.now());
      if (numTokens === HEAD_START) resolve();
    });
    over = followed.catch(reject); // after the first tokens it is stopped, which nobody minds
  });
  return { tokenMs, ready, over };
}

/** Gaps of which a part lies between the sending of a prompt and its first token. */
export function gapsWithin(times: readonly number[], prompts: readonly Followed[]): number[] {
  return times.slice(1).flatMap((to, i) => {
    const from = times[i]!;
    return prompts.some(({ startMs, tokenMs }) => from < tokenMs[0]! && to > startMs) ? [to - from] : [];
  });
}
