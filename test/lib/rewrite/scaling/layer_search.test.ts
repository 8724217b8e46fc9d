/** Factors that a text gives: what errors are measured on, and what they are worth. */
import { expect } from 'chai';
import { join } from 'node:path';
import { calibrate } from '../../../../lib/commands/rewrite/calibration.js';
import { makeRandomCheckpoint } from '../../../../lib/model/random_checkpoint.js';
import { randomConfig, type RandomFamily } from '../../../../lib/model/random_config.js';
import { moeLayersOf } from '../../../../lib/model/spec/spec.js';
import { FP8_CODING } from '../../../../lib/rewrite/quantise/fp8_coding.js';
import { intCoding } from '../../../../lib/rewrite/quantise/int_coding.js';
import { CalibratedExpert, type Roundings } from '../../../../lib/rewrite/scaling/calibrated_expert.js';
import { kernelProducts } from '../../../../lib/rewrite/scaling/expert_outputs.js';
import { RowWatch, type LayerRows } from '../../../../lib/rewrite/scaling/expert_rows.js';
import { searchLayer } from '../../../../lib/rewrite/scaling/layer_search.js';
import { openSource } from '../../../../lib/rewrite/source.js';
import { startLocalEngine } from '../../../kit/engine/local_engine.js';
import { commandContext } from '../../../kit/processes/command_context.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const SIZES = { layers: 2, denseLayers: 0, hidden: 64, experts: 4, topk: 2, intermediate: 32, heads: 2, vocab: 300 };
const PIECES = [0, 1, 2].map((piece) => Array.from({ length: 40 }, (_, i) => (piece * 97 + i * 31) % 300));
const CODING = intCoding({ type: 'int4', group: 32, scaleDtype: 'BF16' });

interface Scene {
  readonly roundings: Roundings;
  readonly seen: readonly LayerRows[];
  /** What the engine's experts made of one token in a layer, choice by choice. */
  readonly told: ReadonlyMap<
    number,
    { readonly experts: Int32Array; readonly values: Float32Array; readonly x: Float32Array }
  >;
}

/** A random model that read a text. */
const withScene = (family: RandomFamily, use: (scene: Scene) => Promise<void>): Promise<void> =>
  withTempFolder(async (parent) => {
    const dir = join(parent, 'model');
    await makeRandomCheckpoint(dir, {
      config: randomConfig(family, { ...SIZES, dtype: 'F32' }),
      dtype: 'F32',
      seed: 4,
    });
    const source = await openSource(dir);
    const watch = new RowWatch(source.spec, moeLayersOf(source.spec));
    const told = new Map<number, { experts: Int32Array; values: Float32Array; x: Float32Array }>();
    const local = await startLocalEngine(dir, { numRanks: 2 });
    try {
      await calibrate(local.engine, PIECES, () => watch.piece(), commandContext());
      const x = new Map<number, Float32Array>();
      await local.engine.score({
        tokenIds: PIECES[0]!.slice(0, 4),
        hooks: [
          {
            points: { moeInput: 'all', expertOutputs: 'all' },
            onEvent: (event) => {
              if (event.point === 'moeInput') x.set(event.layer, event.values.slice());
              if (event.point !== 'expertOutputs') return;
              told.set(event.layer, { experts: event.experts, values: event.values.slice(), x: x.get(event.layer)! });
            },
          },
        ],
      });
      await use({
        roundings: { source, coding: CODING, isTarget: () => true, products: kernelProducts() },
        seen: watch.seen(),
        told,
      });
    } finally {
      await local.close();
      await source.close();
    }
  });

const largest = (values: Float32Array): number => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

