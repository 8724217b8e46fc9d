/** Keys and values in smaller types: their bytes, how near what comes of them is to what comes of f32, and tokens per second behind long prompts. */
import { KV_DTYPES, type KvDtype } from '../../compute/base/kv_dtype.js';
import type { Engine } from '../../lib/head/engine.js';
import { cacheBlockBytes } from '../../lib/model/spec/cache_layout.js';
import { Agreement } from '../../lib/compare/agreement.js';
import { median } from '../base/machine.js';
import type { FigureRow, Measured } from '../base/measured.js';
import { scoredLogits } from '../base/scored_logits.js';
import { promptOf } from '../cluster/prompts.js';
import type { KvBench } from './kv_bench.js';
import { BLOCK_SIZE, withKvEngines, type KvEngines } from './kv_engines.js';
import { LONG_MODELS, writeLongModel } from './long_models.js';
import { PIECE_TOKENS, scoredText } from './scored_text.js';

/** Of an answer. */
const NUM_NEW_TOKENS = 33;
const SMALLER = KV_DTYPES.filter((dtype) => dtype !== 'f32');
/** In tables. */
const NONE = '–';

/** A row per model, length and type. */
export async function measureInt8(bench: KvBench): Promise<Measured> {
  const rows = await withKvEngines(bench, bench.model, PIECE_TOKENS, (engines) => agreementRows(bench, engines));
  const numTokens = Math.max(...bench.contexts) + NUM_NEW_TOKENS;
  for (const kind of LONG_MODELS) {
    bench.signal.throwIfAborted();
    const dir = await writeLongModel(bench, kind, numTokens);
    for (const context of bench.contexts)
      rows.push(...(await withKvEngines(bench, dir, numTokens, (engines) => speedRows(bench, kind, context, engines))));
  }
  return {
    formula:
      'bytes: a block / one of f32; best: share of places of a text where the most likely next token is that of f32; nats: mean of Σ p ln(p / q), p of f32; speed: tokens per second of one answer behind so many tokens / those of f32, median of the rounds’ ratios',
    baseline: `f32 in the same run, rounds in turns; the text: pieces of ${PIECE_TOKENS} tokens, ${bench.texts.length > 0 ? 'of files' : 'sampled by f32'}`,
    aim: 'int8: bytes at most 0.27x, best at least 99 %, speed at least 1x',
    rows,
    answers: 0,
    changed: 0,
  };
}

/** What comes of each smaller type. */
async function agreementRows(bench: KvBench, engines: KvEngines): Promise<FigureRow[]> {
  const { model, signal } = bench;
  const agreements = SMALLER.map((dtype) => ({ dtype, agreement: new Agreement(engines.get(dtype)!.spec.vocabSize) }));
  for (const tokenIds of await scoredText(bench, engines.get('f32')!)) {
    const { logits: exact } = await scoredLogits(engines.get('f32')!, tokenIds, signal);
    for (const { dtype, agreement } of agreements) {
      const { logits } = await scoredLogits(engines.get(dtype)!, tokenIds, signal);
      agreement.add(exact, logits);
    }
  }
  return agreements.map(({ dtype, agreement: { numPlaces, sameShare, meanDivergence } }) => ({
    ...{ model: model.replace(/^.*\//, ''), kv_dtype: dtype, bytes_ratio: bytesRatio(engines.get(dtype)!, dtype) },
    ...{ places: numPlaces, best_percent: 100 * sameShare, nats: meanDivergence.toExponential(1) },
    ...{ context: NONE, f32_per_s: NONE, per_s: NONE, speed_ratio: NONE },
  }));
}

/** Of the cache in memory. */
const bytesRatio = ({ spec: { attention } }: Engine, dtype: KvDtype): number =>
  cacheBlockBytes(attention, dtype, BLOCK_SIZE) / cacheBlockBytes(attention, 'f32', BLOCK_SIZE);

/** How fast each is behind a prompt, which is computed once and then found in the prefix cache. */
async function speedRows(
  { rounds, seed, signal }: KvBench,
  model: string,
  context: number,
  engines: KvEngines,
): Promise<FigureRow[]> {
  const prompt = promptOf(seed, context, context);
  for (const engine of engines.values()) await tokensPerSecond(engine, prompt, signal);
  const speeds = new Map([...engines.keys()].map((dtype) => [dtype, [] as number[]]));
  for (let round = 0; round < rounds; round++)
    for (const [dtype, engine] of engines) speeds.get(dtype)!.push(await tokensPerSecond(engine, prompt, signal));
  const exact = speeds.get('f32')!;
  return SMALLER.map((dtype) => ({
    ...{
      model,
      kv_dtype: dtype,
      bytes_ratio: bytesRatio(engines.get(dtype)!, dtype),
      places: NONE,
      best_percent: NONE,
      nats: NONE,
    },
    ...{ context, f32_per_s: median(exact), per_s: median(speeds.get(dtype)!) },
    speed_ratio: median(speeds.get(dtype)!.map((speed, round) => speed / exact[round]!)),
  }));
}

/** From the first token of an answer to its last. */
async function tokensPerSecond(
  engine: Engine,
  promptTokenIds: readonly number[],
  signal: AbortSignal,
): Promise<number> {
  const times: number[] = [];
  const request = { promptTokenIds, maxNewTokens: NUM_NEW_TOKENS, ignoreEos: true };
  for await (const event of engine.generate(request, signal)) if (event.kind === 'token') times.push(performance.now());
  return (1000 * (times.length - 1)) / (times.at(-1)! - times[0]!);
}
