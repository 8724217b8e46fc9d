import { expect } from 'chai';
import { loadConfig } from '../../../../lib/config/load.js';
import { kvIdentityOf } from '../../../../lib/head/handover/kv_identity.js';
import { openModel } from '../../../../lib/head/opened_model.js';
import { changeJson, copyModel, flipBit } from '../../../kit/model/model_copy.js';
import { tinyModel } from '../../../kit/paths.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const CLUSTER = ['cluster.enabled=true'];
const MODEL = tinyModel('tiny-qwen3-moe');

const opened = async (model: string, overrides: readonly string[] = CLUSTER) =>
  openModel(await loadConfig({ base: { model }, overrides: [...overrides] }));

const fingerprintOf = async (model: string, overrides?: readonly string[]): Promise<string | null> =>
  (await opened(model, overrides)).fingerprint;

describe('the fingerprint of a model', () => {
  it('is the same in another folder, and another one where a weight or a key of its configuration differs', async () => {
    const own = await fingerprintOf(MODEL);
    expect(own).to.match(/^[0-9a-f]{64}$/);
    await withTempFolder(async (dir) => {
      await copyModel(MODEL, dir);
      expect(await fingerprintOf(dir)).to.equal(own);
      await flipBit(dir, 'model.layers.0.self_attn.q_proj.weight', 3000);
      const spoiled = await fingerprintOf(dir);
      expect(spoiled).not.to.equal(own);
      await flipBit(dir, 'model.layers.0.self_attn.q_proj.weight', 3000);
      await changeJson(`${dir}/config.json`, { rope_theta: 5 });
      expect(await fingerprintOf(dir)).not.to.be.oneOf([own, spoiled]);
    });
  });

  it('is not looked for outside of clusters', async () => {
    expect(await fingerprintOf(MODEL, [])).to.equal(null);
  });
});

describe('what an engine’s keys and values are', () => {
  it('is alike where model and sharing are', async () => {
    const { fingerprint, spec } = await opened(MODEL);
    const sharing = { seed: 'a', separatesForms: false };
    const own = kvIdentityOf(fingerprint, spec, 'f32', sharing);
    expect(kvIdentityOf(fingerprint, spec, 'f32', { ...sharing })).to.deep.equal(own);
    expect(kvIdentityOf(fingerprint, spec, 'f32', { ...sharing, seed: 'b' })).to.include({
      fingerprint: own.fingerprint,
    });
    const others = [{ ...sharing, seed: 'b' }, { ...sharing, separatesForms: true }, null];
    for (const other of others) expect(kvIdentityOf(fingerprint, spec, 'f32', other).sharing).not.to.equal(own.sharing);
    expect(kvIdentityOf(fingerprint, spec, 'int8', sharing).shape).not.to.deep.equal(own.shape);
    const less = { ...spec, vocabSize: spec.vocabSize - 1 };
    expect(kvIdentityOf(fingerprint, less, 'f32', sharing).fingerprint).not.to.equal(own.fingerprint);
  });

  it('is like no other where nobody knows the model, and can’t be read where layers have states', async () => {
    const { spec } = await opened(MODEL);
    expect(kvIdentityOf(null, spec, 'f32', null).fingerprint).not.to.equal(
      kvIdentityOf(null, spec, 'f32', null).fingerprint,
    );
    const conv = { kind: 'short_conv', width: 3 } as const;
    const stateful = { ...spec, layers: spec.layers.map((layer, i) => (i === 0 ? { ...layer, mixer: conv } : layer)) };
    expect(kvIdentityOf('x', stateful as typeof spec, 'f32', null).shape).to.equal(null);
  });
});
