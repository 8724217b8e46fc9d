/** Channels that are scaled by powers of two: an unrounded model stays as it is, to the bit. */
import { expect } from 'chai';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { makeRandomCheckpoint } from '../../../../lib/model/random_checkpoint.js';
import { RANDOM_FAMILIES, randomConfig } from '../../../../lib/model/random_config.js';
import { moeLayersOf } from '../../../../lib/model/spec/spec.js';
import { expertPrefix, mlpNormName } from '../../../../lib/model/spec/tensor_names.js';
import { quantiseCheckpoint } from '../../../../lib/rewrite/quantise/quantise.js';
import { canScaleInputs } from '../../../../lib/rewrite/quantise/scaling.js';
import { openSource } from '../../../../lib/rewrite/source.js';
import { scoreIds } from '../../../kit/engine/engines.js';
import { startLocalEngine } from '../../../kit/engine/local_engine.js';
import { drawnScaling, NUMBERS } from '../../../kit/model/drawn_scaling.js';
import { readStoredModels, writeStoredModel } from '../../../kit/model/stored_models.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const SIZES = { layers: 3, hidden: 64, experts: 4, topk: 2, intermediate: 32, heads: 2, vocab: 300 };
const TOKENS = [1, 7, 24, 26, 13, 9, 7, 5];

async function logitsOf(dir: string): Promise<Float32Array> {
  const local = await startLocalEngine(dir, { numRanks: 2, reduce: 'source' });
  const { logits } = await scoreIds(local.engine, TOKENS).finally(() => local.close());
  return logits;
}

/** With the norm before the first experts changed, or rows of one of them. */
async function writeScaled(dir: string, out: string, ignore: readonly string[]): Promise<void> {
  const source = await openSource(dir);
  try {
    const scaling = drawnScaling(source.spec);
    const options = { coding: NUMBERS, only: 'experts', mayDecode: false, scaling, ignore } as const;
    await quantiseCheckpoint(source, out, options);
    const scaled = await openSource(out);
    const layer = moeLayersOf(source.spec)[0]!;
    const { hiddenSize, moe } = source.spec;
    const [name, shape] = canScaleInputs(source.spec)
      ? ([mlpNormName(layer), [hiddenSize]] as const)
      : ([`${expertPrefix(layer, 0)}.up_proj.weight`, [moe.intermediateSize, hiddenSize]] as const);
    const read = ({ weights }: typeof source): Promise<Float32Array> => weights.floats(name, shape);
    expect(await read(scaled)).to.not.deep.equal(await read(source));
    await scaled.close();
  } finally {
    await source.close();
  }
}

describe('scaled channels', function () {
  this.timeout(60_000);

  for (const family of RANDOM_FAMILIES) {
    it(`${family} with scaled and unrounded weights has the same logits, to the bit`, async () => {
      await withTempFolder(async (parent) => {
        const [dir, out] = [join(parent, 'from'), join(parent, 'out')];
        const config = randomConfig(family, {
          ...SIZES,
          denseLayers: family === 'deepseek_v3' ? 1 : 0,
          dtype: 'BF16',
          residual: family === 'deepspeed_moe',
        });
        await makeRandomCheckpoint(dir, { config, dtype: 'BF16', seed: 4 });
        await writeScaled(dir, out, ['*experts.1']);
        expect(await logitsOf(out)).to.deep.equal(await logitsOf(dir));
      });
    });
  }

  for (const name of ['fused experts, BF16', 'fused experts, F16', 'fused experts, F32']) {
    it(`so have ${name}, where some of them stay`, async () => {
      await withTempFolder(async (parent) => {
        const [dir, out] = [join(parent, 'from'), join(parent, 'out')];
        await mkdir(dir);
        await writeStoredModel(
          dir,
          readStoredModels().cases.find((each) => each.name === name)!,
        );
        await writeScaled(dir, out, ['*experts.1']);
        expect(await logitsOf(out)).to.deep.equal(await logitsOf(dir));
      });
    });
  }
});
