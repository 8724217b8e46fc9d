/** A whole engine whose ranks become more and fewer while requests run. Everything but sockets and processes is real. */
import { expect } from 'chai';
import type { ScaleEvent } from '../../../../lib/head/elastic/scale_events.js';
import type { EpochChange } from '../../../../lib/job/step_runner.js';
import { EngineError } from '../../../../lib/protocol/errors.js';
import type { LocalEngine, LocalEngineOptions } from '../../../kit/engine/local_engine.js';
import { batch, undisturbedBatch, withLocalEngine, type Story } from '../../../kit/engine/masking.js';
import { errorOf } from '../../../kit/rejects.js';

const OPTIONS: LocalEngineOptions = { numRanks: 2, numSeats: 4, onPeerLoss: 'recover' };
const membersOf = ({ job }: LocalEngine): number[] => [...job.members.present];

/** Has `act` called once, at the first epoch that is like this. */
function atEpoch({ engine }: LocalEngine, isIt: (change: EpochChange) => boolean, act: () => void): void {
  const unwatch = engine.watch({
    enter: (change) => {
      if (!isIt(change)) return;
      unwatch();
      act();
    },
  });
}

describe('an engine that is scaled', function () {
  this.timeout(60_000);
  let undisturbed: Story[];

  before(async () => {
    undisturbed = await undisturbedBatch('absorbed');
  });

  it('2 → 4 → 2 → 3 → 1 ranks while requests run, and while none do: every token, sample and route is as if nothing had happened', () =>
    withLocalEngine(OPTIONS, async (local) => {
      const { engine } = local;
      const events: ScaleEvent[] = [];
      engine.watch({ scale: (event) => void events.push(event) });
      for (const numRanks of [4, 2, 3, 1]) {
        const running = batch(local);
        const { after, numRecomputed } = await engine.scale(numRanks);
        expect([after, numRecomputed]).to.deep.equal([numRanks, 0]);
        expect(await running).to.deep.equal(undisturbed);
        expect(await batch(local)).to.deep.equal(undisturbed);
      }
      await engine.scale(3);
      expect(await batch(local)).to.deep.equal(undisturbed);
      expect(membersOf(local)).to.deep.equal([0, 1, 2]);
      expect(events.map(({ kind }) => kind)).to.deep.equal(Array(5).fill(['begun', 'done']).flat());
      expect(engine.stats().rankStates).to.deep.equal(['present', 'present', 'present', 'left']);
      expect(engine.stats().scaling).to.deep.include({ maxRanks: 4, numScaled: 5, numFailed: 0 });
    }));

  it('keeps a rank that was to go where the one that was to stay is lost', () =>
    withLocalEngine({ ...OPTIONS, numRanks: 3 }, async (local) => {
      atEpoch(
        local,
        ({ members }) => members.leaving.size === 2,
        () => local.fail(0),
      );
      const running = batch(local);
      expect(await local.engine.scale(1)).to.deep.include({ after: 1, left: [2] });
      expect(await running).to.deep.equal(undisturbed);
      expect(membersOf(local)).to.deep.equal([1]);
      expect(await batch(local)).to.deep.equal(undisturbed);
    }));

  it('has nobody else go where the rank that was to go is lost', () =>
    withLocalEngine({ ...OPTIONS, numRanks: 3 }, async (local) => {
      atEpoch(
        local,
        ({ members }) => members.leaving.has(2),
        () => local.fail(2),
      );
      const running = batch(local);
      expect(await local.engine.scale(2)).to.deep.include({ after: 2, left: [] });
      expect(await running).to.deep.equal(undisturbed);
      expect(membersOf(local)).to.deep.equal([0, 1]);
    }));

  it('makes up for a newcomer that is lost as soon as it is in', () =>
    withLocalEngine(OPTIONS, async (local) => {
      atEpoch(
        local,
        ({ joined }) => joined.length > 0,
        () => local.fail(2),
      );
      const running = batch(local);
      expect(await local.engine.scale(3)).to.deep.include({ after: 3, joined: [2, 2] });
      expect(await running).to.deep.equal(undisturbed);
      expect(await batch(local)).to.deep.equal(undisturbed);
    }));

  it('has a rank go that asks to, and keeps the last one', () =>
    withLocalEngine(OPTIONS, async (local) => {
      const events: ScaleEvent[] = [];
      const ended = new Promise<void>((resolve) => {
        local.engine.watch({
          scale: (event) => {
            events.push(event);
            if (event.kind !== 'begun') resolve();
          },
        });
      });
      const running = batch(local);
      local.leave(0);
      await ended;
      expect(await running).to.deep.equal(undisturbed);
      expect(membersOf(local)).to.deep.equal([1]);
      expect(events[1]).to.deep.include({ kind: 'done', before: 2, after: 1, left: [0] });
      expect(events[1]!.cause).to.deep.equal({ kind: 'leave', rank: 0 });
    }));

  it('keeps ranks that ask to leave while it ends', () =>
    withLocalEngine(OPTIONS, async (local) => {
      const running = batch(local);
      local.engine.endGrace();
      local.leave(0);
      expect(await running).to.deep.equal(undisturbed);
      expect(membersOf(local)).to.deep.equal([0, 1]);
      expect(local.engine.isScaling).to.equal(false);
    }));

  it('refuses more ranks than it has seats, and anything where losses are masked', async () => {
    await withLocalEngine(OPTIONS, async ({ engine }) => {
      const error = await errorOf(EngineError, () => engine.scale(5));
      expect(error.message).to.include('5 ranks; this job has 4 seats (parallel.max_ranks)');
    });
    await withLocalEngine({ ...OPTIONS, onPeerLoss: 'mask' }, async ({ engine }) => {
      expect(engine.stats().scaling).to.equal(null);
      const error = await errorOf(EngineError, () => engine.scale(1));
      expect(error.message).to.include('comm.on_peer_loss is recover');
    });
  });
});
