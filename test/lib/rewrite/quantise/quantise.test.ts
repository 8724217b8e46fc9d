import { expect } from 'chai';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bf16Of, floatsOf, isCoded } from '../../../../compute/base/weight_matrix.js';
import { makeRandomCheckpoint } from '../../../../lib/model/random_checkpoint.js';
import { randomConfig, type RandomFamily } from '../../../../lib/model/random_config.js';
import { tensorShapesOf } from '../../../../lib/model/spec/tensor_shapes.js';
import { RewriteError } from '../../../../lib/rewrite/errors.js';
import { FP8_CODING } from '../../../../lib/rewrite/quantise/fp8_coding.js';
import { intCoding } from '../../../../lib/rewrite/quantise/int_coding.js';
import { quantiseCheckpoint, type QuantiseOptions } from '../../../../lib/rewrite/quantise/quantise.js';
import { isMeant } from '../../../../lib/rewrite/quantise/targets.js';
import type { WeightCoding } from '../../../../lib/rewrite/quantise/weight_coding.js';
import { openSource, type RewriteSource } from '../../../../lib/rewrite/source.js';
import { changeTensors } from '../../../kit/model/model_copy.js';
import { readStoredModels, writeStoredModel } from '../../../kit/model/stored_models.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const SIZES = { layers: 2, denseLayers: 1, hidden: 64, experts: 4, topk: 2, intermediate: 96, heads: 2, vocab: 300 };
const INT4 = intCoding({ type: 'int4', group: 32, scaleDtype: 'BF16' });
const CODINGS: readonly (readonly [string, WeightCoding])[] = [
  ['int4', INT4],
  ['int4 in groups of 16, F32 scales', intCoding({ type: 'int4', group: 16, scaleDtype: 'F32' })],
  ['uint4', intCoding({ type: 'uint4', group: 32, scaleDtype: 'BF16' })],
  ['int8', intCoding({ type: 'int8', group: 32, scaleDtype: 'BF16' })],
  ['fp8', FP8_CODING],
];

type Options = Partial<QuantiseOptions>;
const DEFAULTS: QuantiseOptions = { coding: INT4, only: 'experts', ignore: [], mayDecode: false };

/** Two folders in a temporary one: a source that `write` filled, and what comes of it. */
const withFolders = (
  write: (from: string) => Promise<unknown>,
  use: (from: string, out: string, parent: string) => Promise<void>,
): Promise<void> =>
  withTempFolder(async (parent) => {
    const from = join(parent, 'from');
    await write(from);
    await use(from, join(parent, 'out'), parent);
  });

const randomModel = (family: RandomFamily) => (dir: string) => {
  const config = randomConfig(family, { ...SIZES, dtype: 'BF16' });
  return makeRandomCheckpoint(dir, { config, dtype: 'BF16', seed: 4 });
};

const storedModel = (name: string) => async (dir: string) => {
  await mkdir(dir);
  await writeStoredModel(
    dir,
    readStoredModels().cases.find((each) => each.name === name)!,
  );
};

/** As a copy that is decoded has it. */
const toBf16 = (values: Float32Array, columns: number): Float32Array =>
  floatsOf({ dtype: 'bf16', rows: values.length / columns, columns, bytes: bf16Of(values) });

async function withSource<T>(dir: string, use: (source: RewriteSource) => Promise<T>): Promise<T> {
  const source = await openSource(dir);
  try {
    return await use(source);
  } finally {
    await source.close();
  }
}

const quantised = (from: string, out: string, options: Options) =>
  withSource(from, (source) => quantiseCheckpoint(source, out, { ...DEFAULTS, ...options }));

/** Every tensor of the model in `out` is what rounding makes of that in `from`, or as it was. Returns the names of those that became codes. */
async function expectRounded(
  from: string,
  out: string,
  { coding = INT4, only = 'experts' }: Options,
  isLeft: (name: string) => boolean = () => false,
  kept: (values: Float32Array, columns: number) => Float32Array = (values) => values,
): Promise<string[]> {
  return withSource(from, (before) =>
    withSource(out, async (after) => {
      const coded: string[] = [];
      for (const tensor of tensorShapesOf(before.spec)) {
        const { name, shape } = tensor;
        const [rows, columns = 1] = shape as [number, number?];
        if (!before.weights.has(name)) continue;
        const [values, made] = await Promise.all(
          [before, after].map(({ weights }) => weights.floats(name, shape as [number, number])),
        );
        const isTarget = isMeant(tensor, only) && !isLeft(name);
        if (isTarget) coded.push(name);
        expect(made, name).to.deep.equal(
          isTarget ? coding.round({ values: values!, rows, columns }) : kept(values!, columns),
        );
        if (isTarget && coding !== CODINGS[1]![1]) expect(isCoded(after.weights.info(name).dtype), name).to.equal(true);
      }
      return coded;
    }),
  );
}

