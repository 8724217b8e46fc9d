import { expect } from 'chai';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadConfig } from '../../../lib/config/load.js';
import { openModel, type OpenedModel } from '../../../lib/head/opened_model.js';
import { ModelError } from '../../../lib/model/spec/errors.js';
import { WeightError } from '../../../lib/weights/errors.js';
import { changeJson, changeTensors, copyModel } from '../../kit/model/model_copy.js';
import { moe7m, tinyModel } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

/** A tiny model after changes to its folder. */
async function opened(change: (dir: string) => Promise<void>): Promise<OpenedModel> {
  return withTempFolder(async (dir) => {
    await copyModel(tinyModel('tiny-qwen3-moe'), dir);
    await change(dir);
    return openModel(await loadConfig({ base: { model: dir } }));
  });
}

describe('the ends of a sequence', () => {
  const endsOf = async (config: unknown, generation?: unknown, tokenizerEnd?: string | null): Promise<number[]> => {
    const { spec } = await opened(async (dir) => {
      await changeJson(join(dir, 'config.json'), { eos_token_id: config, vocab_size: 2048 });
      await rm(join(dir, 'model.safetensors')); // of fewer tokens
      if (generation !== undefined) await writeFile(join(dir, 'generation_config.json'), JSON.stringify(generation));
      if (tokenizerEnd === undefined) return;
      await cp(join(moe7m(), 'tokenizer.json'), join(dir, 'tokenizer.json'));
      await writeFile(join(dir, 'tokenizer_config.json'), JSON.stringify({ eos_token: tokenizerEnd }));
    });
    return [...spec.eosTokenIds];
  };

  it('are those of config.json, generation_config.json and tokenizer together; null says nothing', async () => {
    expect(await endsOf(222, { eos_token_id: null })).to.deep.equal([222]);
    expect(await endsOf(222, { eos_token_id: [7, 222] })).to.deep.equal([222, 7]);
    expect(await endsOf(null, { eos_token_id: 7 })).to.deep.equal([7]);
    expect(await endsOf([3, 4], {})).to.deep.equal([3, 4]);
    expect(await endsOf(null)).to.deep.equal([]);
    expect(await endsOf(null, undefined, '<|end|>')).to.deep.equal([1]);
    expect(await endsOf(5, { eos_token_id: 6 }, '<|end|>')).to.deep.equal([5, 6, 1]);
    expect(await endsOf(5, {}, null)).to.deep.equal([5]);
    expect(await endsOf(5, {}, 'no such token')).to.deep.equal([5]);
  });

  it('that are no token ids are refused with the file and the value', async () => {
    for (const wrong of ['</s>', -1, 1.5, { id: 1 }]) {
      const error = await errorOf(ModelError, () => endsOf(1, { eos_token_id: wrong }));
      expect(error.code).to.equal('INVALID_MODEL_CONFIG');
      expect(error.message).to.contain('generation_config.json: eos_token_id is').and.contain(JSON.stringify(wrong));
    }
  });
});

describe('a model folder', () => {
  it('whose weights are in a format that nobody can read is refused by its name, before any rank starts', async () => {
    const quantised = (quantization: object) => (dir: string) =>
      writeFile(join(dir, 'hf_quant_config.json'), JSON.stringify({ quantization }));
    const error = await errorOf(ModelError, () => opened(quantised({ quant_algo: 'W4A8_AWQ', group_size: 16 })));
    expect(error.code).to.equal('UNSUPPORTED_MODEL');
    expect(error.message).to.contain('quantised: quantization_config.quant_algo is "W4A8_AWQ"').and.contain('NVFP4');
    await opened(quantised({ quant_algo: null, kv_cache_quant_algo: null }));
    expect((await opened(quantised({ quant_algo: 'NVFP4' }))).spec.quantization?.method).to.equal('modelopt');
  });

  it('whose tensors alone say that they are packed, or of another model, is refused before any rank starts', async () => {
    const packed = (dir: string) =>
      changeTensors(dir, ({ name, dtype, shape, bytes }) =>
        name.endsWith('.experts.0.up_proj.weight')
          ? { name, dtype: 'U8', shape: [shape[0]!, 2 * shape[1]!], bytes }
          : { name, dtype, shape, bytes },
      );
    expect((await errorOf(WeightError, () => opened(packed))).code).to.equal('UNKNOWN_DTYPE');
    const other = (dir: string) => changeJson(join(dir, 'config.json'), { vocab_size: 95 });
    expect((await errorOf(WeightError, () => opened(other))).code).to.equal('SHAPE_MISMATCH');
    await opened((dir) => rm(join(dir, 'model.safetensors')));
  });

  it('may say infinities where nobody looks; where a number must be finite they are refused by name', async () => {
    const withField = (field: string) => async (dir: string) => {
      await changeJson(join(dir, 'config.json'), { [field]: 'HERE' });
      const file = join(dir, 'config.json');
      await writeFile(file, (await readFile(file, 'utf8')).replace('"HERE"', '[0.0, -Infinity, NaN]'));
    };
    await opened(withField('time_step_limit'));
    const error = await errorOf(ModelError, () => opened(withField('rms_norm_eps')));
    expect(error.message).to.contain('rms_norm_eps');
  });
});

describe('the identity of blocks on disk', () => {
  it('is another one as soon as any weight is written; there is none without a disk', () =>
    withTempFolder(async (dir) => {
      const disk = `engine.kv_tiers=[{disk: {path: ${dir}, size: 1GiB}}]`;
      const identityOf = async (...overrides: string[]): Promise<string | null> =>
        (await openModel(await loadConfig({ base: { model: join(dir, 'model') }, overrides }))).storeIdentity;
      await mkdir(join(dir, 'model'));
      await copyModel(tinyModel('tiny-qwen3-moe'), join(dir, 'model'));
      const first = await identityOf(disk);
      expect(first).to.match(/^[0-9a-f]{64}$/);
      expect(await identityOf(disk, 'engine.max_num_seqs=3')).to.equal(first);
      expect(await identityOf()).to.equal(null);
      const path = join(dir, 'model', 'model.safetensors');
      const weights = await readFile(path);
      weights[weights.length - 1]! ^= 1; // of no sample: those are the middle of tensors
      await writeFile(path, weights);
      expect(await identityOf(disk)).not.to.equal(first);
    }));
});
