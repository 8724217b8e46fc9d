/** Two engines on the same tokens, against all of their numbers at once. */
import { expect } from 'chai';
import { readdir } from 'node:fs/promises';
import { comparisonOf } from '../../../lib/compare/comparison.js';
import { planComparison, type ComparisonPlan } from '../../../lib/compare/comparison_plan.js';
import { TextComparison } from '../../../lib/compare/text_comparison.js';
import { perplexityOf, type TextReading } from '../../../lib/compare/text_pass.js';
import type { ModelSpec } from '../../../lib/model/spec/spec.js';
import type { Engine } from '../../../lib/head/engine.js';
import { startLocalEngine, type LocalEngineOptions } from '../../kit/engine/local_engine.js';
import { PROMPT } from '../../kit/engine/masking.js';
import { Seen } from '../../kit/engine/seen.js';
import { tinyModel } from '../../kit/paths.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const MODEL = tinyModel('tiny-deepseek-v3');
const PIECES = [PROMPT, PROMPT.slice(2, 9)];
const EXACT: LocalEngineOptions = { numRanks: 1 };
/** Another number of experts per token. */
const OTHER: LocalEngineOptions = { numRanks: 2, set: ['model_overrides.num_experts_per_tok=1'] };
const specOf = ({ spec }: Engine): Promise<ModelSpec> => Promise.resolve(spec);
const { signal } = new AbortController();

async function withEngine<T>(options: LocalEngineOptions, use: (engine: Engine) => Promise<T>): Promise<T> {
  const local = await startLocalEngine(MODEL, options);
  try {
    return await use(local.engine);
  } finally {
    await local.close();
  }
}

/** All that an engine makes of the pieces, in memory. */
async function whole(options: LocalEngineOptions): Promise<{ seen: Seen; logits: number[] }> {
  return withEngine(options, async (engine) => {
    const seen = new Seen({ hiddenAfter: 'all', lensLogits: 'all', routing: 'all' });
    const logits: number[] = [];
    for (const tokenIds of PIECES) {
      await engine.score({ tokenIds, hooks: [seen.hook], onLogits: (values) => void logits.push(...values) });
    }
    return { seen, logits };
  });
}

interface Compared {
  readonly plan: ComparisonPlan;
  readonly comparison: TextComparison;
  readonly readings: readonly [TextReading, TextReading];
  readonly result: ReturnType<typeof comparisonOf>;
}

async function compared(b: LocalEngineOptions): Promise<Compared> {
  const [specA, specB] = [await withEngine(EXACT, specOf), await withEngine(b, specOf)];
  const bounds = { numTokens: 1000, maxToldBytes: 2 ** 24 };
  const plan = planComparison({ spec: specA, origins: null }, { spec: specB, origins: null }, PIECES, bounds);
  return withTempFolder(async (dir) => {
    const comparison = await TextComparison.create(plan, PIECES, dir);
    const ofA = await withEngine(EXACT, (engine) => comparison.readA(engine, PIECES, { signal }));
    const ofB = await withEngine(b, (engine) => comparison.readB(engine, PIECES, { signal }));
    await comparison.close();
    expect(await readdir(dir)).to.deep.equal([]);
    const side = { checkpointBytes: 1, residentBytes: 1 };
    const sides = [
      { name: 'a', reading: ofA, ...side },
      { name: 'b', reading: ofB, ...side },
    ] as const;
    return { plan, comparison, readings: [ofA, ofB], result: comparisonOf(sides, comparison, plan, specA) };
  });
}

describe('a comparison of two engines', function () {
  this.timeout(60_000);

  it('finds nothing between an engine and itself on other ranks', async () => {
    const { result, readings } = await compared({ numRanks: 2 });
    expect(result).to.deep.include({
      kl: 0,
      top1Agreement: 1,
      maxLogitError: 0,
      rmsLogitError: 0,
      routingAgreement: 1,
    });
    expect(result.numPlaces).to.equal(PROMPT.length + 7);
    expect(result.klQuantiles.every((kl) => kl === 0)).to.equal(true);
    const lens = { kl: 0, top1Agreement: 1, maxLogitError: 0, rmsLogitError: 0 };
    expect(result.layers).to.deep.equal([
      { layer: 0, hiddenError: 0, lens, routingAgreement: null },
      { layer: 1, hiddenError: 0, lens, routingAgreement: 1 },
      { layer: 2, hiddenError: 0, lens, routingAgreement: 1 },
    ]);
    expect(readings[0]).to.deep.equal(readings[1]);
    expect(readings[0].numTokens).to.equal(PROMPT.length + 7);
  });

  it('finds what a slow look at all numbers finds', async () => {
    const { result, readings } = await compared(OTHER);
    const [a, b] = [await whole(EXACT), await whole(OTHER)];
    const vocabSize = a.logits.length / result.numPlaces;
    const divergences = rowsOf(a.logits, vocabSize).map((row, i) => klOf(row, rowsOf(b.logits, vocabSize)[i]!));
    expect(result.kl).to.be.closeTo(divergences.reduce((x, y) => x + y) / divergences.length, 1e-6);
    expect(result.kl).to.be.above(1e-6);
    expect(result.klQuantiles.at(-1)).to.be.closeTo(Math.max(...divergences), 1e-6);
    const errors = a.logits.map((value, i) => Math.abs(value - b.logits[i]!));
    expect(result.maxLogitError).to.be.closeTo(Math.max(...errors), 1e-6);
    for (const layer of [0, 1, 2]) {
      const of = ({ seen }: typeof a, point: 'hiddenAfter' | 'lensLogits'): number[] =>
        seen.events.flatMap((event) => (event.point === point && event.layer === layer ? [...event.values] : []));
      const [x, y] = [of(a, 'hiddenAfter'), of(b, 'hiddenAfter')];
      const expected = Math.sqrt(
        sumOf(x.map((value, i) => (value - y[i]!) ** 2)) / sumOf(x.map((value) => value ** 2)),
      );
      expect(result.layers[layer]!.hiddenError).to.be.closeTo(expected, 1e-9);
      const [p, q] = [of(a, 'lensLogits'), of(b, 'lensLogits')].map((values) => rowsOf(values, vocabSize));
      const kl = sumOf(p!.map((row, i) => klOf(row, q![i]!))) / p!.length;
      expect(result.layers[layer]!.lens!.kl).to.be.closeTo(kl, 1e-6);
    }
    // One of two choices can be the same: the best one.
    expect(result.layers[1]!.routingAgreement).to.equal(1 / a.seen.at('routing', 1, 0).experts.length);
    expect(perplexityOf(readings[1].logprobs)).not.to.equal(perplexityOf(readings[0].logprobs));
  });
});

const rowsOf = (values: readonly number[], length: number): number[][] =>
  Array.from({ length: values.length / length }, (_, i) => values.slice(i * length, (i + 1) * length));
const sumOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

function klOf(a: readonly number[], b: readonly number[]): number {
  const [p, q] = [a, b].map((logits) => {
    const total = sumOf(logits.map((logit) => Math.exp(logit)));
    return logits.map((logit) => Math.exp(logit) / total);
  });
  return sumOf(p!.map((value, i) => value * Math.log(value / q![i]!)));
}
