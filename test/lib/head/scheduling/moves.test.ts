import { expect } from 'chai';
import {
  Scheduler,
  type ScheduledPlan,
  type SchedulerEpoch,
  type SchedulerOptions,
} from '../../../../lib/head/scheduling/scheduler.js';
import type { KvReport } from '../../../../lib/protocol/kv_transfer.js';
import { OPTIONS, outputsOf, request, sequencesOf, shapesOf } from '../../../kit/engine/scheduling.js';

/** Blocks of 4 tokens and 8 bytes; two blocks go beside one step. */
const TWO: SchedulerOptions = { ...OPTIONS, numRanks: 2, kv: { rowBytes: 8, stateBytes: 0, bytesPerStep: 16 } };

const FAILED: KvReport['failed'][number]['error'] = { code: 'PEER_FAILED', reason: '', advice: '', blames: [] };

/** One rank leaves, the others stay. */
const epochOf = (epoch: number, present: readonly number[], leaving: readonly number[] = []): SchedulerEpoch => ({
  epoch,
  present: new Set(present),
  takers: new Set(present.filter((rank) => !leaving.includes(rank))),
  leaving: new Set(leaving),
  hasAbandoned: false,
});

/** The next step, which succeeds, but for transfers from rank `failedFrom`. */
function step(scheduler: Scheduler, failedFrom?: number): ScheduledPlan[] {
  const plans = scheduler.next()!;
  const failed = failedFrom === undefined ? [] : [{ from: failedFrom, error: FAILED }];
  for (const plan of plans) scheduler.commit(plan, outputsOf(plan));
  scheduler.arrive(
    plans[0]!.step,
    plans.map(() => ({ receivedBytes: 0, stallMs: 0, failed })),
  );
  return plans;
}

/** Of every transfer of a step: from, to, and per piece source, target and bytes. */
const transfersOf = (plans: readonly ScheduledPlan[]): unknown[] =>
  plans.flatMap(({ kv = [] }, rank) =>
    kv
      .filter(({ from }) => from === rank)
      .map(({ from, to, pieces }) => [
        from,
        to,
        pieces.map(({ source, target, start, end }) => [source, target, start, end]),
      ]),
  );

describe('sequences that move', () => {
  /** Sequence 0 on rank 1, with a prompt of 18 tokens and some generated. */
  function running(options: SchedulerOptions = TWO, numSteps = 3): Scheduler {
    const scheduler = new Scheduler({ ...options, members: [1] });
    scheduler.add(request(0, 18, 20));
    for (let i = 0; i < numSteps; i++) step(scheduler);
    scheduler.enter(epochOf(1, [0, 1], [1]));
    return scheduler;
  }

  it('generate on while full blocks go, pause for the last ones, and go on with the next step', () => {
    const scheduler = running();
    expect(scheduler.isMoving).to.equal(true);
    const shapes: unknown[] = [];
    const transfers: unknown[] = [];
    for (let i = 0; i < 4; i++) {
      const plans = step(scheduler);
      shapes.push(plans.map(shapesOf));
      transfers.push(transfersOf(plans));
    }
    // 19 tokens are computed: four full blocks, and three tokens of the fifth.
    expect(shapes).to.deep.equal([
      [[], [[0, 19, 1, false]]],
      [[], [[0, 20, 1, false]]],
      [[], []],
      [[[0, 21, 1, false]], []],
    ]);
    expect(transfers).to.deep.equal([
      [
        [
          1,
          0,
          [
            [0, 0, 0, 8],
            [1, 1, 0, 8],
          ],
        ],
      ],
      [
        [
          1,
          0,
          [
            [2, 2, 0, 8],
            [3, 3, 0, 8],
          ],
        ],
      ],
      [
        [
          1,
          0,
          [
            [4, 4, 0, 8],
            [5, 5, 0, 8],
          ],
        ],
      ],
      [],
    ]);
    expect(scheduler.counts).to.include({ numMoved: 1, numMovedTokens: 21, numSharedTokens: 0, numPreempted: 0 });
    expect([scheduler.isMoving, scheduler.isDrained(1), scheduler.isDrained(0)]).to.deep.equal([false, true, false]);
  });

  it('begin there with all that they have, are told of once, and leave nothing behind', () => {
    const scheduler = running();
    scheduler.takeMoves();
    for (let i = 0; i < 3; i++) step(scheduler);
    const freedBefore = scheduler.takeFreed();
    expect(freedBefore).to.deep.equal([]);
    const [plan] = step(scheduler);
    const [start] = plan!.begin;
    expect(start!.blocks).to.deep.equal([0, 1, 2, 3, 4, 5]);
    expect(start!.tokenIds, 'a block that isn’t full, too').to.have.length(21);
    expect(plan!.parts[0]!.blocks, 'it has room for the next token').to.deep.equal([]);
    expect(scheduler.takeMoves()).to.deep.equal([{ kind: 'moved', sequence: 0, from: 1, rank: 0, numTokens: 21 }]);
    // Five blocks stay in the cache of the rank that leaves; the sixth is nobody's.
    expect(scheduler.takeFreed()).to.deep.equal([{ rank: 1, blocks: [5], sequences: [0] }]);
  });

  it('take nothing along that is there already', () => {
    const scheduler = new Scheduler({ ...TWO, maxNumSeqs: 2 });
    const alike = { family: 3 };
    scheduler.add(request(0, 18, 20, alike));
    scheduler.add(request(1, 13, 20, { family: 4 }));
    for (let i = 0; i < 2; i++) step(scheduler);
    const rankOf = (plans: readonly ScheduledPlan[], sequence: number): number =>
      sequencesOf(plans).findIndex((own) => own.includes(sequence));
    const from = rankOf(step(scheduler), 1);
    scheduler.finish(1);
    scheduler.add(request(2, 18, 20, alike));
    const found = rankOf(step(scheduler), 2);
    const other = found === from ? 1 - from : from;
    scheduler.enter(epochOf(1, [0, 1], [found]));
    const plans = step(scheduler);
    // Both began alike: what the one rank computed of it is on the other one, but for what they generated.
    expect(rankOf(step(scheduler), 0) === other || rankOf(plans, 0) === other).to.equal(true);
    expect(scheduler.counts.numMoved).to.be.above(0);
  });

  it('of which a transfer fails wait before all others, and are computed anew', () => {
    const scheduler = running();
    scheduler.add(request(1, 3));
    step(scheduler, 1);
    const [plan] = step(scheduler);
    expect(shapesOf(plan!)).to.deep.equal([
      [1, 3, 1, false],
      [0, 0, 15, true],
    ]);
    expect(scheduler.counts).to.include({ numMoved: 0, numPreempted: 1 });
    expect(scheduler.takeMoves().map(({ kind, sequence }) => [kind, sequence])).to.deep.include(['preempted', 0]);
  });

  it('stay and generate on until another rank has room, before any that waits', () => {
    const scheduler = new Scheduler({ ...TWO, maxNumSeqs: 1 });
    for (const sequence of [0, 1, 2]) scheduler.add(request(sequence, 6, 20));
    for (let i = 0; i < 2; i++) step(scheduler);
    const [[first], [second]] = sequencesOf(step(scheduler)) as [[number], [number]];
    scheduler.enter(epochOf(1, [0, 1], [1]));
    for (let i = 0; i < 3; i++) expect(sequencesOf(step(scheduler))).to.deep.equal([[first], [second]]);
    scheduler.finish(first);
    for (let i = 0; i < 3; i++) step(scheduler);
    expect(sequencesOf(step(scheduler)), 'the one that waits goes on waiting').to.deep.equal([[second], []]);
  });

  it('that end or give way on their way take nothing with them', () => {
    for (const isFinished of [true, false]) {
      const scheduler = running();
      step(scheduler);
      if (isFinished) scheduler.finish(0);
      else scheduler.enter(epochOf(2, [0, 1]));
      const { ranks } = scheduler.load;
      expect(ranks[0], 'two blocks came, and are found by whoever begins alike').to.include({
        numUsedBlocks: 0,
        numCachedBlocks: 2,
      });
      if (isFinished) continue;
      expect(sequencesOf(step(scheduler)), 'it stays after all').to.deep.equal([[], [0]]);
    }
  });
});

