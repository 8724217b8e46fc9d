import { expect } from 'chai';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ModelError } from '../../../lib/model/spec/errors.js';
import { makeRandomCheckpoint, type RandomCheckpointOptions } from '../../../lib/model/random_checkpoint.js';
import { RANDOM_FAMILIES, randomConfig, type RandomFamily } from '../../../lib/model/random_config.js';
import { FAMILIES, modelSpecOf } from '../../../lib/model/families/registry.js';
import { tensorShapesOf } from '../../../lib/model/spec/tensor_shapes.js';
import { openCheckpoint } from '../../../lib/weights/checkpoint.js';
import { decodeToFloat32 } from '../../../lib/weights/dtypes.js';
import { readModelFiles } from '../../../lib/weights/model_files.js';
import { startLocalEngine } from '../../kit/engine/local_engine.js';
import { generateIds } from '../../kit/engine/engines.js';
import { moe7m, tinyModel } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';
import { encodeFloat32 } from '../../refs/encoded_floats_ref.js';

const SHAPE = { layers: 3, denseLayers: 1, hidden: 40, experts: 6, topk: 2, intermediate: 24, heads: 3, vocab: 64 };
const families = RANDOM_FAMILIES;

/** In some families all layers have experts, and OLMoE's heads make up the hidden size. */
const SHAPES: Partial<Record<RandomFamily, Partial<typeof SHAPE>>> = {
  deepspeed_moe: { denseLayers: 0 },
  gpt_oss: { denseLayers: 0 },
  granitemoe: { denseLayers: 0 },
  minimax_m2: { denseLayers: 0 },
  mixtral: { denseLayers: 0 },
  phimoe: { denseLayers: 0 },
  qwen3_5_moe: { denseLayers: 0 },
  qwen3_5_moe_text: { denseLayers: 0 },
  olmoe: { denseLayers: 0, heads: 4 },
};

const optionsFor = (family: RandomFamily, more: Partial<RandomCheckpointOptions> = {}): RandomCheckpointOptions => ({
  config: randomConfig(family, {
    ...SHAPE,
    ...SHAPES[family],
    dtype: more.dtype ?? 'BF16',
  }),
  dtype: 'BF16',
  seed: 7,
  ...more,
});

/** Files and their bytes. */
async function filesOf(dir: string): Promise<Record<string, string>> {
  const names = (await readdir(dir)).sort();
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, (await readFile(join(dir, name))).toString('base64')] as const)),
  );
}

/** Values of all tensors by name. */
async function valuesOf(dir: string): Promise<Map<string, Float32Array>> {
  const checkpoint = await openCheckpoint(dir);
  const values = new Map<string, Float32Array>();
  for (const name of checkpoint.names()) values.set(name, await checkpoint.read(name));
  await checkpoint.close();
  return values;
}

describe('tensors of a spec', () => {
  for (const dir of [tinyModel('tiny-deepseek-v3'), tinyModel('tiny-qwen3-moe'), moe7m()]) {
    it(`are those of the checkpoint ${dir.split('/').at(-1)!}, in name and shape`, async () => {
      const checkpoint = await openCheckpoint(dir);
      const { config } = await readModelFiles(dir);
      const shapes = [...tensorShapesOf(modelSpecOf(config))];
      expect(shapes.map(({ name }) => name).sort()).to.deep.equal(checkpoint.names());
      for (const { name, shape } of shapes) expect(shape, name).to.deep.equal(checkpoint.info(name).shape);
      await checkpoint.close();
    });
  }
});

