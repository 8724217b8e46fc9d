import { expect } from 'chai';
import fc from 'fast-check';
import { fcfs } from '../../../../lib/head/scheduling/fcfs.js';
import type { SchedulerOptions, SequenceRequest } from '../../../../lib/head/scheduling/scheduler.js';
import { FollowedScheduler } from '../../../kit/engine/followed_scheduler.js';
import { request } from '../../../kit/engine/scheduling.js';

interface Cancel {
  readonly step: number;
  readonly sequence: number;
}

interface Loss {
  readonly step: number;
  readonly rank: number;
  /** While a step runs, which is abandoned; otherwise between two steps. */
  readonly isInStep: boolean;
}

interface Run {
  readonly options: SchedulerOptions;
  /** Each with the step before which it arrives. */
  readonly requests: readonly { readonly arrival: number; readonly request: SequenceRequest }[];
  readonly cancels: readonly Cancel[];
  /** Not of rank 0, so that one is left. */
  readonly losses: readonly Loss[];
  /** Steps that are planned while one runs. */
  readonly numAhead: number;
  /** Of so many tokens one loses an expert; 0: none. */
  readonly degradedOneIn: number;
}

const runs: fc.Arbitrary<Run> = fc
  .record({
    numRanks: fc.integer({ min: 1, max: 4 }),
    maxNumSeqs: fc.integer({ min: 1, max: 4 }),
    extraTokens: fc.nat(12),
    blockSize: fc.integer({ min: 1, max: 4 }),
    numKvBlocks: fc.integer({ min: 3, max: 10 }),
    maxLogitTokens: fc.integer({ min: 1, max: 6 }),
    canSharePrefixes: fc.constantFrom(true, true, false),
  })
  .chain(({ extraTokens, ...limits }) => {
    const capacity = limits.blockSize * limits.numKvBlocks;
    const arrival = fc
      .record({
        arrival: fc.nat(12),
        promptLength: fc.integer({ min: 1, max: capacity }),
        newTokens: fc.nat(24),
        logits: fc.constantFrom(false, false, true),
        family: fc.constantFrom(0, 0, 1),
      })
      .map(({ newTokens, ...rest }) => ({ ...rest, newTokens: Math.min(newTokens, capacity - rest.promptLength) }));
    const loss = fc.record({
      step: fc.nat(16),
      rank: fc.integer({ min: 1, max: Math.max(limits.numRanks - 1, 1) }),
      isInStep: fc.boolean(),
    });
    return fc.record({
      options: fc.constant({ ...limits, maxNumBatchedTokens: limits.maxNumSeqs + extraTokens, policy: fcfs }),
      requests: fc
        .array(arrival, { maxLength: 16 })
        .map((list) =>
          list
            .sort((a, b) => a.arrival - b.arrival)
            .map((r, i) => ({ arrival: r.arrival, request: request(i, r.promptLength, r.newTokens, r) })),
        ),
      cancels: fc.array(fc.record({ step: fc.nat(20), sequence: fc.nat(15) }), { maxLength: 3 }),
      losses:
        limits.numRanks === 1 ? fc.constant([]) : fc.uniqueArray(loss, { selector: ({ rank }) => rank, maxLength: 3 }),
      numAhead: fc.constantFrom(0, 1, 1, 2),
      degradedOneIn: fc.constantFrom(0, 0, 7, 40),
    });
  });

/** Runs to the end; what became of it. */
function follow({ options, requests, cancels, losses, numAhead, degradedOneIn }: Run) {
  const followed = new FollowedScheduler(options, numAhead);
  const lacksExpert = (sequence: number, position: number): boolean =>
    degradedOneIn > 0 && (sequence * 31 + position * 17) % degradedOneIn === 3;
  const cancelled = new Set<number>();
  const lastArrival = Math.max(20, ...requests.map(({ arrival }) => arrival));
  let isBusy = true;
  for (let i = 0; isBusy || i <= lastArrival; i++) {
    for (const { arrival, request: added } of requests) if (arrival === i) followed.add(added);
    for (const { step, sequence } of cancels) {
      if (step !== i) continue;
      followed.cancel(sequence);
      cancelled.add(sequence);
    }
    const now = losses.filter(({ step }) => step === i);
    for (const { rank, isInStep } of now) if (!isInStep) followed.lose(rank);
    isBusy = followed.step(
      now.flatMap(({ rank, isInStep }) => (isInStep ? [rank] : [])),
      lacksExpert,
    );
    isBusy ||= now.length > 0;
    expect(i).to.be.below(5000);
  }
  return { followed, cancelled };
}

describe('runs of the scheduler', () => {
  it('keep every rule for any limits, requests, prefixes, cancellations and lost ranks, and everything finishes', () => {
    let [numPreempted, numSharedTokens] = [0, 0];
    fc.assert(
      fc.property(runs, (run) => {
        const { followed, cancelled } = follow(run);
        expect(followed.left).to.deep.equal({ sequences: [], blocks: [], told: [] });
        const { numRanks, numKvBlocks } = run.options;
        expect(followed.scheduler.numFreeBlocks).to.equal((numRanks - run.losses.length) * numKvBlocks);
        const ids = run.requests.map(({ request: { sequence } }) => sequence);
        expect(followed.finished).to.include.members(ids.filter((sequence) => !cancelled.has(sequence)));
        const { counts } = followed.scheduler;
        if (!run.options.canSharePrefixes) expect(counts.numSharedTokens).to.equal(0);
        numPreempted += counts.numPreempted;
        numSharedTokens += counts.numSharedTokens;
      }),
      { numRuns: 100 },
    );
    // Otherwise the runs say nothing of either.
    expect(numPreempted).to.be.above(0);
    expect(numSharedTokens).to.be.above(0);
  });
});
