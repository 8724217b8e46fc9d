/** A whole engine of which one rank is slow. Everything but sockets, processes and clocks is real. */
import { expect } from 'chai';
import { slotsOf } from '../../../../experts/placement/placement.js';
import { speedText, type SpeedEvent } from '../../../../lib/head/speeds/speed_events.js';
import type { LocalEngine, LocalEngineOptions } from '../../../kit/engine/local_engine.js';
import { batch, undisturbedBatch, withLocalEngine, type Story } from '../../../kit/engine/masking.js';

const OPTIONS: LocalEngineOptions = {
  numRanks: 3,
  onPeerLoss: 'recover',
  set: ['load_balance.cool_down=8', 'parallel.slow_factor=1.5'],
};

/** Experts that each rank holds, over all layers. */
const heldIn = ({ engine: { placement } }: LocalEngine): number[] =>
  [...Array(placement.numRanks).keys()].map((rank) =>
    [...placement.phy2log.keys()].reduce(
      (sum, layer) => sum + slotsOf(placement, layer, rank).filter((logical) => logical >= 0).length,
      0,
    ),
  );

/** By rank, of the sequences that it computes from now on. */
function ownTokens({ engine }: LocalEngine): { readonly numTokens: number[] } {
  const numTokens: number[] = [];
  engine.watch({
    step: ({ plans }) => {
      for (const [rank, { parts }] of plans.entries()) {
        numTokens[rank] = (numTokens[rank] ?? 0) + parts.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
      }
    },
  });
  return { numTokens };
}

describe('a job with a slow rank', function () {
  this.timeout(60_000);
  let undisturbed: Story[];

  before(async () => {
    undisturbed = await undisturbedBatch('absorbed');
  });

  /** Batches, whose tokens are as ever, until something is so. */
  async function until(local: LocalEngine, isSo: () => boolean): Promise<void> {
    for (let i = 0; i < 40 && !isSo(); i++) expect(await batch(local)).to.deep.equal(undisturbed);
    expect(isSo(), `${heldIn(local).join()}, ${JSON.stringify(local.engine.stats().speeds)}`).to.equal(true);
  }

  it('names it and gives it fewer experts, also without load_balance, and as many as others again when it has caught up', () =>
    withLocalEngine(OPTIONS, async (local) => {
      const events: SpeedEvent[] = [];
      local.engine.watch({ speed: (event) => void events.push(event) });
      const whys = (): string[] => local.homes.flatMap((event) => (event.kind === 'spread' ? [event.why] : []));
      local.job.paces = [1, 1, 1];
      await until(local, () => local.engine.stats().speeds.every(({ pace }) => pace !== null));
      const even = heldIn(local);
      local.job.paces = [1, 2, 1];
      await until(local, () => whys().length === 1);
      expect(speedText(events[0]!)).to.match(/^rank 1 is slow: it takes [12]\.\d times the median rank's time/);
      expect(whys()).to.deep.equal(['rank 1 is slow']);
      const fewer = heldIn(local);
      expect(fewer[1]! / (fewer[0]! + fewer[2]!), fewer.join()).to.be.within(0.15, 0.35);
      local.job.paces = [1, 1, 1];
      await until(local, () => whys().at(-1) === 'no rank is slow any more');
      expect(heldIn(local)).to.deep.equal(even);
      expect(events.map(({ kind }) => kind)).to.deep.equal(['slow', 'caught_up']);
      expect(await batch(local)).to.deep.equal(undisturbed);
    }));

  it('is demoted where that is asked for: it holds no experts, still computes sequences, and gets experts back when it has caught up', () =>
    withLocalEngine({ ...OPTIONS, set: ['parallel.on_slow=demote'] }, async (local) => {
      const states = (): readonly string[] => local.engine.stats().rankStates;
      local.job.paces = [1, 1, 4];
      await until(local, () => states()[2] === 'demoted' && heldIn(local)[2] === 0);
      const { numTokens } = ownTokens(local);
      expect(await batch(local)).to.deep.equal(undisturbed);
      expect(numTokens[2]).to.be.greaterThan(0);
      expect(local.homes.map((event) => event.kind === 'spread' && event.why)).to.deep.equal(['rank 2 demoted']);
      local.job.paces = [1, 1, 1];
      await until(local, () => states()[2] === 'present' && heldIn(local)[2]! > 0);
    }));
});