describe('a random checkpoint', function () {
  this.timeout(60_000);

  it('there is one for every family', () => {
    expect(families).to.have.members(Object.keys(FAMILIES));
  });

  for (const family of families) {
    it(`${family}: runs, and 1 and 2 ranks write the same tokens`, async () => {
      await withTempFolder(async (parent) => {
        const dir = join(parent, 'model');
        const made = await makeRandomCheckpoint(dir, optionsFor(family));
        const { config } = await readModelFiles(dir);
        expect(modelSpecOf(config)).to.deep.equal(made.spec);
        const texts: (readonly number[])[] = [];
        for (const numRanks of [1, 2]) {
          const local = await startLocalEngine(dir, { numRanks });
          const request = { promptTokenIds: [5, 17, 3], maxNewTokens: 12 };
          const { tokenIds, routedExperts } = await generateIds(local.engine, request);
          await local.close();
          texts.push(tokenIds);
          expect(new Set(routedExperts.flat(2)).size, 'experts in use').to.be.above(SHAPE.topk);
        }
        expect(texts[0]).to.have.length(12);
        expect(texts[1]).to.deep.equal(texts[0]);
        expect(new Set(texts[0]).size).to.be.above(1);
      });
    });
  }

  it('the same seed gives the same files, another one other weights; file sizes change no weight', async () => {
    await withTempFolder(async (parent) => {
      const make = async (name: string, more: Partial<RandomCheckpointOptions> = {}): Promise<string> => {
        await makeRandomCheckpoint(join(parent, name), optionsFor('deepseek_v3', more));
        return join(parent, name);
      };
      const first = await make('first');
      expect(await filesOf(await make('again'))).to.deep.equal(await filesOf(first));
      const values = await valuesOf(first);
      expect(await valuesOf(await make('sharded', { maxShardBytes: 10_000 }))).to.deep.equal(values);
      expect((await readdir(join(parent, 'sharded'))).length).to.be.above(3);
      for (const seed of [8, 7 + 2 ** 32]) {
        for (const [name, other] of await valuesOf(await make(`seed-${seed}`, { seed }))) {
          if (name.includes('norm')) expect(other.every((value) => value === 1)).to.equal(true);
          else expect(other, name).not.to.deep.equal(values.get(name));
        }
      }
      const exact = await valuesOf(await make('f32', { dtype: 'F32' }));
      for (const [name, each] of exact) {
        expect(decodeToFloat32(encodeFloat32(each, 'BF16'), 'BF16'), name).to.deep.equal(values.get(name));
      }
    });
  });

  it('weights have mean 0 and the deviation that keeps activations near 1; no two tensors are alike', async () => {
    await withTempFolder(async (parent) => {
      const dir = join(parent, 'model');
      await makeRandomCheckpoint(dir, optionsFor('qwen3_moe', { dtype: 'F32' }));
      const seen = new Set<number>();
      for (const [name, values] of await valuesOf(dir)) {
        if (name.includes('norm')) continue;
        const fanIn = name.includes('embed') ? 1 : name.includes('down_proj') ? 24 : name.includes('o_proj') ? 42 : 40;
        const isDense = name.includes('layers.0.mlp.down_proj');
        const deviation = (isDense ? 160 : fanIn) ** -0.5;
        const mean = values.reduce((a, b) => a + b, 0) / values.length;
        const variance = values.reduce((a, b) => a + b * b, 0) / values.length;
        // Five standard errors.
        expect(Math.abs(mean), name).to.be.below((5 * deviation) / Math.sqrt(values.length));
        expect(variance / deviation ** 2, name).to.be.closeTo(1, (5 * Math.sqrt(0.8)) / Math.sqrt(values.length));
        expect(seen.has(values[0]!), name).to.equal(false);
        seen.add(values[0]!);
      }
    });
  });

  it('a shape that no model has, and an interruption, leave nothing behind', async () => {
    await withTempFolder(async (parent) => {
      const dir = join(parent, 'model');
      const { config } = optionsFor('qwen3_moe');
      const impossible = optionsFor('qwen3_moe', { config: { ...config, num_experts_per_tok: 7 } });
      const error = await errorOf(ModelError, () => makeRandomCheckpoint(dir, impossible));
      expect(error.code).to.equal('INVALID_MODEL_CONFIG');
      expect(await readdir(parent)).to.deep.equal([]);

      const abort = new AbortController();
      class Interrupted extends Error {}
      let numChecks = 0;
      // Aborts in the middle: at the 50th piece.
      const signal = Object.assign(Object.create(abort.signal) as AbortSignal, {
        throwIfAborted: () => {
          if (++numChecks === 50) throw new Interrupted();
        },
      });
      await errorOf(Interrupted, () => makeRandomCheckpoint(dir, optionsFor('qwen3_moe', { signal })));
      expect(numChecks).to.equal(50);
      expect(await readdir(parent)).to.deep.equal([]);
    });
  });
});
