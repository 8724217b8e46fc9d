/** Experts with biases, as gpt-oss has them, on their way from a checkpoint to a rank. */
import { expect } from 'chai';
import { asRank } from '../../../../base/ids.js';
import { createPlacement } from '../../../../experts/placement/placement.js';
import { modelSpecOf } from '../../../../lib/model/families/registry.js';
import { expertSizesOf, moeLayersOf, type ModelSpec } from '../../../../lib/model/spec/spec.js';
import type { ModelWeights } from '../../../../lib/model/stored/model_weights.js';
import { footprintAt, footprintOf } from '../../../../lib/model/weights/footprint.js';
import { CheckpointExperts } from '../../../../lib/model/weights/weight_reader.js';
import { WeightError } from '../../../../lib/weights/errors.js';
import { readModelFiles } from '../../../../lib/weights/model_files.js';
import { changeTensors, copyModel, flipBit } from '../../../kit/model/model_copy.js';
import { withWeightsOf } from '../../../kit/model/written_weights.js';
import { tinyModel } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const MODEL = tinyModel('tiny-gpt-oss');

async function withWeights(dir: string, use: (weights: ModelWeights, spec: ModelSpec) => Promise<void>): Promise<void> {
  const spec = modelSpecOf((await readModelFiles(dir)).config);
  await withWeightsOf(dir, spec, (weights) => use(weights, spec));
}

async function digestOf(dir: string, layer: number, expert: number): Promise<string> {
  let found = '';
  await withWeights(dir, async (weights, spec) => {
    const onDigest = (_key: string, digest: string): void => void (found = digest);
    await new CheckpointExperts(weights, expertSizesOf(spec), { onDigest }).expert(layer, expert);
  });
  return found;
}

describe('experts with biases', () => {
  it('are read with them, at once and piece by piece: gate and up alternate, down is apart', () =>
    withWeights(MODEL, async (weights, spec) => {
      const { hidden, intermediate } = expertSizesOf(spec);
      const all = await weights.checkpoint.read('model.layers.1.mlp.experts.gate_up_proj_bias');
      const down = await weights.checkpoint.read('model.layers.1.mlp.experts.down_proj_bias');
      const own = all.subarray(3 * 2 * intermediate, 4 * 2 * intermediate);
      const expected = [
        ...own.filter((_, i) => i % 2 === 0),
        ...own.filter((_, i) => i % 2 === 1),
        ...down.subarray(3 * hidden, 4 * hidden),
      ];
      const source = new CheckpointExperts(weights, expertSizesOf(spec));
      expect([...(await source.expert(1, 3)).biases!]).to.deep.equal(expected);
      expect([...(await source.stored(1, 3).biases!())]).to.deep.equal(expected);
    }));

  it('have a digest that a single bit of a bias changes, and no other expert’s', () =>
    withTempFolder(async (dir) => {
      await copyModel(MODEL, dir);
      const before = [await digestOf(dir, 0, 0), await digestOf(dir, 0, 1)];
      await flipBit(dir, 'model.layers.0.mlp.experts.down_proj_bias', 0);
      const [first, second] = [await digestOf(dir, 0, 0), await digestOf(dir, 0, 1)];
      expect(first).not.to.equal(before[0]);
      expect(second).to.equal(before[1]);
    }));

  it('without a bias that the configuration asks for are refused by its name before anything is read', () =>
    withTempFolder(async (dir) => {
      await copyModel(MODEL, dir);
      await changeTensors(dir, (tensor) => (tensor.name.endsWith('0.mlp.experts.down_proj_bias') ? undefined : tensor));
      await withWeights(dir, async (weights, spec) => {
        const source = new CheckpointExperts(weights, expertSizesOf(spec));
        const error = await errorOf(WeightError, () => source.stored(0, 0));
        expect(error.code).to.equal('MISSING_TENSOR');
        expect(error.message).to.contain('down_proj');
      });
    }));

  it('count with their biases, held and planned alike', () =>
    withWeights(MODEL, (weights, spec) => {
      const { hidden, intermediate } = expertSizesOf(spec);
      const { numExperts } = spec.moe.gate;
      const numLayers = moeLayersOf(spec).length;
      const placement = createPlacement('linear', { numLayers, numExperts, numRanks: 2 });
      const options = {
        ...{ spec, weights, placement, rank: asRank(0), blockSize: 16, numKvBlocks: 4, maxNumBatchedTokens: 8 },
        ...{ numThreads: 1, numMovingLayers: 1, numKeptStates: 0 },
        residence: { compute: 'tensors', experts: 'f32', dense: 'auto' },
      } as const;
      const perExpert = 4 * (3 * hidden * intermediate + 2 * intermediate + hidden);
      const footprint = footprintOf(options);
      expect(footprint.experts).to.equal((numLayers * numExperts * perExpert) / 2);
      expect(footprint.moving).to.equal((numExperts * perExpert) / 2);
      expect(footprintAt(options)(2)!.experts).to.equal(footprint.experts);
      return Promise.resolve();
    }));
});
