import { expect } from 'chai';
import { ConfigError } from '../../../../lib/config/errors.js';
import { DEFAULTS } from '../../../../lib/config/schema.js';
import { checkSlots, numSeatsOf } from '../../../../lib/job/start/seats.js';
import { errorOf } from '../../../kit/rejects.js';

type SeatsConfig = Parameters<typeof numSeatsOf>[0];
type Changes = { readonly [K in keyof SeatsConfig]?: Partial<SeatsConfig[K]> };

const configOf = (changes: Changes): SeatsConfig => ({
  parallel: { ...DEFAULTS.parallel, ...changes.parallel },
  elastic: { ...DEFAULTS.elastic, ...changes.elastic },
  comm: { ...DEFAULTS.comm, ...changes.comm },
});

describe('the seats of a job', () => {
  const seats = (numRanks: number, changes: Changes = {}): number => numSeatsOf(configOf(changes), numRanks);

  it('are twice the ranks at the start where lost ones are replaced, and else as many', () => {
    for (const how of ['auto', 'recover'] as const) {
      expect(seats(3, { comm: { on_peer_loss: how } })).to.equal(6);
      expect(seats(1, { comm: { on_peer_loss: how } })).to.equal(1);
      expect(seats(3, { comm: { on_peer_loss: how, num_nodes: 3 } })).to.equal(3);
      expect(seats(3, { comm: { on_peer_loss: how, transport: 'threads' } })).to.equal(3);
    }
    for (const how of ['mask', 'fail'] as const) expect(seats(3, { comm: { on_peer_loss: how } })).to.equal(3);
  });

  it('are as many as asked for, or as spare ranks and the elastic policy need', () => {
    expect(seats(2, { parallel: { max_ranks: 7 } })).to.equal(7);
    expect(seats(1, { parallel: { spare_ranks: 1 } })).to.equal(2);
    expect(seats(1, { parallel: { spare_ranks: 1 }, elastic: { enabled: true, max_ranks: 5 } })).to.equal(6);
    expect(seats(1, { elastic: { enabled: false, max_ranks: 5 } })).to.equal(1);
  });

  it('that are too few, or that nobody could take, are refused with what needs them', async () => {
    const refused = async (numRanks: number, changes: Changes): Promise<string> =>
      (await errorOf(ConfigError, () => seats(numRanks, changes))).message;
    expect(await refused(4, { parallel: { max_ranks: 3 } })).to.contain('"parallel.max_ranks" is 3, and 4 are needed');
    expect(await refused(2, { parallel: { max_ranks: 3, spare_ranks: 2 } })).to.contain('4 are needed');
    expect(await refused(2, { parallel: { max_ranks: 3 }, comm: { transport: 'threads' } })).to.contain('is threads');
    expect(await refused(2, { parallel: { spare_ranks: 1 }, comm: { num_nodes: 2 } })).to.contain(
      'num_nodes" is over 1',
    );
  });

  it('that are very many are refused with what they cost and how many may be', async () => {
    expect(seats(2, { parallel: { max_ranks: 1026 } })).to.equal(1026);
    const far = await errorOf(ConfigError, () => seats(2, { parallel: { max_ranks: 1027 } }));
    expect(far).to.include({ code: 'INVALID_VALUE' });
    expect(far.message).to.contain('costs every step').and.to.contain('1026');
    const policy = { elastic: { enabled: true, max_ranks: 5000 } };
    expect(await errorOf(ConfigError, () => seats(2, policy))).to.include({ code: 'INVALID_VALUE' });
    expect(seats(3000)).to.equal(4024);
    const slots = 58 * 256;
    checkSlots(564, 282, slots);
    const many = await errorOf(ConfigError, () => checkSlots(565, 282, slots));
    expect(many.message).to.contain('set it to 564 at most');
    checkSlots(1000, 1000, slots); // those that are there
  });
});
