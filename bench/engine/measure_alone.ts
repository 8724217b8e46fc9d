/** Decoding of one sequence through the engine, against the model's layers alone in one process. */
import { selectBackend } from '../../compute/tfjs/tf.js';
import { median } from '../base/machine.js';
import { measureDecode } from '../compute/measure_decode.js';
import { parseOptions } from '../compute/options.js';
import { follow } from './followed.js';
import { medianRatio, sized, withEngine, type Bench, type Measured } from './measurement.js';

const NUM_TOKENS = 200;

/** One row, of one rank. */
export async function measureAlone(bench: Bench): Promise<Measured> {
  await selectBackend('wasm');
  const numTokens = sized(bench, NUM_TOKENS, 32);
  const [engineSpeeds, aloneSpeeds]: [number[], number[]] = [[], []];
  await withEngine(bench, { ranks: 1 }, async (engine) => {
    const asked = { promptTokenIds: [0], maxNewTokens: numTokens };
    for (let round = 0; round < bench.rounds; round++) {
      const { tokenMs } = await follow(engine, asked, bench.signal);
      engineSpeeds.push((1000 * (numTokens - 1)) / (tokenMs.at(-1)! - tokenMs[0]!));
      aloneSpeeds.push(await aloneSpeed(bench, numTokens));
    }
  });
  return {
    formula: `tokens per second of one sequence on one rank, from the first of ${numTokens} tokens to the last, by the clock on the wall`,
    baseline:
      'alone: the same model decodes as many tokens in one process, without engine or rank; rounds in turns, median of the rounds’ ratios',
    rows: [
      {
        tokens_per_s: median(engineSpeeds),
        alone_tokens_per_s: median(aloneSpeeds),
        ratio: medianRatio(engineSpeeds, aloneSpeeds),
      },
    ],
  };
}

async function aloneSpeed({ model, signal }: Bench, numTokens: number): Promise<number> {
  const options = parseOptions(['--model', model, '--decode-tokens', String(numTokens), '--repeats', '3']);
  const [row] = await measureDecode({ ...options, clock: 'wall' }, ['kernels'], signal);
  return row!.tokens_per_s;
}
