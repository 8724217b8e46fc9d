import { expect } from 'chai';
import { Elastic } from '../../../../lib/head/elastic/elastic.js';
import type { ScaleEvent } from '../../../../lib/head/elastic/scale_events.js';
import { EngineError } from '../../../../lib/protocol/errors.js';
import { PlayedElasticJob } from '../../../kit/engine/played_elastic_job.js';
import { errorOf } from '../../../kit/rejects.js';

const ASKED = { kind: 'asked' } as const;

function played(numRanks: number, numSeats: number) {
  const job = new PlayedElasticJob(numRanks, numSeats);
  const events: ScaleEvent[] = [];
  const elastic = new Elastic({ job, work: job, onScale: (event) => void events.push(event) });
  return { job, elastic, events, kinds: () => events.map(({ kind }) => kind) };
}

describe('scaling a job', () => {
  it('has all newcomers join before experts move, once', async () => {
    const { job, elastic, kinds } = played(2, 4);
    const scaled = await elastic.scale(4, ASKED);
    expect(job.story).to.deep.equal(['recruit', 'recruit', 'spread over 0,1,2,3']);
    expect(scaled).to.deep.include({ before: 2, after: 4, joined: [2, 3], left: [], numMovedExperts: 10 });
    expect(scaled.firstMs).to.be.at.most(scaled.ms);
    expect(kinds()).to.deep.equal(['begun', 'done']);
  });

  it('has so many newcomers start at a time as may, and experts move when all are there', async () => {
    const job = new PlayedElasticJob(2, 5);
    job.holds = ['recruit'];
    const numAtOnce = (): number => (job.present.size === 2 ? 1 : 2);
    const scaling = new Elastic({ job, work: job, numAtOnce, onScale: () => undefined }).scale(5, ASKED);
    for (const told of [1, 3, 3]) {
      await job.untilHeld('recruit');
      expect(job.story.length).to.equal(told);
      job.release('recruit');
    }
    expect(await scaling).to.deep.include({ after: 5, joined: [2, 3, 4] });
    expect(job.story.slice(3)).to.deep.equal(['spread over 0,1,2,3,4']);
  });

  it('empties ranks of experts and sequences before they go', async () => {
    const { job, elastic } = played(4, 4);
    job.holds = ['drain 2', 'spread'];
    const scaling = elastic.scale(2, ASKED);
    await job.untilHeld('drain 2');
    job.release('drain 2');
    await job.untilHeld('spread over 0,1');
    expect(job.story).to.have.members(['leaving 3', 'leaving 2', 'spread over 0,1', 'drain 3', 'drain 2']);
    job.release('spread over 0,1');
    const scaled = await scaling;
    expect(job.story.slice(5)).to.deep.equal(['retire 3', 'retire 2']);
    expect(scaled).to.deep.include({ left: [3, 2], numMovedSequences: 4, numRecomputed: 2, numMovedExperts: 10 });
  });

  it('changes nothing where there are as many ranks', async () => {
    const { job, elastic } = played(2, 4);
    expect(await elastic.scale(2, ASKED)).to.include({ before: 2, after: 2, firstMs: null });
    expect(job.story).to.deep.equal([]);
  });

  for (const numRanks of [0, -1, 5, 1.5, NaN]) {
    it(`refuses ${numRanks} ranks of 4 seats`, async () => {
      const { elastic, kinds } = played(2, 4);
      expect(await errorOf(EngineError, () => elastic.scale(numRanks, ASKED))).to.include({ code: 'INVALID_REQUEST' });
      expect(kinds()).to.deep.equal([]);
    });
  }

  it('refuses a second order while one is carried out', async () => {
    const { job, elastic } = played(2, 4);
    job.holds = ['recruit'];
    const first = elastic.scale(3, ASKED);
    await job.untilHeld('recruit');
    expect(elastic.isScaling).to.equal(true);
    expect(await errorOf(EngineError, () => elastic.scale(4, ASKED))).to.include({ code: 'INVALID_REQUEST' });
    job.release('recruit');
    await first;
    expect(elastic.isScaling).to.equal(false);
  });

  it('keeps the newcomers that came where others could not, and says why', async () => {
    const { job, elastic, events } = played(2, 4);
    job.holds = ['recruit'];
    const scaling = elastic.scale(4, ASKED);
    await job.untilHeld('recruit');
    job.refuse('recruit', new EngineError('RANK_LOST', 'the process ended with code 3; see its log'));
    job.release('recruit');
    const error = await errorOf(EngineError, () => scaling);
    expect(error).to.include({ code: 'SCALE_FAILED' });
    expect(error.message).to.contain('goes on with 3 ranks').and.contain('ended with code 3');
    expect(job.story).to.deep.equal(['recruit', 'recruit', 'spread over 0,1,2']);
    expect(events.at(-1)).to.include({ kind: 'failed', before: 2, after: 3 });
    expect(elastic.stats()).to.deep.include({ numScaled: 0, numFailed: 1, isScaling: false });
  });

  it('has ranks stay whose experts find no room elsewhere, and stops moving their sequences', async () => {
    const { job, elastic } = played(2, 2);
    job.holds = ['spread', 'drain'];
    const scaling = elastic.scale(1, ASKED);
    await job.untilHeld('spread over 0');
    job.refuse('spread over 0', new EngineError('REBALANCE_FAILED', 'no room'));
    expect(await errorOf(EngineError, () => scaling)).to.include({ code: 'SCALE_FAILED' });
    expect(job.story).to.deep.equal(['leaving 1', 'drain 1', 'spread over 0', 'staying 1']);
    expect([...job.present]).to.deep.equal([0, 1]);
  });

  it('has a newcomer stay away when it is given up, and a leaving rank stay', async () => {
    const { job, elastic } = played(2, 4);
    job.holds = ['recruit', 'drain'];
    for (const [numRanks, held] of [
      [3, 'recruit'],
      [1, 'drain 1'],
    ] as const) {
      const giveUp = new AbortController();
      const scaling = elastic.scale(numRanks, ASKED, giveUp.signal);
      await job.untilHeld(held);
      giveUp.abort();
      expect(await errorOf(EngineError, () => scaling)).to.include({ code: 'SCALE_FAILED' });
      expect([...job.present]).to.deep.equal([0, 1]);
    }
    expect(job.leaving.size).to.equal(0);
  });

  it('makes up for ranks that are lost while others come', async () => {
    const { job, elastic } = played(3, 6);
    job.holds = ['spread'];
    const scaling = elastic.scale(4, ASKED);
    await job.untilHeld('spread over 0,1,2,3');
    job.lose(1);
    job.release('spread over 0,1,2,3');
    await job.untilHeld('spread over 0,2,3,1');
    job.release('spread over 0,2,3,1');
    expect(await scaling).to.deep.include({ after: 4, joined: [3, 1] });
  });

  it('has no other rank go for one that was lost on its way out', async () => {
    const { job, elastic } = played(3, 3);
    job.holds = ['drain'];
    const scaling = elastic.scale(2, ASKED);
    await job.untilHeld('drain 2');
    job.lose(2);
    elastic.lose([2]);
    expect(await scaling).to.deep.include({ after: 2, left: [] });
    expect(job.story).not.to.include('retire 2');
  });

  it('has a rank stay after all where all that were to stay are lost, and moves what it holds no more', async () => {
    const { job, elastic } = played(3, 3);
    job.holds = ['drain', 'retire'];
    const scaling = elastic.scale(1, ASKED);
    await job.untilHeld('drain 1');
    job.lose(0);
    elastic.lose([0]);
    await job.untilHeld('drain 2');
    expect([...job.leaving]).to.deep.equal([2]);
    job.holds = [];
    elastic.lose([0]); // and once more
    expect(await scaling).to.deep.include({ after: 1, left: [2] });
    expect([...job.present]).to.deep.equal([1]);
  });

  it('has a rank stay after all where another is lost in the moment in which it goes', async () => {
    const { job, elastic } = played(2, 3);
    job.holds = ['retire'];
    const scaling = elastic.scale(1, ASKED);
    await job.untilHeld('retire 1');
    job.lose(0);
    elastic.lose([0]);
    job.refuse('retire 1', new EngineError('RANK_LOST', 'a rank was lost before others could go'));
    expect(await scaling).to.deep.include({ after: 1, left: [] });
    expect([...job.present]).to.deep.equal([1]);
    expect(job.leaving.size).to.equal(0);
  });

  it('has a rank that asks to leave go, but not the last one', async () => {
    const { job, elastic, events } = played(2, 2);
    expect(await elastic.leave(0)).to.deep.include({ before: 2, after: 1, left: [0] });
    expect(await errorOf(EngineError, () => elastic.leave(1))).to.include({ code: 'SCALE_FAILED' });
    expect(await elastic.leave(0)).to.deep.include({ left: [] });
    expect([...job.present]).to.deep.equal([1]);
    expect(events[0]).to.deep.include({ wanted: 1, cause: { kind: 'leave', rank: 0 } });
  });

  it('serves what ranks want by themselves in turn, behind an order', async () => {
    const { job, elastic } = played(2, 5);
    job.holds = ['recruit'];
    const scaling = elastic.scale(3, ASKED);
    const leaving = elastic.leave(0);
    await job.untilHeld('recruit');
    job.release('recruit');
    await Promise.all([scaling, leaving]);
    expect(job.story).to.deep.equal([
      ...['recruit', 'spread over 0,1,2', 'leaving 0', 'drain 0', 'spread over 1,2', 'retire 0'],
    ]);
  });

  it('leaves who takes the seat of a rank that asked to leave and was lost where it is', async () => {
    const { job, elastic } = played(3, 4);
    job.holds = ['recruit'];
    const scaling = elastic.scale(4, ASKED);
    const left = errorOf(EngineError, () => elastic.leave(2));
    await job.untilHeld('recruit');
    job.lose(2);
    elastic.lose([2]);
    job.release('recruit');
    await job.untilHeld('recruit'); // the seat of the lost one
    job.release('recruit');
    expect((await scaling).joined).to.include(2);
    await left;
    expect([...job.present]).to.have.members([0, 1, 2, 3]);
  });

  it('tells that a rank was lost while it left, and counts that as no success', async () => {
    const { job, elastic, events } = played(3, 4);
    job.holds = ['drain'];
    const leaving = elastic.leave(2);
    await job.untilHeld('drain 2');
    job.lose(2);
    elastic.lose([2]);
    const error = await errorOf(EngineError, () => leaving);
    expect(error).to.include({ code: 'SCALE_FAILED' });
    expect(error.message).to.contain('goes on with 2 ranks').and.contain('rank 2 was lost');
    expect(events.at(-1)).to.include({ kind: 'failed', before: 3, after: 2 });
    expect(elastic.stats()).to.include({ numScaled: 0, numFailed: 1 });
  });

  it('ends with the engine, and tells its error', async () => {
    const { job, elastic } = played(2, 4);
    job.holds = ['recruit'];
    const closed = new EngineError('CLOSED', 'the engine was closed; start another');
    const scaling = elastic.scale(4, ASKED);
    const leaving = elastic.leave(1);
    await job.untilHeld('recruit');
    elastic.fail(closed);
    expect(await errorOf(EngineError, () => scaling)).to.equal(closed);
    expect(await errorOf(EngineError, () => leaving)).to.equal(closed);
    expect(await errorOf(EngineError, () => elastic.scale(2, ASKED))).to.equal(closed);
  });
});
