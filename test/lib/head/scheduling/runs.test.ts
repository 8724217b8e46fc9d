import { expect } from 'chai';
import fc from 'fast-check';
import { uniform } from '../../../../base/philox.js';
import type { TierRoom } from '../../../../lib/head/kv/tier_shelf.js';
import type { KvTier } from '../../../../lib/protocol/kv_store.js';
import { POLICIES } from '../../../../lib/head/scheduling/policies/policies.js';
import type { SchedulerOptions, SequenceRequest } from '../../../../lib/head/scheduling/scheduler.js';
import { FollowedScheduler } from '../../../kit/engine/followed_scheduler.js';
import { OPTIONS, request } from '../../../kit/engine/scheduling.js';

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

/** A rank comes or is to leave, between two steps. */
interface Change {
  readonly step: number;
  readonly rank: number;
  readonly kind: 'joins' | 'leaves';
}

interface Run {
  readonly options: SchedulerOptions;
  /** Each with the step before which it arrives. */
  readonly requests: readonly { readonly arrival: number; readonly request: SequenceRequest }[];
  readonly cancels: readonly Cancel[];
  /** Before these steps the prefix cache is to be forgotten. */
  readonly resets: readonly number[];
  /** Not of rank 0, so that one is left. */
  readonly losses: readonly Loss[];
  /** Neither. */
  readonly changes: readonly Change[];
  /** Steps that are planned while one runs. */
  readonly numAhead: number;
  /** Of so many tokens one loses an expert; 0: none. */
  readonly degradedOneIn: number;
  /** Of what happens beside steps. */
  readonly seed: number;
}

const EXACT = { seed: '', separatesForms: true };
const ANY = { seed: '', separatesForms: false };

const runs: fc.Arbitrary<Run> = fc
  .record({
    numRanks: fc.integer({ min: 1, max: 4 }),
    maxNumSeqs: fc.integer({ min: 1, max: 4 }),
    extraTokens: fc.nat(12),
    blockSize: fc.integer({ min: 1, max: 4 }),
    numKvBlocks: fc.integer({ min: 3, max: 10 }),
    maxToldBytes: fc.integer({ min: 1, max: 6 }),
    sharing: fc.constantFrom(EXACT, EXACT, ANY, ANY, null),
    policy: fc.constantFrom(POLICIES.fcfs, POLICIES.priority, POLICIES.lpm),
    numHeadroomBlocks: fc.nat(2),
    kept: fc.constantFrom(null, null, 0, 1, 2, 4),
    intervalBlocks: fc.integer({ min: 1, max: 3 }),
    /** Bytes beside one step over those of a block's rows. */
    extraBytes: fc.nat(40),
    /** Bytes of tiers. */
    ramBytes: fc.constantFrom(null, 0, 10, 35, 60, 400),
    diskBytes: fc.constantFrom(null, null, 20, 90, 1000),
  })
  .chain(({ extraTokens, kept, intervalBlocks, extraBytes, ramBytes, diskBytes, ...others }) => {
    const states = kept === null ? null : { maxKept: kept, interval: intervalBlocks * others.blockSize };
    const kv = { rowBytes: 10, stateBytes: states === null ? 0 : 25, bytesPerStep: 10 + extraBytes };
    const tiers = [...roomOf('ram', ramBytes), ...roomOf('disk', diskBytes)];
    const limits = { ...others, states, kv, tiers, told: OPTIONS.told };
    const capacity = limits.blockSize * limits.numKvBlocks;
    const arrival = fc
      .record({
        arrival: fc.nat(12),
        promptLength: fc.integer({ min: 1, max: capacity }),
        newTokens: fc.nat(24),
        logits: fc.constantFrom(false, false, true),
        family: fc.constantFrom(0, 0, 1),
        priority: fc.integer({ min: -1, max: 1 }),
        /** It goes on with all that this many requests before it has, where there is room. */
        follows: fc.constantFrom(0, 0, 1, 2, 3),
      })
      .map(({ newTokens, ...rest }) => ({ ...rest, newTokens: Math.min(newTokens, capacity - rest.promptLength) }));
    const loss = fc.record({
      step: fc.nat(16),
      rank: fc.integer({ min: 1, max: Math.max(limits.numRanks - 1, 1) }),
      isInStep: fc.boolean(),
    });
    const change = fc.record({
      step: fc.nat(24),
      rank: fc.integer({ min: 1, max: Math.max(limits.numRanks - 1, 1) }),
      kind: fc.constantFrom('leaves' as const, 'leaves' as const, 'joins' as const),
    });
    return fc.record({
      options: fc.constant({ ...limits, maxNumBatchedTokens: limits.maxNumSeqs + extraTokens }),
      requests: fc
        .array(arrival, { maxLength: 16 })
        .map((list) =>
          list
            .sort((a, b) => a.arrival - b.arrival)
            .map((r, i) => ({
              arrival: r.arrival,
              follows: r.follows,
              request: request(i, r.promptLength, r.newTokens, r),
            })),
        )
        .map((list) =>
          list.reduce<{ arrival: number; request: SequenceRequest }[]>(
            (before, { arrival, follows, request: own }) => [
              ...before,
              { arrival, request: following(before.at(-follows)?.request, own, follows === 0 ? 0 : capacity) },
            ],
            [],
          ),
        ),
      cancels: fc.array(fc.record({ step: fc.nat(20), sequence: fc.nat(15) }), { maxLength: 3 }),
      resets: fc.array(fc.nat(40), { maxLength: 3 }),
      losses:
        limits.numRanks === 1 ? fc.constant([]) : fc.uniqueArray(loss, { selector: ({ rank }) => rank, maxLength: 3 }),
      changes: limits.numRanks === 1 ? fc.constant([]) : fc.array(change, { maxLength: 5 }),
      numAhead: fc.constantFrom(0, 1, 1, 2),
      degradedOneIn: fc.constantFrom(0, 0, 7, 40),
      seed: fc.nat(),
    });
  });

