import { expect } from 'chai';
import { loadConfig } from '../../../../../lib/config/load.js';
import { openModel } from '../../../../../lib/head/opened_model.js';
import { prefixSharingOf } from '../../../../../lib/head/scheduling/blocks/prefix_sharing.js';
import { tinyModel } from '../../../../kit/paths.js';

/** Of a model with latent attention, or with grouped-query attention. */
async function sharingOf(attention: 'mla' | 'gqa', ...overrides: string[]) {
  const model = tinyModel(attention === 'mla' ? 'tiny-deepseek-v3' : 'tiny-qwen3-moe');
  const config = await loadConfig({ base: { model }, overrides });
  const { spec } = await openModel(config);
  return prefixSharingOf(config, spec, {
    fma: config.kernels.fma === 'on',
    computes: ['wasm kernels'],
    ...NOTHING_BROUGHT,
  });
}

const NOTHING_BROUGHT = { plugins: [], gate: null };
const BITWISE = 'comm.reduce=source';

describe('what sequences may share', () => {
  it('tells forms of attention apart only where a key has several, and where bits count: auto', async () => {
    const tells = async (...args: Parameters<typeof sharingOf>) => (await sharingOf(...args))!.separatesForms;
    expect(await tells('mla', BITWISE)).to.equal(true);
    expect(await tells('mla')).to.equal(false);
    expect(await tells('mla', BITWISE, 'comm.wire.dispatch=bf16')).to.equal(false);
    expect(await tells('mla', BITWISE, 'comm.wire.combine=int8')).to.equal(false);
    for (const form of ['naive', 'absorbed']) expect(await tells('mla', BITWISE, `engine.mla=${form}`)).to.equal(false);
    expect(await tells('gqa', BITWISE)).to.equal(false);
    expect(await tells('mla', BITWISE, 'experts.warm.bytes=1MiB')).to.equal(false);
  });

  it('is what engine.prefix_cache says, in either tier', async () => {
    for (const tier of [BITWISE, 'comm.reduce=rank']) {
      expect((await sharingOf('mla', tier, 'engine.prefix_cache=exact'))?.separatesForms).to.equal(true);
      expect((await sharingOf('mla', tier, 'engine.prefix_cache=any'))?.separatesForms).to.equal(false);
      expect(await sharingOf('mla', tier, 'engine.prefix_cache=off')).to.equal(null);
    }
  });

  it('has another seed for another model, and for every setting that changes bits', async () => {
    const seedOf = async (...args: Parameters<typeof sharingOf>) => (await sharingOf(...args))!.seed;
    const others = await Promise.all([
      seedOf('mla'),
      seedOf('gqa'),
      ...[
        BITWISE,
        'comm.wire.dispatch=bf16',
        'engine.mla=naive',
        'kernels.fma=on',
        'engine.kv_dtype=bf16',
        'engine.kv_dtype=int8',
        'experts.warm.bytes=1MiB',
      ].map((key) => seedOf('mla', key)),
      ...['experts.resident=int8', 'dense.resident=bf16'].map((key) => seedOf('mla', key)),
    ]);
    expect(new Set(others).size).to.equal(others.length);
    const config = await loadConfig({ base: { model: tinyModel('tiny-deepseek-v3') } });
    const { spec } = await openModel(config);
    const elsewhere = { fma: false, computes: ['tensorflow tensors'], ...NOTHING_BROUGHT }; // the same configuration
    expect(others).to.not.include(prefixSharingOf(config, spec, elsewhere)!.seed);
    for (const same of ['engine.max_num_seqs=3', 'kernels.simd=128'])
      expect(await seedOf('mla', same)).to.equal(others[0]);
  });

  it('is nothing by itself where a gate depends on what runs beside a token, and has another seed for other code', async () => {
    const config = await loadConfig({ base: { model: tinyModel('tiny-qwen3-moe') } });
    const { spec } = await openModel(config);
    const wanting = (prefix_cache: 'auto' | 'any') => ({ ...config, engine: { ...config.engine, prefix_cache } });
    const of = (code: string, dependsOn: 'token' | 'batch', prefix_cache: 'auto' | 'any' = 'auto') => {
      const facts = { fma: false, computes: ['wasm kernels'], plugins: [{ code, options: {} }], gate: { dependsOn } };
      return prefixSharingOf(wanting(prefix_cache), spec, facts);
    };
    expect(of('a', 'batch')).to.equal(null);
    expect(of('a', 'batch', 'any')).to.not.equal(null);
    expect(of('a', 'token')!.seed).to.not.equal(of('b', 'token')!.seed);
  });
});
