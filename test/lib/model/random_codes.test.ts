import { expect } from 'chai';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { floatsOf } from '../../../compute/base/weight_matrix.js';
import { modelSpecOf } from '../../../lib/model/families/registry.js';
import { makeRandomCheckpoint } from '../../../lib/model/random_checkpoint.js';
import { CODE_FORMATS } from '../../../lib/model/random_codes.js';
import { randomConfig } from '../../../lib/model/random_config.js';
import { openWeights } from '../../../lib/model/stored/model_weights.js';
import { readModelFiles } from '../../../lib/weights/model_files.js';
import { promptPart, startLocalJob, startOf } from '../../kit/engine/local_job.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const SHAPE = { layers: 2, denseLayers: 0, hidden: 160, experts: 4, topk: 2, intermediate: 96, heads: 4, vocab: 64 };
/** Bytes of an expert's value on disk, scales included: 3 matrices of 96 × 160. */
const EXPERT_BYTES = {
  FP8: 3 * 96 * 160 + 4 * (2 + 2 + 2),
  INT4: (3 * 96 * 160 * 9) / 16 + 3 * 16,
  MXFP4: (3 * 96 * 160 * 17) / 32,
};

describe('random weights of few bits', () => {
  for (const codes of CODE_FORMATS) {
    it(`${codes}: as large as others, the same from run to run, and a model that computes`, () =>
      withTempFolder(async (parent) => {
        const config = randomConfig('qwen3_moe', { ...SHAPE, dtype: 'BF16' });
        const [dir, again] = [join(parent, 'a'), join(parent, 'b')];
        for (const each of [dir, again]) await makeRandomCheckpoint(each, { config, dtype: 'BF16', codes, seed: 3 });
        const [first, second] = await Promise.all(
          [dir, again].map((each) => readFile(join(each, 'model.safetensors'))),
        );
        expect(first!.equals(second!)).to.equal(true);

        const spec = modelSpecOf((await readModelFiles(dir)).config);
        const weights = await openWeights(dir, spec);
        const prefix = 'model.layers.1.mlp.experts.2';
        const matrix = await weights.matrix(`${prefix}.down_proj.weight`, [160, 96]);
        const size = Math.sqrt(floatsOf(matrix).reduce((sum, value) => sum + value * value, 0) / (160 * 96));
        expect(size).to.be.within(0.7 * 96 ** -0.5, 1.42 * 96 ** -0.5); // MXFP4's scales are powers of two
        const names = ['gate', 'up', 'down'].map((part) => `${prefix}.${part}_proj.weight`);
        const shapeBytes = codes === 'INT4' ? 3 * 16 : 0; // which nobody reads
        expect(weights.totalBytes(names)).to.equal(EXPERT_BYTES[codes] - shapeBytes);
        await weights.close();

        const job = await startLocalJob(dir, { numRanks: 2 });
        const [outputs] = await job.step([[promptPart(0, [1, 2, 3])]], [[startOf(0)]]);
        expect(outputs![0]!.logits!.every(Number.isFinite)).to.equal(true);
        await job.close();
      }));
  }
});
