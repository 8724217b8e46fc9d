import { expect } from 'chai';
import type { ScaleEvent } from '../../../../lib/head/elastic/scale_events.js';
import { Scaler, type ScalerOptions } from '../../../../lib/head/elastic/scaler.js';
import type { ObservedStep } from '../../../../lib/head/observing/step_observer.js';
import { loadOf } from '../../../../lib/head/scheduling/scheduler_load.js';
import { EngineError } from '../../../../lib/protocol/errors.js';
import { epochOf } from '../../../kit/engine/epochs.js';
import { PlayedElasticJob } from '../../../kit/engine/played_elastic_job.js';
import { errorOf } from '../../../kit/rejects.js';

const CONFIG: ScalerOptions['config'] = {
  ...{ enabled: false, min_ranks: 1, max_ranks: 'auto', metric: 'waiting', up: 8, down: 0 },
  ...{ interval_steps: 2, cool_down: 3 },
};
const STEP = { stepMs: 5 } as ObservedStep;

/** A scaler whose head knows of every epoch at once, unless a test says when. */
function played(numRanks: number, options: Partial<ScalerOptions> = {}, knowsAtOnce = true) {
  const job = new PlayedElasticJob(numRanks, 4);
  const events: ScaleEvent[] = [];
  const rank = {
    rank: 0,
    numRunning: 1,
    numKvBlocks: 10,
    numUsedBlocks: 1,
    numCachedBlocks: 0,
    numPinnedBlocks: 0,
    tiers: [],
    numPrefillTokens: 0,
  };
  const scaler = new Scaler({
    ...{ job, config: CONFIG, maxNumSeqs: 8, numCores: 16, load: () => loadOf(9, [rank]) },
    prepare: () => undefined,
    numMovedExperts: () => job.moved.numMovedExperts,
    spread: () => job.spread(new AbortController().signal),
    drained: (each, signal) => job.drain(each, signal),
    onScale: (event) => void events.push(event),
    ...options,
  });
  const know = (): void => scaler.enter(epochOf(job.present, { epoch: job.epoch }));
  if (knowsAtOnce) know();
  const advance = knowsAtOnce ? setInterval(know, 0) : undefined;
  return { job, scaler, events, know, stop: () => clearInterval(advance) };
}

