/** Checkpoints with fewer experts: of every family and format. */
import { expect } from 'chai';
import { join } from 'node:path';
import { pruning } from '../../../lib/prune/prune_checkpoint.js';
import { keptExperts, numKeptOf, type KeptExperts } from '../../../lib/prune/kept_experts.js';
import { makeRandomCheckpoint } from '../../../lib/model/random_checkpoint.js';
import type { CodeFormat } from '../../../lib/model/random_codes.js';
import { randomConfig, type RandomFamily } from '../../../lib/model/random_config.js';
import { ModelError } from '../../../lib/model/spec/errors.js';
import { moeLayersOf, type ModelSpec } from '../../../lib/model/spec/spec.js';
import { gateBiasName, gateName, selectionBiasName } from '../../../lib/model/spec/tensor_names.js';
import { expertShapes } from '../../../lib/model/spec/tensor_shapes.js';
import { unusedTensors } from '../../../lib/model/weights/rank_tensors.js';
import { rewriteCheckpoint } from '../../../lib/rewrite/rewrite.js';
import { openSource, type RewriteSource } from '../../../lib/rewrite/source.js';
import { scoreIds } from '../../kit/engine/engines.js';
import { startLocalEngine } from '../../kit/engine/local_engine.js';
import { alikeFamilies, readConformance, writeConformanceModel } from '../../kit/model/conformance.js';
import { changeJson, changeTensors } from '../../kit/model/model_copy.js';
import { readStoredModels, writeStoredModel } from '../../kit/model/stored_models.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';
import { isSameBits } from '../../refs/random.js';

const withFolder = async <T>(dir: string, use: (source: RewriteSource) => Promise<T>): Promise<T> => {
  const source = await openSource(dir);
  return use(source).finally(() => source.close());
};

/** Another choice in each layer, and the last experts of each group rather than the first. */
function someExperts({ moe, ...spec }: ModelSpec): KeptExperts {
  const { gate } = moe;
  const groups = gate.groups?.numGroups ?? 1;
  const wish = [gate.numExperts / 2, gate.numExperts - groups].find(
    (keep) => typeof numKeptOf(keep, gate) === 'number',
  );
  return moeLayersOf({ ...spec, moe }).map((_, l) =>
    keptExperts(
      Array.from({ length: gate.numExperts }, (__, e) => (e * (l + 3)) % gate.numExperts),
      wish!,
      gate,
    ),
  );
}

/** All values of experts and router, expert by expert. */
async function valuesOf(
  { spec, weights }: RewriteSource,
  layer: number,
  experts: readonly number[],
): Promise<unknown[]> {
  const { moe, hiddenSize } = spec;
  const { numExperts } = moe.gate;
  const router = [gateName(layer), gateBiasName(layer), selectionBiasName(layer)];
  const perExpert = [
    ...(await Promise.all(
      router.map(async (name) => {
        if (!weights.has(name)) return null;
        const shape = name === router[0] ? ([numExperts, hiddenSize] as const) : ([numExperts] as const);
        return weights.floats(name, [...shape] as [number, ...number[]]);
      }),
    )),
  ];
  return Promise.all(
    experts.map(async (expert) => ({
      router: perExpert.map((values) =>
        values?.slice((expert * values.length) / numExperts, ((expert + 1) * values.length) / numExperts),
      ),
      own: await Promise.all(
        [...expertShapes(moe, hiddenSize, layer, expert)].map(({ name, shape }) =>
          weights.floats(name, [...shape] as [number, ...number[]]),
        ),
      ),
    })),
  );
}