describe('quantising a checkpoint', () => {
  for (const [name, coding] of CODINGS) {
    for (const only of ['experts', 'all'] as const) {
      it(`${name}, ${only}: what is read is what the rule rounds to, to the bit, and all else is as it was`, async () => {
        await withFolders(randomModel('deepseek_v3'), async (from, out) => {
          const { numMatrices, layers, totalBytes, sourceBytes, unfit } = await quantised(from, out, { coding, only });
          const coded = await expectRounded(from, out, { coding, only }, (tensor) =>
            unfit.some((module) => tensor.startsWith(`${module}.`)),
          );
          expect([numMatrices, layers.reduce((sum, layer) => sum + layer.numMatrices, 0)]).to.deep.equal([
            coded.length,
            coded.length,
          ]);
          expect(totalBytes).to.be.below(sourceBytes);
          const most = { int8: 0.01, fp8: 0.03 }[name] ?? 0.1;
          for (const { weightError } of layers) expect(weightError).to.be.within(most / 4, most);
        });
      });
    }
  }

  it('experts that lie in one tensor, straight or transposed, become tensors of their own', async () => {
    for (const name of ['fused experts, BF16', 'fused experts, F16']) {
      await withFolders(storedModel(name), async (from, out) => {
        await quantised(from, out, {});
        expect(await expectRounded(from, out, {}), name).to.have.length.above(0);
      });
    }
  });

  it('an expert that is ignored stays where the others of its tensor become codes', async () => {
    for (const name of ['fused experts, BF16', 'fused experts, F32']) {
      await withFolders(storedModel(name), async (from, out) => {
        await quantised(from, out, { ignore: ['experts.1'] });
        await expectRounded(from, out, {}, (tensor) => tensor.includes('experts.1.'));
      });
    }
  });

  it('weights that are codes are refused by their format, or decoded when that is asked for', async () => {
    for (const [name, format] of [
      ['mxfp4', 'mxfp4'],
      ['awq', 'awq'],
      ['compressed-tensors int4 groups in an order', 'compressed-tensors'],
      ['nvfp4 of modelopt', 'modelopt'],
      ['fp8 blocks of 32', 'fp8'],
    ] as const) {
      await withFolders(storedModel(name), async (from, out, parent) => {
        const { code, message } = await errorOf(RewriteError, () => quantised(from, out, {}));
        expect([code, message.includes(`(${format})`)], message).to.deep.equal(['ALREADY_QUANTISED', true]);
        expect(await readdir(parent)).to.deep.equal(['from']);
        await quantised(from, out, { mayDecode: true });
        await expectRounded(from, out, {}, undefined, toBf16);
      });
    }
  });

  it('modules that are ignored stay, and the configuration names them', async () => {
    await withFolders(randomModel('qwen3_moe'), async (from, out) => {
      const { numMatrices } = await quantised(from, out, { only: 'all', ignore: ['self_attn', 're:.*experts.2.*'] });
      const isLeft = (name: string): boolean => /self_attn|experts\.2\./.test(name);
      expect((await expectRounded(from, out, { only: 'all' }, isLeft)).length).to.equal(numMatrices);
      const config = JSON.parse(await readFile(join(out, 'config.json'), 'utf8')) as Config;
      const { ignore, config_groups: groups } = config.quantization_config;
      expect(groups.group_0.weights).to.include({ num_bits: 4, symmetric: true, group_size: 32 });
      expect(ignore).to.include.members(['lm_head', 're:^model\\.layers\\..*\\.self_attn\\.q_proj$']);
      expect(ignore.some((pattern) => pattern.includes('experts\\..*'))).to.equal(false);
    });
  });

  it('where nothing is left to do, groups do not fit experts, or a weight is not finite, it says what to do', async () => {
    await withFolders(randomModel('qwen3_moe'), async (from, out, parent) => {
      const refused = (options: Options): Promise<RewriteError> =>
        errorOf(RewriteError, () => quantised(from, out, options));
      const none = await refused({ ignore: ['*'] });
      expect([none.code, none.message.includes('--ignore * leaves none')]).to.deep.equal(['NOTHING_TO_DO', true]);
      for (const pattern of ['model.layer.0', 're:(a+)+']) {
        const { message } = await refused({ ignore: ['lm_head', pattern] });
        expect(message).to.contain(`--ignore ${pattern} is no module of the checkpoint; give names such as `);
      }
      const coding = intCoding({ type: 'int4', group: 64, scaleDtype: 'F32' });
      const wide = await refused({ coding });
      expect([wide.code, wide.message.includes('96 columns') && wide.message.includes('--group 32')]).to.deep.equal([
        'UNSUITABLE',
        true,
      ]);
      await changeTensors(from, (tensor) => {
        if (!tensor.name.includes('experts.1.up_proj')) return tensor;
        return { ...tensor, bytes: Uint8Array.from(tensor.bytes, (byte, i) => (i < 20 ? 0xff : byte)) };
      });
      const broken = await refused({});
      expect(broken.code).to.equal('NOT_FINITE');
      expect(broken.message).to.include('experts.1.up_proj');
      expect(await readdir(parent)).to.deep.equal(['from']);
    });
  });

  it('matrices beside experts whose columns are no whole groups stay, and are told', async () => {
    await withFolders(randomModel('deepseek_v3'), async (from, out) => {
      const { unfit } = await quantised(from, out, { only: 'all' });
      expect(unfit).to.deep.equal(
        [0, 1].flatMap((layer) => ['q_b_proj', 'kv_b_proj'].map((part) => `model.layers.${layer}.self_attn.${part}`)),
      );
    });
  });
});

interface Config {
  readonly quantization_config: {
    readonly ignore: readonly string[];
    readonly config_groups: { readonly group_0: { readonly weights: object } };
  };
}