describe('the scaler of an engine', () => {
  it('moves experts when the head knows of the newcomers, and not before, and has their plan prepared meanwhile', async () => {
    const prepare = (): void => void job.story.push('prepare');
    const { job, scaler, know } = played(2, { prepare }, false);
    job.holds = ['spread'];
    const scaling = scaler.scale(3);
    for (let i = 0; i < 5; i++) await new Promise(setImmediate);
    expect(job.story).to.deep.equal(['prepare', 'recruit']);
    know();
    await job.untilHeld('spread over 0,1,2');
    job.release('spread over 0,1,2');
    expect(await scaling).to.deep.include({ before: 2, after: 3, joined: [2] });
  });

  it('has newcomers start where the machine has cores for them, or one at a time, and all spares join at once', async () => {
    const { job, scaler, stop } = played(1, { numCores: 1 });
    for (const [numRanks, numSpares, numTold] of [
      [2, 0, 1],
      [4, 2, 3],
    ] as const) {
      job.holds = ['recruit'];
      job.spares = [...Array(numSpares).keys()];
      const scaling = scaler.scale(numRanks);
      await job.untilHeld('recruit');
      expect(job.story.filter((what) => what === 'recruit').length).to.equal(numTold);
      job.holds = [];
      while (job.isHeld('recruit')) job.release('recruit');
      await scaling;
    }
    stop();
  });

  it('tells how many sequences went on elsewhere, and how many gave way', async () => {
    const { job, scaler, stop } = played(2);
    job.holds = ['drain'];
    const scaling = scaler.scale(1);
    await job.untilHeld('drain 1');
    const moved = { kind: 'moved', rank: 0, numTokens: 4 } as const;
    for (const sequence of [4, 5]) scaler.request({ ...moved, sequence, from: 1 });
    scaler.request({ ...moved, sequence: 6, from: 0 }); // not of the rank that leaves
    scaler.request({ kind: 'preempted', sequence: 7, rank: 1 });
    job.release('drain 1');
    expect(await scaling).to.deep.include({ left: [1], numMovedSequences: 2, numRecomputed: 1 });
    stop();
  });

  it('lets a rank go that was lost before it could leave', async () => {
    const { job, scaler, stop } = played(3);
    job.holds = ['leaving'];
    const scaling = scaler.scale(2);
    await job.untilHeld('leaving 2');
    job.lose(2);
    job.release('leaving 2');
    expect(await scaling).to.deep.include({ after: 2, left: [] });
    stop();
  });

  it('has the policy order one rank more, with its figures, and rest', async () => {
    const { job, scaler, events, stop } = played(2, { config: { ...CONFIG, enabled: true } });
    job.holds = ['recruit'];
    for (let i = 0; i < 8; i++) scaler.observe(STEP); // while it is carried out, nothing is decided
    await job.untilHeld('recruit');
    const cause = { kind: 'policy', before: 2, after: 3, metric: 'waiting', mean: 9, numSteps: 2 };
    expect(events).to.deep.equal([{ kind: 'begun', before: 2, wanted: 3, cause }]);
    job.release('recruit');
    while (scaler.isScaling) await new Promise(setImmediate);
    for (let i = 0; i < 3; i++) scaler.observe(STEP);
    expect(scaler.stats()).to.include({ numScaled: 1, isScaling: false });
    stop();
  });

  it('refuses an order that the policy would take back', async () => {
    const config = { ...CONFIG, enabled: true, min_ranks: 2, max_ranks: 3 };
    const { job, scaler, stop } = played(2, { config });
    for (const numRanks of [1, 4]) {
      const error = await errorOf(EngineError, () => scaler.scale(numRanks));
      expect(error).to.include({ code: 'INVALID_REQUEST' });
      expect(error.message).to.contain('from 2 to 3');
    }
    expect(job.story).to.deep.equal([]);
    expect(await scaler.scale(3)).to.include({ after: 3 });
    stop();
  });

  it('tells the last rank why it has to stay', async () => {
    const { job, scaler, stop } = played(1);
    scaler.leave(0);
    while (scaler.isScaling) await new Promise(setImmediate);
    expect(job.story).to.include('keep 0: no rank would stay but rank 0');
    stop();
  });

  it('decides nothing by itself unless it is told to', () => {
    const { scaler, events, stop } = played(2);
    for (let i = 0; i < 8; i++) scaler.observe(STEP);
    expect(events).to.deep.equal([]);
    stop();
  });

  it('that is settled gives up what ranks and the policy wanted, and decides nothing more, but does what a caller ordered', async () => {
    const { job, scaler, events, stop } = played(3, { config: { ...CONFIG, enabled: true } });
    job.holds = ['spread'];
    scaler.leave(1);
    scaler.leave(2);
    await job.untilHeld('spread over 0,2');
    scaler.settle();
    while (scaler.isScaling) await new Promise(setImmediate);
    expect([...job.present]).to.deep.equal([0, 1, 2]);
    expect([...job.leaving]).to.deep.equal([]);
    expect(events.map(({ kind }) => kind)).to.deep.equal(['begun', 'failed', 'begun', 'done']);
    for (let i = 0; i < 8; i++) scaler.observe(STEP);
    expect(scaler.isScaling).to.equal(false);
    const scaling = scaler.scale(2);
    await job.untilHeld('spread over 0,1');
    scaler.settle();
    job.release('spread over 0,1');
    expect(await scaling).to.deep.include({ left: [2] });
    stop();
  });

  it('waits for no epoch when the engine is over', async () => {
    const { job, scaler } = played(2, {}, false);
    const scaling = scaler.scale(3);
    while (!job.present.has(2)) await new Promise(setImmediate);
    const closed = new EngineError('CLOSED', 'the engine was closed; start another');
    scaler.fail(closed);
    expect(await errorOf(EngineError, () => scaling)).to.equal(closed);
  });
});