const roomOf = (tier: KvTier, maxBytes: number | null): TierRoom[] =>
  maxBytes === null ? [] : [{ tier, maxBytes, bytesOf: (hasState) => (hasState ? 35 : 10) }];

/** Another turn: a request that begins with all tokens of an earlier one, if it fits. */
function following(before: SequenceRequest | undefined, own: SequenceRequest, capacity: number): SequenceRequest {
  if (before === undefined) return own;
  const promptTokenIds = [...FollowedScheduler.tokensOf(before), ...own.promptTokenIds.slice(0, 3)];
  const maxNewTokens = Math.min(own.maxNewTokens, capacity - promptTokenIds.length);
  return maxNewTokens < 0 ? own : { ...own, promptTokenIds, maxNewTokens };
}

/** Runs to the end; what became of it. */
function follow({ options, requests, cancels, losses, changes, resets, numAhead, degradedOneIn, seed }: Run) {
  let numAsked = 0;
  const followed = new FollowedScheduler(options, numAhead, () => uniform(seed, 0, numAsked++));
  const lacksExpert = (sequence: number, position: number): boolean =>
    degradedOneIn > 0 && (sequence * 31 + position * 17) % degradedOneIn === 3;
  const cancelled = new Set<number>();
  const lastArrival = Math.max(24, ...requests.map(({ arrival }) => arrival));
  let isBusy = true;
  for (let i = 0; isBusy || i <= lastArrival; i++) {
    for (const { arrival, request: added } of requests) if (arrival === i) followed.add(added);
    if (resets.includes(i)) followed.reset();
    for (const { step, sequence } of cancels) {
      if (step !== i) continue;
      followed.cancel(sequence);
      cancelled.add(sequence);
    }
    for (const { step, rank, kind } of changes) if (step === i) followed.change(rank, kind);
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
  it('keep every rule for any limits, requests, prefixes, cancellations, ranks that are lost, leave and join, and everything finishes', () => {
    let numHitsOfStates = 0;
    let [numPreempted, numSharedTokens, numPrefixHits, numEvictedBlocks, numMovedTokens] = [0, 0, 0, 0, 0];
    let numMovedWithStates = 0;
    const numTierHits = [0, 0];
    const inTiers: Record<string, number> = { numLoaded: 0, numStored: 0, numLost: 0, withStates: 0 };
    const rules = fc.property(runs, (run) => {
      const { followed, cancelled } = follow(run);
      expect(followed.left).to.deep.equal({ sequences: [], numUsedBlocks: 0, told: [] });
      followed.checkTiers();
      followed.reset();
      followed.checkTiers();
      const { scheduler } = followed;
      const { counts } = scheduler;
      for (const [i, { numHits, numLoaded, numStored, numLost }] of counts.tiers.entries()) {
        numTierHits[i]! += numHits;
        for (const [what, count] of Object.entries({ numLoaded, numStored, numLost })) inTiers[what]! += count;
        if (run.options.states) inTiers.withStates! += numLoaded;
      }
      expect(scheduler.load.ranks.flatMap(({ tiers }) => tiers).every(({ numBlocks }) => numBlocks === 0)).to.equal(
        true,
      );
      expect(scheduler.numFreeBlocks).to.equal(scheduler.load.ranks.length * run.options.numKvBlocks);
      const ids = run.requests.map(({ request: { sequence } }) => sequence);
      expect(followed.finished).to.include.members(ids.filter((sequence) => !cancelled.has(sequence)));
      if (run.options.sharing === null) expect(counts).to.include({ numSharedTokens: 0, numPrefixQueries: 0 });
      expect(counts.numPrefixHits).to.be.at.most(counts.numPrefixQueries);
      numPreempted += counts.numPreempted;
      numSharedTokens += counts.numSharedTokens;
      numPrefixHits += counts.numPrefixHits;
      numMovedTokens += counts.numMovedTokens;
      if (run.options.states) numHitsOfStates += counts.numPrefixHits;
      if (run.options.states) numMovedWithStates += counts.numMovedTokens;
      numEvictedBlocks += counts.numEvictedBlocks;
    });
    // The same ones each time, in which all of that happens, and others.
    fc.assert(rules, { numRuns: 150, seed: 8 });
    fc.assert(rules, { numRuns: 50 });
    // Otherwise the runs say nothing of them.
    const moved = [numMovedTokens, numMovedWithStates];
    const tiers = [...numTierHits, ...Object.values(inTiers)];
    const all = [numPreempted, numPrefixHits, numEvictedBlocks, numHitsOfStates, ...moved, ...tiers];
    expect(
      all.every((count) => count > 0),
      all.join(),
    ).to.equal(true);
    expect(numSharedTokens, 'also by who goes on').to.be.above(numPrefixHits);
  });
});
