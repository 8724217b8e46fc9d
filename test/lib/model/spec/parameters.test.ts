import { expect } from 'chai';
import { modelSpecOf } from '../../../../lib/model/families/registry.js';
import { MODEL_PARTS, parametersOf } from '../../../../lib/model/spec/parameters.js';
import { openWeights } from '../../../../lib/model/stored/model_weights.js';
import { readModelFiles } from '../../../../lib/weights/model_files.js';
import { GPT_OSS_20B, MIXTRAL, QWEN3, V3, type Config } from '../../../kit/model/published_configs.js';
import { moe7m, tinyModel } from '../../../kit/paths.js';

/** By hand from the published sizes; all of the first and, in billions, active numbers are those of the models' authors. */
const PUBLISHED: Readonly<Record<string, readonly [config: Config, total: number, active: number, inside: number]>> = {
  'DeepSeek-V3 (671 B, 37 B active)': [V3, 671_026_419_200, 37_552_297_472, 36_625_618_432],
  'Qwen3-30B-A3B (30.5 B, 3.3 B active)': [QWEN3, 30_532_122_624, 3_353_032_704, 3_041_867_776],
  'gpt-oss-20b (20.9 B, 3.6 B active)': [GPT_OSS_20B, 20_914_757_184, 4_187_440_704, 3_608_307_264],
  'Mixtral-8x7B (46.7 B, 12.9 B active)': [MIXTRAL, 46_702_792_704, 12_879_925_248, 12_748_853_248],
};

describe('the parameters of a model', () => {
  for (const [name, [config, total, active, activeWithoutEmbedding]] of Object.entries(PUBLISHED)) {
    it(`are as published: ${name}`, () => {
      const parameters = parametersOf(modelSpecOf(config));
      expect(parameters).to.include({ total, active, activeWithoutEmbedding });
      expect(MODEL_PARTS.reduce((sum, part) => sum + parameters.parts[part], 0)).to.equal(total);
    });
  }

  it('of an expert are those of three matrices, and biases where it has some', () => {
    expect(parametersOf(modelSpecOf(QWEN3)).perExpert).to.equal(3 * 2048 * 768);
    expect(parametersOf(modelSpecOf(GPT_OSS_20B)).perExpert).to.equal(3 * 2880 * 2880 + 3 * 2880);
  });

  it('with an embedding that is the head too count it once, and a token uses it', () => {
    const tied = parametersOf(modelSpecOf({ ...QWEN3, tie_word_embeddings: true }));
    const { total, active, parts } = parametersOf(modelSpecOf(QWEN3));
    expect(tied.total).to.equal(total - parts.head);
    expect(tied.parts.head).to.equal(0);
    expect(tied).to.include({ active: active - parts.head, activeWithoutEmbedding: active - parts.head });
  });

  for (const dir of [
    moe7m(),
    tinyModel('tiny-qwen3-moe'),
    tinyModel('tiny-gpt-oss'),
    tinyModel('tiny-deepseek-v3-fp8'),
  ]) {
    it(`are the values of all tensors in ${dir.split('/').at(-1)!}`, async () => {
      const spec = modelSpecOf((await readModelFiles(dir)).config);
      const weights = await openWeights(dir, spec);
      const values = weights.infos(() => true).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
      await weights.close();
      expect(parametersOf(spec).total).to.equal(values);
    });
  }
});
