import { expect } from 'chai';
import { checkConfig, loadConfig } from '../../../lib/config/load.js';
import { ConfigError } from '../../../lib/config/errors.js';
import { kvTierSizes, type KvTierSizes } from '../../../lib/config/kv_tiers_schema.js';
import { readModelFiles } from '../../../lib/weights/model_files.js';
import { modelSpecOf } from '../../../lib/model/families/registry.js';
import { kvStorePlanOf, type KvStorePlan } from '../../../lib/protocol/kv_store_plan.js';
import { limitsOf } from '../../../lib/protocol/limits.js';
import { moe7m } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';

const tiersOf = async (tiers: string): Promise<KvTierSizes> => {
  const config = await loadConfig({ base: { model: moe7m() }, overrides: [`engine.kv_tiers=${tiers}`], cwd: '/here' });
  checkConfig(config); // what comes out may be given again
  return kvTierSizes(config.engine.kv_tiers);
};

const planOf = async (fingerprint: string | null, ...overrides: string[]): Promise<KvStorePlan | null> => {
  const config = await loadConfig({ base: { model: moe7m() }, overrides });
  const spec = modelSpecOf((await readModelFiles(moe7m())).config);
  limitsOf(config, spec);
  return kvStorePlanOf(config, spec, fingerprint);
};

describe('engine.kv_tiers', () => {
  it('sizes are numbers of bytes, or texts with a unit; a relative folder is of the current one', async () => {
    expect(await tiersOf('[]')).to.deep.equal({ ramBytes: null, disk: null });
    expect(await tiersOf('[{ram: 1GiB}]')).to.deep.equal({ ramBytes: 2 ** 30, disk: null });
    const disk = { path: '/here/kv', maxBytes: 10 * 2 ** 30 };
    expect(await tiersOf('[{disk: {path: kv, size: 10 GiB}}]')).to.deep.equal({ ramBytes: null, disk });
    const both = { ramBytes: 1000, disk: { path: '/kv', maxBytes: 1.5 * 2 ** 20 } };
    expect(await tiersOf('[{ram: 1000}, {disk: {path: /kv, size: 1.5MiB}}]')).to.deep.equal(both);
  });

  it('anything else is refused, with what is allowed', async () => {
    const disk = '{disk: {path: kv, size: 1GiB}}';
    const lists = [
      '[{ram: 1GB}]',
      '[{ram: 1.5}]',
      '[{disk: {path: kv}}]',
      `[${disk}, {ram: 1GiB}]`,
      '[{ram: 1}, {ram: 1}]',
    ];
    for (const list of [
      ...lists,
      '[{rom: 1}]',
      `[{ram: 1}, ${disk}, ${disk}]`,
      '[{ram: 1, disk: {path: kv, size: 1}}]',
    ]) {
      const { code, message } = await errorOf(ConfigError, () => tiersOf(list));
      expect(code, list).to.equal('INVALID_VALUE');
      expect(message).to.contain('allowed is a list of { ram: SIZE } and { disk: { path: DIR, size: SIZE } }');
    }
    for (const size of ['0', '9000TiB', '0.1B']) {
      const { message } = await errorOf(ConfigError, () => tiersOf(`[{ram: ${size}}]`));
      expect(message).to.contain('allowed is a size as 512MiB, 10GiB or a number of bytes');
    }
    expect((await errorOf(ConfigError, () => tiersOf('1GiB'))).code).to.equal('WRONG_TYPE');
  });

  it('are refused where no block is found again', async () => {
    const off = planOf('a', 'engine.kv_tiers=[{ram: 1GiB}]', 'engine.prefix_cache=off');
    const { message } = await errorOf(ConfigError, () => off);
    expect(message).to.equal(
      'INVALID_VALUE: engine.kv_tiers has tiers for blocks that are found again, and engine.prefix_cache is off; set it to auto, or kv_tiers to []',
    );
  });

  it('are a plan for ranks, whose files mean the same where weights and sizes of blocks are', async () => {
    const set = 'engine.kv_tiers=[{ram: 1GiB}, {disk: {path: /kv, size: 1GiB}}]';
    expect(await planOf('a')).to.equal(null);
    const plan = (await planOf('a', set))!;
    expect(plan).to.deep.include({ ramBytes: 2 ** 30, rowBytes: 4 * 16 * 64 * 4, stateBytes: 0 });
    expect(plan.disk).to.deep.include({ path: '/kv', maxBytes: 2 ** 30 });
    const identityOf = async (fingerprint: string, ...more: string[]): Promise<string> =>
      (await planOf(fingerprint, set, ...more))!.disk!.identity;
    expect(await identityOf('a', 'parallel.ranks=2')).to.equal(plan.disk!.identity);
    expect(await identityOf('b')).not.to.equal(plan.disk!.identity);
    expect(await identityOf('a', 'engine.block_size=8')).not.to.equal(plan.disk!.identity);
    expect((await planOf(null, set))!.disk).to.equal(null); // who knows what it is
  });
});