describe('seats of the scheduler', () => {
  it('that are free get nothing; who joins gets sequences, and finds nothing of who sat there before', () => {
    const scheduler = new Scheduler({ ...OPTIONS, numRanks: 3, members: [0], maxNumSeqs: 2 });
    for (const sequence of [0, 1, 2]) scheduler.add(request(sequence, 8, 9, { family: 1 }));
    expect(sequencesOf(step(scheduler))).to.deep.equal([[0, 1], [], []]);
    scheduler.enter(epochOf(1, [0, 2]));
    const plans = step(scheduler);
    expect(sequencesOf(plans)).to.deep.equal([[0, 1], [], [2]]);
    expect(plans.map(({ epoch }) => epoch)).to.deep.equal([1, 1, 1]);
    expect(plans[2]!.begin[0]!.blocks, 'nobody computed it there').to.deep.equal([]);
    scheduler.enter({ ...epochOf(2, [0]), hasAbandoned: true });
    scheduler.finish(0);
    scheduler.finish(1);
    step(scheduler);
    scheduler.enter(epochOf(3, [0, 2]));
    scheduler.add(request(5, 8, 9, { family: 1 }));
    scheduler.add(request(6, 8, 9, { family: 2 }));
    const [, , third] = step(scheduler);
    expect(third!.begin.map(({ blocks }) => blocks)).to.deep.equal([[]]);
    expect(scheduler.load.ranks.map(({ rank }) => rank)).to.deep.equal([0, 2]);
  });

  it('of ranks that neither take sequences nor leave keep what runs there', () => {
    const scheduler = new Scheduler(TWO);
    for (const sequence of [0, 1]) scheduler.add(request(sequence, 4, 9));
    step(scheduler);
    scheduler.enter({ ...epochOf(1, [0, 1]), takers: new Set([0]) });
    scheduler.add(request(2, 4, 9));
    scheduler.add(request(3, 4, 9));
    expect(sequencesOf(step(scheduler))).to.deep.equal([[0, 2, 3], [1]]);
    expect(scheduler.isMoving).to.equal(false);
  });

  it('where all ranks leave, none of their sequences move', () => {
    const scheduler = new Scheduler(TWO);
    for (const sequence of [0, 1]) scheduler.add(request(sequence, 4, 9));
    step(scheduler);
    const all = new Set([0, 1]);
    scheduler.enter({ ...epochOf(1, [0, 1]), takers: all, leaving: all });
    expect(sequencesOf(step(scheduler))).to.deep.equal([[0], [1]]);
    expect(scheduler.isMoving).to.equal(false);
  });

  it('an epoch for which no step was abandoned leaves states as they are', () => {
    const options = { ...TWO, states: { maxKept: 4, interval: 64 } };
    const scheduler = new Scheduler(options);
    for (const sequence of [0, 1]) scheduler.add(request(sequence, 6, 9));
    step(scheduler);
    expect(scheduler.enter(epochOf(1, [0, 1])).numRequeued).to.equal(0);
    expect(step(scheduler).map(shapesOf)).to.deep.equal([[[0, 6, 1, false]], [[1, 6, 1, false]]]);
  });
});
