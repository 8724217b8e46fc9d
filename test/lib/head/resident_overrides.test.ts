/** Jobs whose tensors are kept as several types. Everything but sockets and processes is real. */
import { expect } from 'chai';
import { dtypesIn } from '../../../compute/base/expert_dtypes.js';
import { ConfigError } from '../../../lib/config/errors.js';
import { loadConfig } from '../../../lib/config/load.js';
import { openModel } from '../../../lib/head/opened_model.js';
import { scoreIds } from '../../kit/engine/engines.js';
import { batch, frame, lostOf, PROMPT, withLocalEngine } from '../../kit/engine/masking.js';
import { replicated } from '../../kit/engine/placements.js';
import { shuffling } from '../../kit/engine/plannings.js';
import { tinyModel } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';
import { isSameBits } from '../../refs/random.js';

const MIXED = `resident_overrides=${JSON.stringify({
  'layers.*.mlp.experts.*': 'int8',
  'layers.*.mlp.experts.1*': 'int4',
  'layers.2.mlp.experts.3.*': 'f32',
  'layers.0.*': 'uint4',
})}`;
const SET = [MIXED, 'comm.reduce=source'];
const MOVING = ['enabled=true', 'step_interval=2', 'window_size=2', 'min_gain=0', 'cool_down=0'].map(
  (key) => `load_balance.${key}`,
);

describe('a job whose experts have several types', function () {
  this.timeout(120_000);

  it('gives the same bits on any ranks, with replicas, some on disk, and while experts move', async () => {
    const alone = await withLocalEngine({ numRanks: 1, set: SET }, async (local) => {
      const { dtypes } = local.models[0]!.shard;
      expect(dtypesIn(dtypes)).to.have.members(['int8', 'int4', 'f32']);
      return { stories: await batch(local), ...(await scoreIds(local.engine, PROMPT)) };
    });
    const plain = await withLocalEngine({ numRanks: 1, set: ['comm.reduce=source'] }, ({ engine }) =>
      scoreIds(engine, PROMPT),
    );
    expect(isSameBits(plain.logits, alone.logits)).to.equal(false);
    for (const options of [
      { numRanks: 3, set: SET },
      { numRanks: 2, set: SET, placement: replicated(2) },
      { numRanks: 2, set: [...SET, 'experts.max_resident_bytes=40000'] },
      { numRanks: 3, set: [...SET, ...MOVING], planning: shuffling(7) },
      { numRanks: 3, set: [...SET, ...MOVING, 'experts.max_resident_bytes=40000'], planning: shuffling(9) },
    ]) {
      await withLocalEngine(options, async (local) => {
        do expect(await batch(local)).to.deep.equal(alone.stories);
        while ('planning' in options && !local.rebalances.some(({ kind }) => kind === 'done'));
        expect(isSameBits((await scoreIds(local.engine, PROMPT)).logits, alone.logits)).to.equal(true);
      });
    }
  });

  it('gives the same bits in slices, after a rank was lost and when one came', async () => {
    const set = [...SET, 'experts.slices=2'];
    const alone = await withLocalEngine({ numRanks: 1, set }, async (local) => ({
      stories: await batch(local),
      ...(await scoreIds(local.engine, PROMPT)),
    }));
    const options = { set, onPeerLoss: 'recover' } as const;
    await withLocalEngine({ ...options, numRanks: 3, faults: [frame(1, 'dispatch', 0, 1)] }, async (local) => {
      expect(await batch(local)).to.deep.equal(alone.stories);
      expect(lostOf(local)).to.deep.equal([[1]]);
      expect(isSameBits((await scoreIds(local.engine, PROMPT)).logits, alone.logits)).to.equal(true);
    });
    await withLocalEngine({ ...options, numRanks: 2, numSeats: 3 }, async (local) => {
      local.join();
      do expect(await batch(local)).to.deep.equal(alone.stories);
      while (!local.homes.some(({ kind }) => kind === 'spread'));
      expect(local.models[2]!.shard.stats().numExperts).to.be.above(0);
      expect(isSameBits((await scoreIds(local.engine, PROMPT)).logits, alone.logits)).to.equal(true);
    });
  });

  it('is refused before it starts where a name matches nothing, with what names are like', async () => {
    const config = await loadConfig({
      flags: { model: tinyModel('tiny-deepseek-v3') },
      overrides: ['resident_overrides={"model.layers.0.*":"bf16"}'],
    });
    const { message } = await errorOf(ConfigError, () => openModel(config));
    expect(message).to.match(
      /^INVALID_VALUE: .*"resident_overrides" has "model.layers.0.\*", which no tensor .*"layers.0.\*"\?/,
    );
  });
});