describe('scaling by a text', function () {
  this.timeout(60_000);

  for (const family of ['qwen3_moe', 'gpt_oss'] as const) {
    it(`${family}: outputs that errors are measured on are those of the engine’s experts`, async () => {
      await withScene(family, async ({ roundings, told }) => {
        expect([...told.keys()]).to.deep.equal([0, 1]);
        for (const [layer, { experts, values, x }] of told) {
          for (const [k, number] of experts.entries()) {
            const expert = await CalibratedExpert.read(roundings, layer, number, [{ values: x, weight: 1 }]);
            const own = expert.outputs(expert.inner(null), null);
            const error = own.map((value, h) => value - values[k * own.length + h]!);
            expect(largest(own)).to.be.greaterThan(0);
            expect(largest(error) / largest(own)).to.be.lessThan(1e-5);
          }
        }
      });
    });
  }

  it('what memory rounds and what files hold are the same there', async () => {
    for (const type of ['int4', 'uint4', 'int8'] as const) {
      await withScene('qwen3_moe', async ({ roundings, seen }) => {
        const coding = intCoding({ type, group: 32, scaleDtype: 'BF16' });
        const [layer] = seen;
        const own = await searchLayer({ ...roundings, coding }, layer!);
        const decoded = await searchLayer({ ...roundings, coding: { ...coding, resident: null } }, layer!);
        expect(coding.resident).to.equal(type);
        expect(own).to.deep.equal(decoded);
      });
    }
  });

  it('channels as large as each other stay nearly as good as they are, and no layer becomes worse', async () => {
    for (const family of ['qwen3_moe', 'gpt_oss', 'qwen3_next'] as const) {
      await withScene(family, async ({ roundings, seen }) => {
        for (const layer of seen) {
          const { errorBefore, errorAfter, share, scaling } = await searchLayer(roundings, layer);
          expect(errorBefore).to.be.within(0.01, 0.3);
          expect(errorAfter).to.be.within(errorBefore / 2, errorBefore);
          if (family === 'qwen3_next') expect([share, scaling.inputs]).to.deep.equal([0, null]);
          if (family === 'gpt_oss') expect(scaling.inner.size).to.equal(0);
        }
      });
    }
  });

  it('a few channels that carry most are found, and rounding costs less', async () => {
    await withScene('qwen3_moe', async ({ roundings, seen }) => {
      const planted = (values: Float32Array): Float32Array =>
        values.map((value, h) => (h % 16 === 3 ? 32 * value : value));
      for (const { layer, sums_H, rows_E } of seen) {
        const rows = rows_E.map((of) => of.map(({ values, weight }) => ({ values: planted(values), weight })));
        const sums = sums_H.map((sum, h) => (h % 16 === 3 ? 32 * sum : sum));
        const found = await searchLayer(roundings, { layer, sums_H: sums, rows_E: rows });
        expect(found.share).to.be.greaterThan(0);
        expect(found.errorAfter).to.be.lessThan(0.98 * found.errorBefore);
      }
    });
  });

  it('rows that share a scale are rounded as they are written, so that no layer becomes worse', async () => {
    await withScene('qwen3_moe', async ({ roundings, seen }) => {
      // What goes into down_proj is large by gate_proj, where up_proj has small rows: divided, they would have no codes beside others.
      const factorOf = { gate_proj: [2 ** 22, 2 ** -8], up_proj: [2 ** -14, 1], down_proj: [1, 1] } as const;
      const planted = (name: string, values: Float32Array<ArrayBuffer>, columns: number) => {
        const part = /(\w+)\.weight$/.exec(name)![1] as keyof typeof factorOf;
        return values.map((value, i) => value * factorOf[part][Math.floor(i / columns) % 4 === 0 ? 0 : 1]);
      };
      const { spec, weights } = roundings.source;
      const floats = async (...args: Parameters<typeof weights.floats>) =>
        planted(args[0], await weights.floats(...args), args[1].at(-1)!);
      const source = { spec, weights: { floats } };
      const scene = { ...roundings, source, coding: FP8_CODING };
      for (const layer of seen) {
        const { scaling, share, errorBefore, errorAfter } = await searchLayer(scene, layer);
        expect(errorAfter).to.be.at.most(errorBefore);
        expect(share).to.equal(0);
        const ones = new Float32Array(spec.hiddenSize).fill(1);
        let [changed, whole] = [0, 0];
        for (const [number, rows] of layer.rows_E.entries()) {
          const expert = await CalibratedExpert.read(scene, layer.layer, number, rows);
          const reference = expert.outputs(expert.inner(null), null);
          whole += expert.squares(reference);
          const factors = scaling.inner.get(number) ?? new Float32Array(spec.moe.intermediateSize).fill(1);
          // As a reader has it: rounded rows of up_proj by themselves, of an expert that was scaled before.
          const scaled = {
            ...scene,
            source: {
              spec,
              weights: {
                floats: async (...args: Parameters<typeof weights.floats>) => {
                  const values = await floats(...args);
                  const isUp = args[0].endsWith('up_proj.weight');
                  return isUp ? values.map((value, i) => value / factors[Math.floor(i / args[1].at(-1)!)]!) : values;
                },
              },
            },
          };
          const written = await CalibratedExpert.read(scaled, layer.layer, number, rows);
          const inner = written.inner(ones).map((value, i) => value * factors[i % factors.length]!);
          changed += expert.squares(expert.outputs(inner, factors), reference);
        }
        expect(Math.sqrt(changed / whole)).to.be.closeTo(errorAfter, 1e-6);
      }
    });
  });
});
