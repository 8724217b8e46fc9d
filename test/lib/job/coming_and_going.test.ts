/** Ranks that join, leave and replace each other while requests run. Everything but sockets and processes is real. */
import { expect } from 'chai';
import type { LocalEngine, LocalEngineOptions } from '../../kit/engine/local_engine.js';
import { MemoryKvSpace } from '../../kit/comm/memory_kv.js';
import type { Spoil } from '../../kit/engine/local_seats.js';
import { EngineError } from '../../../lib/protocol/errors.js';
import { errorOf } from '../../kit/rejects.js';
import { replicated } from '../../kit/engine/placements.js';
import { batch, generate, lostOf, undisturbedBatch, withLocalEngine, type Story } from '../../kit/engine/masking.js';

const membersOf = ({ job }: LocalEngine): number[] => [...job.members.present];

/** Asks again and again, a few turns of the event loop apart: what is waited for happens beside the steps. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 1));
}

describe('ranks that come and go while requests run', function () {
  this.timeout(60_000);
  const OPTIONS: LocalEngineOptions = { numRanks: 2, numSeats: 4, placement: replicated(2) };
  let undisturbed: Story[];

  before(async () => {
    undisturbed = await undisturbedBatch('absorbed');
  });

  it('a newcomer joins between two steps and is given sequences: every token, sample and route is as if nothing had happened', async () => {
    await withLocalEngine(OPTIONS, async (local) => {
      const before = batch(local);
      local.join();
      await until(() => membersOf(local).length === 3);
      expect(await before).to.deep.equal(undisturbed);
      expect(await batch(local)).to.deep.equal(undisturbed);
      expect(membersOf(local)).to.deep.equal([0, 1, 2]);
      expect(local.losses).to.deep.equal([]);
      const { ranks, numRanks, lostRanks } = local.engine.stats();
      expect([ranks.length, numRanks, lostRanks]).to.deep.equal([3, 3, []]);
      expect(ranks[2]!.numKvBlocks).to.be.greaterThan(0); // it was given sequences
    });
  });

  it('one joins a job in which nothing runs, two at once too', async () => {
    await withLocalEngine(OPTIONS, async (local) => {
      for (let i = 0; i < 2; i++) local.join();
      await until(() => membersOf(local).length === 4);
      expect(await batch(local)).to.deep.equal(undisturbed);
    });
  });

  it('each has a door for ranks of other instances, the newcomer too, and nobody knows that of a rank that is gone', async () => {
    await withLocalEngine({ ...OPTIONS, kv: new MemoryKvSpace() }, async (local) => {
      const doors = (): unknown[] => [0, 1, 2].map((rank) => local.job.kvDoorOf(rank)?.port ?? null);
      const [first, second, third] = doors();
      expect([third, new Set([first, second, null]).size]).to.deep.equal([null, 3]);
      local.join();
      await until(() => membersOf(local).length === 3);
      local.fail(0);
      await until(() => membersOf(local).length === 2);
      const later = doors();
      expect(later.slice(0, 2)).to.deep.equal([null, second]);
      expect(later[2]).not.to.be.oneOf([null, first, second]);
    });
  });

  it('a lost rank that comes back is a new member on the lowest free seat', async () => {
    await withLocalEngine({ ...OPTIONS, numSeats: 3 }, async (local) => {
      local.fail(0);
      await until(() => membersOf(local).length === 1);
      local.join();
      await until(() => membersOf(local).length === 2);
      expect(membersOf(local)).to.deep.equal([0, 1]);
      expect(local.job.members.epoch).to.equal(2);
      expect(await batch(local)).to.deep.equal(undisturbed);
      local.fail(1);
      await until(() => membersOf(local).length === 1);
      expect((await generate(local, {})).numDegradedTokens).to.be.greaterThan(0); // it was given no experts yet
    });
  });

  for (const spoil of ['other checkpoint', 'dies loading', 'dies linking', 'silent linking'] satisfies Spoil[]) {
    it(`a newcomer of the kind "${spoil}" changes nothing for the others, and leaves its seat to the next one`, async () => {
      await withLocalEngine({ ...OPTIONS, joinTimeoutMs: spoil === 'silent linking' ? 100 : 10_000 }, async (local) => {
        local.join(spoil);
        const running = batch(local);
        await until(() => local.notices.length > 0);
        expect(await running).to.deep.equal(undisturbed);
        expect(local.job.members.epoch).to.equal(0);
        local.join();
        await until(() => membersOf(local).length === 3);
        expect(membersOf(local)).to.deep.equal([0, 1, 2]);
        expect(await batch(local)).to.deep.equal(undisturbed);
      });
    });
  }

  it('a spare is kept, takes the seat of a rank that is lost, and is made up for', async () => {
    await withLocalEngine({ ...OPTIONS, numSpares: 1 }, async (local) => {
      await until(() => local.job.spares.length === 1);
      expect([membersOf(local), local.job.spares]).to.deep.equal([[0, 1], [2]]);
      const running = batch(local);
      local.fail(1);
      await until(() => membersOf(local).includes(2));
      expect(await running).to.deep.equal(undisturbed);
      await until(() => local.job.spares.length === 1);
      expect([membersOf(local), local.job.spares]).to.deep.equal([[0, 2], [1]]);
      expect(local.notices).to.deep.equal([]);
    });
  });

  for (const spoil of ['stopped dialing', 'silent linking', 'stopped linked'] satisfies Spoil[]) {
    it(`one that is recruited and is of the kind "${spoil}" is ended when its time is over, and whoever waits for it is told`, async () => {
      await withLocalEngine({ ...OPTIONS, spoils: [spoil], joinTimeoutMs: 100 }, async (local) => {
        const running = batch(local);
        const error = await errorOf(EngineError, () => local.job.recruit());
        expect(error.message).to.match(/^RANK_FAILED: a rank that was to join won't: .* 100 ms/);
        expect(await local.job.recruit()).to.equal(2);
        expect(await running).to.deep.equal(undisturbed);
        expect(local.losses).to.deep.equal([]);
      });
    });
  }

  it('a spare that leaves is missed by nobody: the next one still takes the seat of a rank that is lost', async () => {
    await withLocalEngine({ ...OPTIONS, numSpares: 2 }, async (local) => {
      await until(() => local.job.spares.length === 2);
      local.leave(2);
      await until(() => local.job.spares.length === 1);
      local.fail(1);
      await until(() => membersOf(local).includes(3));
      expect(membersOf(local)).to.deep.equal([0, 3]);
      expect(await batch(local)).to.deep.equal(undisturbed);
    });
  });

  it('a spare that is recruited and stopped is replaced by a rank that is started, also where no more spares are', async () => {
    const spoils = Array<Spoil>(6).fill('dies loading');
    await withLocalEngine({ ...OPTIONS, numSpares: 1, spoils, timeoutMs: 200 }, async (local) => {
      const numGivenUp = (): number => local.notices.filter((line) => line.endsWith('no more are started')).length;
      await until(() => numGivenUp() === 1);
      local.join();
      await until(() => local.job.spares.length === 1);
      local.fail(local.job.spares[0]!, 'stopped');
      const recruited = local.job.recruit(); // another spare is started instead of this one, three times
      await until(() => numGivenUp() === 2);
      expect(membersOf(local)).to.deep.equal([0, 1]);
      const seat = await recruited;
      expect(membersOf(local)).to.deep.equal([0, 1, seat]);
      expect(await batch(local)).to.deep.equal(undisturbed);
    });
  });

  it('a spare that is stopped is lost before it is needed, and made up for', async () => {
    await withLocalEngine({ ...OPTIONS, numSpares: 1, timeoutMs: 200 }, async (local) => {
      await until(() => local.job.spares.length === 1);
      local.fail(2, 'stopped');
      await until(() => local.job.spares.length === 0);
      await until(() => local.job.spares.length === 1);
      expect([local.job.members.epoch, local.losses]).to.deep.equal([0, []]);
    });
  });

  it('a spare that is stopped when it is needed holds nobody up: it is asked for a sign of life first', async () => {
    await withLocalEngine({ ...OPTIONS, numSpares: 1, timeoutMs: 1000 }, async (local) => {
      await until(() => local.job.spares.length === 1);
      local.fail(2, 'stopped');
      local.fail(1);
      expect(await batch(local)).to.deep.equal(undisturbed);
      await until(() => membersOf(local).length === 2); // another one, which was started
      expect(lostOf(local)).to.deep.equal([[1]]);
      expect(await batch(local)).to.deep.equal(undisturbed);
    });
  });

  it('whom somebody recruits is a spare, or one that is started, and joins; who leaves goes when it is told to', async () => {
    await withLocalEngine({ ...OPTIONS, numSpares: 1 }, async (local) => {
      await until(() => local.job.spares.length === 1);
      expect(await local.job.recruit()).to.equal(2);
      await until(() => local.job.spares.length === 1);
      expect(await local.job.recruit()).to.equal(3);
      expect((await errorOf(EngineError, () => local.job.recruit())).message).to.contain('all 4 seats are taken');
      expect(membersOf(local)).to.deep.equal([0, 1, 2, 3]);
      await local.job.setLeaving(3, true);
      expect([...local.job.members.leaving]).to.deep.equal([3]);
      const running = batch(local);
      await local.job.retire(3);
      expect(await running).to.deep.equal(undisturbed);
      expect(await local.job.recruit()).to.equal(3); // the seat is free now
      expect(local.losses).to.deep.equal([]);
    });
  });
});