/** Prunes a folder and holds every expert that is left against what it was. */
async function checkPruned(from: string, to: string): Promise<void> {
  await withFolder(from, async (source) => {
    const kept = someExperts(source.spec);
    await rewriteCheckpoint(source, to, pruning(source, { criterion: 'some', kept }));
    await withFolder(to, async (pruned) => {
      expect(pruned.spec).to.deep.equal({
        ...source.spec,
        moe: { ...source.spec.moe, gate: { ...source.spec.moe.gate, numExperts: kept[0]!.length } },
      });
      expect(unusedTensors(pruned.spec, pruned.weights).unknown).to.deep.equal(
        unusedTensors(source.spec, source.weights).unknown,
      );
      for (const [l, layer] of moeLayersOf(source.spec).entries()) {
        const now = await valuesOf(pruned, layer, [...kept[l]!.keys()]);
        expect(now).to.deep.equal(await valuesOf(source, layer, kept[l]!));
      }
      const { of, kept: noted } = (pruned.config as { expertwire: { prune: { of: number; kept: unknown } } }).expertwire
        .prune;
      expect({ of, kept: noted }).to.deep.equal({ of: source.spec.moe.gate.numExperts, kept });
    });
  });
}

describe('pruning a checkpoint', function () {
  this.timeout(60_000);

  for (const family of alikeFamilies()) {
    it(`${family}: every expert that is left is what it was, with its row of the router`, async () => {
      await withTempFolder(async (dir) => {
        const [golden] = readConformance(family).cases;
        const groups = Object.hasOwn(golden!.config, 'n_group') ? { n_group: 2, topk_group: 2 } : {};
        await writeConformanceModel(dir, { ...golden!, config: { ...golden!.config, ...groups } }, new Map());
        await checkPruned(dir, join(dir, 'pruned'));
      });
    });
  }

  for (const model of readStoredModels().cases) {
    it(`${model.name}: the same of codes and scales`, async () => {
      await withTempFolder(async (dir) => {
        await writeStoredModel(dir, model);
        await checkPruned(dir, join(dir, 'pruned'));
      });
    });
  }

  const SIZES = { layers: 3, denseLayers: 1, hidden: 64, experts: 8, topk: 2, intermediate: 32, heads: 2, vocab: 300 };
  const DEAD = [1, 2, 5, 6];
  const PREDICTOR = 'model.layers.3.eh_proj.weight';

  for (const [family, codes] of [
    ['deepseek_v3', null],
    ['deepseek_v3', 'FP8'],
    ['kimi_k2', 'INT4'],
    ['gpt_oss', null],
  ] as readonly (readonly [RandomFamily, CodeFormat | null])[]) {
    it(`${family}, ${codes ?? 'BF16'}: experts that no token can choose change no logit by a bit when they go`, async () => {
      await withTempFolder(async (parent) => {
        const from = join(parent, 'from');
        const shape = { ...SIZES, denseLayers: family === 'gpt_oss' ? 0 : 1, dtype: 'BF16' as const };
        const groups = family === 'deepseek_v3' ? { n_group: 2, topk_group: 1 } : {};
        const config = { ...randomConfig(family, shape), ...groups };
        await makeRandomCheckpoint(from, { config, dtype: 'BF16', codes, seed: 3, hasTokenizer: true });
        await changeTensors(from, (tensor) => {
          if (!/(e_score_correction_bias|router\.bias)$/.test(tensor.name)) return tensor;
          const bytes = Uint8Array.from(tensor.bytes);
          const view = new DataView(bytes.buffer);
          for (const expert of DEAD) {
            if (tensor.dtype === 'F32') view.setFloat32(4 * expert, -1e9, true);
            else view.setUint16(2 * expert, 0xce6e, true); // about −1e9 as bf16
          }
          return { ...tensor, bytes };
        });
        const out = join(parent, 'out');
        await withFolder(from, async (source) => {
          const kept = moeLayersOf(source.spec).map(() => [0, 3, 4, 7]);
          await rewriteCheckpoint(source, out, pruning(source, { criterion: 'planted', kept }));
        });
        const before = await logitsOf(from);
        expect(isSameBits(await logitsOf(out), before)).to.equal(true);
      });
    });
  }

  it('notes experts by the numbers of the first model, however often it is pruned', async () => {
    await withTempFolder(async (parent) => {
      const [from, once, twice] = ['from', 'once', 'twice'].map((name) => join(parent, name));
      const config = randomConfig('qwen3_moe', { ...SIZES, denseLayers: 0, layers: 1, topk: 1, dtype: 'BF16' });
      await makeRandomCheckpoint(from!, { config, dtype: 'BF16', seed: 3 });
      const group = (experts: number[]) => ({ experts, weights: experts.map(() => 1 / experts.length) });
      const prune = (dir: string, out: string, kept: number[], groups?: number[][]): Promise<unknown> =>
        withFolder(dir, (source) =>
          rewriteCheckpoint(
            source,
            out,
            pruning(source, { criterion: 'some', kept: [kept], groups: groups && [groups.map(group)] }),
          ),
        );
      const noteOf = (dir: string): Promise<unknown> =>
        withFolder(dir, ({ config: { expertwire } }) => Promise.resolve((expertwire as { prune: unknown }).prune));
      await prune(from!, once!, [1, 3, 5, 7], [[1, 0], [3], [5, 2, 4], [7, 6]]);
      await prune(
        once!,
        twice!,
        [0, 2],
        [
          [0, 3],
          [2, 1],
        ],
      );
      expect(await noteOf(twice!)).to.deep.equal({
        ...{ criterion: 'some', of: 8, kept: [[1, 5]] },
        merged: [
          [
            [1, 0, 7, 6],
            [5, 2, 4, 3],
          ],
        ],
      });
      await prune(once!, join(parent, 'plain'), [1, 2]);
      expect(await noteOf(join(parent, 'plain'))).to.deep.equal({
        ...{ criterion: 'some', of: 8, kept: [[3, 5]] },
        merged: [[[3], [5, 2, 4]]],
      });
    });
  });

  it('leaves layers for multi-token prediction out, and says that there are none', async () => {
    await withTempFolder(async (parent) => {
      const from = join(parent, 'from');
      const config = { ...randomConfig('deepseek_v3', { ...SIZES, dtype: 'F32' }), num_nextn_predict_layers: 1 };
      await makeRandomCheckpoint(from, { config, dtype: 'F32', seed: 3, hasTokenizer: false });
      await changeTensors(from, (tensor) => ({ ...tensor, name: tensor.name.replace(/^lm_head.*/, PREDICTOR) }));
      await withFolder(from, (source) => {
        const kept = moeLayersOf(source.spec).map(() => [0, 3, 4, 7]);
        const { edits, tensors, hasPredictors } = pruning(source, { criterion: 'any', kept });
        expect(edits).to.deep.include({ path: ['num_nextn_predict_layers'], value: 0 });
        expect(tensors.map(({ name }) => name)).not.to.include(PREDICTOR);
        expect(hasPredictors).to.equal(true);
        return Promise.resolve();
      });
    });
  });

  it('refuses a configuration that names single experts', async () => {
    await withTempFolder(async (parent) => {
      const from = join(parent, 'from');
      const config = randomConfig('qwen3_moe', { ...SIZES, denseLayers: 0, dtype: 'F32' });
      await makeRandomCheckpoint(from, { config, dtype: 'F32', seed: 3, hasTokenizer: false });
      const ignore = ['lm_head', 'model.layers.0.mlp.experts.3.down_proj'];
      const named = { quant_method: 'compressed-tensors', format: 'pack-quantized', config_groups: {}, ignore };
      await changeJson(join(from, 'config.json'), { quantization_config: named });
      await withFolder(from, async (source) => {
        const kept = moeLayersOf(source.spec).map(() => [0, 3, 4, 7]);
        const error = await errorOf(ModelError, () => pruning(source, { criterion: 'any', kept }));
        expect(error.message).to.match(/^UNSUPPORTED_MODEL: .*names a single expert, model.layers.0.mlp.experts.3/);
      });
    });
  });
});

async function logitsOf(dir: string): Promise<Float32Array> {
  const local = await startLocalEngine(dir, { numRanks: 2 });
  const { logits } = await scoreIds(local.engine, [5, 17, 3, 40, 41, 42, 7, 7, 250, 1, 99]).finally(() =>
    local.close(),
  );
  return logits;
}
