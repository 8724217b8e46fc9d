import { expect } from 'chai';
import fc from 'fast-check';
import { GREEDY } from '../../../../lib/protocol/sampling.js';
import {
  Scheduler,
  type ScheduledPlan,
  type SchedulerLimits,
  type SequenceRequest,
} from '../../../../lib/head/scheduling/scheduler.js';
import type { PlanPart } from '../../../../lib/protocol/step_plan.js';

const LIMITS: SchedulerLimits = {
  numRanks: 1,
  maxNumSeqs: 4,
  maxNumBatchedTokens: 16,
  blockSize: 4,
  numKvBlocks: 32,
  maxLogitTokens: 8,
};

/** Prompt tokens that name their sequence and position. */
const request = (sequence: number, promptLength: number, maxNewTokens = 2, logits = false): SequenceRequest => ({
  sequence,
  promptTokenIds: Array.from({ length: promptLength }, (_, i) => sequence * 1000 + i),
  maxNewTokens,
  sampling: GREEDY,
  wants: { routedExperts: false, promptLogprobs: logits, logits },
});

/** What a sequence samples at a position. */
const sampledToken = (sequence: number, position: number): number => -(sequence * 1000 + position);

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
  readonly limits: SchedulerLimits;
  /** Each with the step before which it arrives. */
  readonly requests: readonly { readonly arrival: number; readonly request: SequenceRequest }[];
  readonly cancels: readonly Cancel[];
  /** Not of rank 0, so that one is left. */
  readonly losses: readonly Loss[];
}

const runs: fc.Arbitrary<Run> = fc
  .record({
    numRanks: fc.integer({ min: 1, max: 4 }),
    maxNumSeqs: fc.integer({ min: 1, max: 4 }),
    extraTokens: fc.nat(12),
    blockSize: fc.integer({ min: 1, max: 4 }),
    numKvBlocks: fc.integer({ min: 3, max: 12 }),
    maxLogitTokens: fc.integer({ min: 1, max: 6 }),
  })
  .chain(({ extraTokens, ...limits }) => {
    const capacity = limits.blockSize * limits.numKvBlocks;
    const arrival = fc
      .record({
        arrival: fc.nat(12),
        promptLength: fc.integer({ min: 1, max: capacity }),
        newTokens: fc.nat(6),
        logits: fc.boolean(),
      })
      .map(({ promptLength, newTokens, ...rest }) => ({
        ...rest,
        promptLength,
        newTokens: Math.min(newTokens, capacity - promptLength),
      }));
    return fc.record({
      limits: fc.constant({ ...limits, maxNumBatchedTokens: limits.maxNumSeqs + extraTokens }),
      requests: fc
        .array(arrival, { maxLength: 10 })
        .map((list) =>
          list
            .sort((a, b) => a.arrival - b.arrival)
            .map((r, i) => ({ arrival: r.arrival, request: request(i, r.promptLength, r.newTokens, r.logits) })),
        ),
      cancels: fc.array(fc.record({ step: fc.nat(20), sequence: fc.nat(9) }), { maxLength: 3 }),
      losses:
        limits.numRanks === 1
          ? fc.constant([])
          : fc.uniqueArray(
              fc.record({
                step: fc.nat(16),
                rank: fc.integer({ min: 1, max: limits.numRanks - 1 }),
                isInStep: fc.boolean(),
              }),
              { selector: ({ rank }) => rank, maxLength: 3 },
            ),
    });
  });

/** Follows what the plans do to each sequence and checks every rule on the way. */
class Follower {
  readonly scheduler: Scheduler;
  readonly begun: number[] = [];
  private readonly limits: SchedulerLimits;
  private readonly requests = new Map<number, SequenceRequest>();
  /** `tokens`: in the cache of its rank. */
  private readonly live = new Map<number, { rank: number; blocks: readonly number[]; tokens: number[] }>();
  /** All tokens that were committed of a sequence, in order of position. */
  private readonly committed = new Map<number, number[]>();
  private readonly lost = new Set<number>();
  private lastStep = 0;

  constructor(limits: SchedulerLimits) {
    this.limits = limits;
    this.scheduler = new Scheduler(limits);
  }

  add(added: SequenceRequest): void {
    this.requests.set(added.sequence, added);
    this.committed.set(added.sequence, []);
    this.scheduler.add(added);
  }

  /** Ranks are lost; whatever they had in their caches is gone. */
  lose(rank: number): void {
    const homeless = [...this.live].filter(([, state]) => state.rank === rank).map(([sequence]) => sequence);
    this.lost.add(rank);
    for (const sequence of homeless) this.live.delete(sequence);
    // The scheduler may have admitted some that no rank has been told of.
    expect(this.scheduler.lose([rank], this.lost.size).numRequeued).to.be.at.least(homeless.length);
  }

  /** One step; false when there was nothing to compute. `lost`: ranks that are lost while it runs, so that nothing of it counts. */
  step(lost: readonly number[] = []): boolean {
    const plans = this.scheduler.next();
    if (plans === null) {
      for (const rank of lost) this.lose(rank);
      return false;
    }
    expect(plans).to.have.length(this.limits.numRanks);
    this.lastStep++;
    plans.forEach((plan, rank) => this.check(plan, rank));
    expect(
      plans.some(({ parts }) => parts.length > 0),
      'a step computes something',
    ).to.equal(true);
    for (const rank of lost) this.lose(rank);
    if (lost.length === 0) for (const plan of plans) this.commit(plan);
    return true;
  }

  /** Ends a sequence by force. */
  cancel(sequence: number): void {
    const state = this.live.get(sequence);
    expect(this.scheduler.finish(sequence)).to.equal(state?.rank ?? null);
    this.live.delete(sequence);
    this.requests.delete(sequence);
  }

  get numLive(): number {
    return this.requests.size;
  }

  private check(plan: ScheduledPlan, rank: number): void {
    const { maxNumBatchedTokens, maxNumSeqs, maxLogitTokens } = this.limits;
    expect(plan.step).to.equal(this.lastStep);
    expect(plan.epoch).to.equal(this.lost.size);
    if (this.lost.has(rank)) expect(plan).to.deep.include({ begin: [], parts: [] });
    const numTokens = plan.parts.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
    expect(numTokens, 'token budget').to.be.at.most(maxNumBatchedTokens);
    const order = plan.parts.map(({ isPrompt }) => Number(isPrompt));
    expect(order, 'generated tokens first').to.deep.equal([...order].sort());
    const sequences = plan.parts.map(({ sequence }) => sequence);
    expect(new Set(sequences).size, 'one part per sequence').to.equal(sequences.length);
    const first = plan.parts
      .filter(({ isPrompt, position }) => isPrompt && position === 0)
      .map(({ sequence }) => sequence);
    expect(
      plan.begin.map(({ sequence }) => sequence),
      'begin comes with the first part',
    ).to.deep.equal(first);
    for (const { sequence, blocks } of plan.begin) {
      // Only an abandoned step told of it already.
      const known = this.live.get(sequence);
      if (known !== undefined) expect(known).to.deep.equal({ rank, blocks, tokens: [] });
      this.live.set(sequence, { rank, blocks, tokens: [] });
      this.begun.push(sequence);
    }
    for (const part of plan.parts) {
      this.checkPart(part, rank);
      const isCounted = this.requests.get(part.sequence)!.wants.logits && !part.isReplay;
      if (isCounted) expect(part.tokenIds.length).to.be.at.most(maxLogitTokens);
    }
    const own = [...this.live.values()].filter((state) => state.rank === rank);
    expect(own.length, 'sequences of a rank').to.be.at.most(maxNumSeqs);
    const blocks = own.flatMap((state) => state.blocks);
    expect(new Set(blocks).size, 'a block has one owner').to.equal(blocks.length);
    expect(blocks.every((id) => id >= 0 && id < this.limits.numKvBlocks)).to.equal(true);
  }

  /** The part goes on exactly where its sequence stands, and its tokens fit in its blocks. */
  private checkPart(part: PlanPart, rank: number): void {
    const state = this.live.get(part.sequence)!;
    const { promptTokenIds, maxNewTokens } = this.requests.get(part.sequence)!;
    expect(state.rank).to.equal(rank);
    expect(part.position).to.equal(state.tokens.length);
    const end = part.position + part.tokenIds.length;
    expect(end).to.be.above(part.position);
    expect(end).to.be.at.most(state.blocks.length * this.limits.blockSize);
    const committed = this.committed.get(part.sequence)!;
    expect(part.isReplay, 'a replay is what was committed').to.equal(part.position < committed.length);
    if (part.isReplay) {
      expect(end).to.be.at.most(committed.length);
      expect(part.tokenIds).to.deep.equal(committed.slice(part.position, end));
      const isPrompt = part.position < promptTokenIds.length;
      expect(part).to.include({ isPrompt, sample: false, nextPromptToken: null });
      if (isPrompt) expect(end, 'no generated token among prompt tokens').to.be.at.most(promptTokenIds.length);
      return;
    }
    const isPrompt = part.position < promptTokenIds.length;
    expect(part.isPrompt).to.equal(isPrompt);
    const expected = isPrompt ? promptTokenIds.slice(part.position, end) : [sampledToken(part.sequence, end - 1)];
    expect(part.tokenIds).to.deep.equal(expected);
    expect(part.sample).to.equal(end >= promptTokenIds.length && maxNewTokens > 0);
    expect(part.nextPromptToken).to.equal(promptTokenIds[end] ?? null);
  }

  private commit(plan: ScheduledPlan): void {
    const sampling = plan.parts.filter(({ sample }) => sample);
    const endOf = ({ position, tokenIds }: PlanPart): number => position + tokenIds.length;
    this.scheduler.commit(
      plan,
      new Map(sampling.map((part) => [part.sequence, sampledToken(part.sequence, endOf(part))])),
    );
    for (const part of plan.parts) {
      const { promptTokenIds, maxNewTokens } = this.requests.get(part.sequence)!;
      const { tokens, rank } = this.live.get(part.sequence)!;
      tokens.push(...part.tokenIds);
      if (!part.isReplay) this.committed.get(part.sequence)!.push(...part.tokenIds);
      expect(this.scheduler.isPrefilled(part.sequence)).to.equal(tokens.length >= promptTokenIds.length);
      const numNew = tokens.length - promptTokenIds.length + 1;
      if (part.isReplay || numNew < Math.max(maxNewTokens, 1)) continue;
      expect(this.scheduler.finish(part.sequence)).to.equal(rank);
      this.live.delete(part.sequence);
      this.requests.delete(part.sequence);
    }
  }
}

describe('scheduler', () => {
  it('keeps every rule over whole runs of any limits, requests, cancellations and lost ranks', () => {
    fc.assert(
      fc.property(runs, ({ limits, requests, cancels, losses }) => {
        const follower = new Follower(limits);
        const cancelled = new Set<number>();
        const lastArrival = Math.max(20, ...requests.map(({ arrival }) => arrival));
        let isBusy = true;
        for (let i = 0; isBusy || i <= lastArrival; i++) {
          for (const { arrival, request: added } of requests) if (arrival === i) follower.add(added);
          for (const { step, sequence } of cancels) {
            if (step !== i) continue;
            follower.cancel(sequence);
            cancelled.add(sequence);
          }
          const now = losses.filter(({ step }) => step === i);
          for (const { rank, isInStep } of now) if (!isInStep) follower.lose(rank);
          isBusy = follower.step(now.flatMap(({ rank, isInStep }) => (isInStep ? [rank] : [])));
          isBusy ||= now.length > 0;
          expect(i).to.be.below(5000);
        }
        expect(follower.numLive, 'sequences that never ended').to.equal(0);
        expect(follower.scheduler.numFreeBlocks).to.equal((limits.numRanks - losses.length) * limits.numKvBlocks);
        const done = requests
          .map(({ request: { sequence } }) => sequence)
          .filter((sequence) => !cancelled.has(sequence));
        expect(follower.begun).to.include.members(done);
      }),
      { numRuns: 200 },
    );
  });

  it('admits first come, first served: a request without room keeps smaller ones behind it waiting', () => {
    const scheduler = new Scheduler({ ...LIMITS, numKvBlocks: 4 });
    for (const added of [request(0, 9), request(1, 12), request(2, 1)]) scheduler.add(added);
    const [plan] = scheduler.next()!;
    expect(plan!.begin.map(({ sequence }) => sequence)).to.deep.equal([0]);
    scheduler.finish(0);
    expect(scheduler.next()![0]!.begin.map(({ sequence }) => sequence)).to.deep.equal([1]);
  });

  it('reserves blocks for the prompt and all but the last new token', () => {
    const numBlocks = (promptLength: number, maxNewTokens: number): number => {
      const scheduler = new Scheduler(LIMITS);
      scheduler.add(request(0, promptLength, maxNewTokens));
      return scheduler.next()![0]!.begin[0]!.blocks.length;
    };
    expect(numBlocks(4, 1)).to.equal(1);
    expect(numBlocks(4, 2)).to.equal(2);
    expect(numBlocks(3, 2)).to.equal(1);
    expect(numBlocks(8, 0)).to.equal(2);
    expect(new Scheduler(LIMITS).maxSequenceTokens).to.equal(128);
  });

  it('spreads sequences over ranks by their number, then by reserved blocks', () => {
    const scheduler = new Scheduler({ ...LIMITS, numRanks: 3 });
    for (const added of [request(0, 12), request(1, 1), request(2, 8), request(3, 1)]) scheduler.add(added);
    const plans = scheduler.next()!;
    expect(plans.map(({ begin }) => begin.map(({ sequence }) => sequence))).to.deep.equal([[0], [1, 3], [2]]);
  });

  it('takes generated tokens first and fills the budget with prompts in chunks', () => {
    const scheduler = new Scheduler({ ...LIMITS, maxNumBatchedTokens: 6 });
    scheduler.add(request(0, 4, 5));
    scheduler.add(request(1, 9, 1));
    const sizes = (plans: ScheduledPlan[]) =>
      plans[0]!.parts.map((part) => [part.sequence, part.position, part.tokenIds.length]);
    const commit = (plans: ScheduledPlan[]) =>
      scheduler.commit(
        plans[0]!,
        new Map(plans[0]!.parts.flatMap((part) => (part.sample ? [[part.sequence, 7]] : []))),
      );
    const first = scheduler.next()!;
    expect(sizes(first)).to.deep.equal([
      [0, 0, 4],
      [1, 0, 2],
    ]);
    commit(first);
    const second = scheduler.next()!;
    expect(sizes(second)).to.deep.equal([
      [0, 4, 1],
      [1, 2, 5],
    ]);
    expect(second[0]!.parts.map(({ sample, nextPromptToken }) => [sample, nextPromptToken])).to.deep.equal([
      [true, null],
      [false, 1007],
    ]);
    commit(second);
    expect(sizes(scheduler.next()!)).to.deep.equal([
      [0, 5, 1],
      [1, 7, 2],
    ]);
  });

  it('a sequence that wants logits comes in chunks of at most maxLogitTokens and samples nothing without new tokens', () => {
    const scheduler = new Scheduler(LIMITS);
    scheduler.add(request(0, 11, 0, true));
    const lengths: number[] = [];
    for (let position = 0; position < 11;) {
      const [plan] = scheduler.next()!;
      expect(plan!.parts[0]!.sample).to.equal(false);
      lengths.push(plan!.parts[0]!.tokenIds.length);
      position += plan!.parts[0]!.tokenIds.length;
      scheduler.commit(plan!, new Map());
    }
    expect(lengths).to.deep.equal([8, 3]);
    expect(scheduler.isPrefilled(0)).to.equal(true);
  });

  it('finish names the rank of a sequence that began, and null for one that waits or is unknown', () => {
    const scheduler = new Scheduler({ ...LIMITS, maxNumSeqs: 1 });
    scheduler.add(request(0, 4));
    scheduler.add(request(1, 4));
    scheduler.next();
    expect(scheduler.finish(1)).to.equal(null);
    expect(scheduler.finish(7)).to.equal(null);
    expect(scheduler.finish(0)).to.equal(0);
    expect(scheduler.finish(0)).to.equal(null);
    expect(scheduler.next()).to.equal(null);
    expect(scheduler.numFreeBlocks).to.equal(LIMITS.numKvBlocks);
  });

  it('finish of a sequence that was admitted but got no tokens yet is null, and its blocks come back', () => {
    const scheduler = new Scheduler({ ...LIMITS, maxNumBatchedTokens: 4 });
    scheduler.add(request(0, 8));
    scheduler.add(request(1, 8));
    const [plan] = scheduler.next()!;
    expect(plan!.begin.map(({ sequence }) => sequence)).to.deep.equal([0]);
    expect(scheduler.finish(1)).to.equal(null);
    scheduler.finish(0);
    expect(scheduler.numFreeBlocks).to.equal(LIMITS.numKvBlocks);
  });

  it('a sequence that was cancelled while its step ran takes nothing from the result', () => {
    const scheduler = new Scheduler(LIMITS);
    scheduler.add(request(0, 4));
    const [plan] = scheduler.next()!;
    scheduler.finish(0);
    scheduler.commit(plan!, new Map([[0, 5]]));
    expect(scheduler.isPrefilled(0)).to.equal(false);
    expect(scheduler.next()).to.equal(null);
  });

  it('has nothing to compute before the first request', () => {
    expect(new Scheduler(LIMITS).next()).to.equal(null);
  });

  it('the tokens whose logits travel to the head are limited per step, over all sequences', () => {
    const scheduler = new Scheduler(LIMITS);
    for (const sequence of [0, 1, 2]) scheduler.add(request(sequence, 6, 0, true));
    const sizes: number[] = [];
    for (let left = 18; left > 0;) {
      const [plan] = scheduler.next()!;
      const size = plan!.parts.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
      scheduler.commit(plan!, new Map());
      for (const part of plan!.parts) if (part.nextPromptToken === null) scheduler.finish(part.sequence);
      sizes.push(size);
      left -= size;
    }
    expect(sizes).to.deep.equal([8, 8, 2]);
  });

  it('sequences of a lost rank wait before all others and go on elsewhere where they stood', () => {
    const scheduler = new Scheduler({ ...LIMITS, numRanks: 2, maxNumSeqs: 2 });
    for (const added of [request(0, 4, 3), request(1, 4, 3), request(2, 3, 3), request(3, 3, 3), request(4, 2)])
      scheduler.add(added);
    const commit = (plans: readonly ScheduledPlan[]): void => {
      for (const plan of plans) {
        const sampling = plan.parts.filter(({ sample }) => sample);
        scheduler.commit(plan, new Map(sampling.map(({ sequence }) => [sequence, 7])));
      }
    };
    const shapes = (plan: ScheduledPlan) =>
      plan.parts.map(({ sequence, position, tokenIds, isReplay }) => [sequence, position, tokenIds.length, isReplay]);
    commit(scheduler.next()!);
    expect(scheduler.next()!.map(shapes)).to.deep.equal([
      [
        [0, 4, 1, false],
        [2, 3, 1, false],
      ],
      [
        [1, 4, 1, false],
        [3, 3, 1, false],
      ],
    ]);
    // The second step is abandoned: rank 1 has gone.
    expect(scheduler.lose([1], 1)).to.deep.equal({ numRequeued: 2, failed: [] });
    for (const sequence of [0, 2]) scheduler.finish(sequence);
    const [plan, none] = scheduler.next()!;
    expect(none).to.deep.include({ epoch: 1, begin: [], parts: [] });
    expect(plan!.begin.map(({ sequence }) => sequence)).to.deep.equal([1, 3]);
    expect(shapes(plan!)).to.deep.equal([
      [1, 0, 4, true],
      [3, 0, 3, true],
    ]);
    commit([plan!]);
    const [next] = scheduler.next()!;
    expect(shapes(next!)).to.deep.equal([
      [1, 4, 1, false],
      [3, 3, 1, false],
    ]);
    expect(next!.parts.map(({ tokenIds, sample, isPrompt }) => [tokenIds, sample, isPrompt])).to.deep.equal([
      [[7], true, false],
      [[7], true, false],
    ]);
  });

  it('a sequence that fails two ranks at the same tokens is over; those that were computed beside it go on', () => {
    const scheduler = new Scheduler({ ...LIMITS, numRanks: 3, maxNumSeqs: 6 });
    for (const sequence of [0, 1, 2, 3, 4, 5]) scheduler.add(request(sequence, 4));
    const sequencesOf = (plans: ScheduledPlan[]) => plans.map(({ parts }) => parts.map(({ sequence }) => sequence));
    const commit = (plans: ScheduledPlan[]): void => {
      for (const plan of plans) {
        scheduler.commit(plan, new Map(plan.parts.flatMap((part) => (part.sample ? [[part.sequence, 7]] : []))));
      }
    };
    expect(sequencesOf(scheduler.next()!)).to.deep.equal([
      [0, 3],
      [1, 4],
      [2, 5],
    ]);
    expect(scheduler.lose([0], 1, [0])).to.deep.equal({ numRequeued: 2, failed: [] });
    // Sequences 0 and 3 are suspects: no rank computes two of them in one step.
    expect(sequencesOf(scheduler.next()!)).to.deep.equal([[], [1, 4, 0], [2, 5, 3]]);
    expect(scheduler.lose([1], 2, [1])).to.deep.equal({ numRequeued: 2, failed: [{ sequence: 0, ranks: [0, 1] }] });
    const order: number[][] = [];
    for (let i = 0; i < 4; i++) {
      const plans = scheduler.next()!;
      order.push(sequencesOf(plans)[2]!);
      commit(plans);
    }
    expect(order).to.deep.equal([
      [2, 5, 3],
      [2, 5, 3, 1],
      [2, 5, 3, 1, 4],
      [2, 5, 3, 1, 4],
    ]);
  });

  it('losses that tell nothing about a sequence are not held against it, nor those before it went on', () => {
    const scheduler = new Scheduler({ ...LIMITS, numRanks: 6 });
    scheduler.add(request(0, 4, 9));
    let numLost = 0;
    const rankOf = (plans: ScheduledPlan[]): number => plans.findIndex(({ parts }) => parts.length > 0);
    /** Computes a step, at which its rank fails. */
    const loseAt = (isHeldAgainst: boolean) => {
      const rank = rankOf(scheduler.next()!);
      return scheduler.lose([rank], ++numLost, isHeldAgainst ? [rank] : []).failed;
    };
    /** Computes a step, which succeeds. */
    const goOn = (): void => {
      const plans = scheduler.next()!;
      const plan = plans[rankOf(plans)]!;
      scheduler.commit(plan, new Map(plan.parts[0]!.sample ? [[0, 7]] : []));
    };
    expect(loseAt(true)).to.deep.equal([]);
    goOn();
    expect(loseAt(true), 'the prompt was computed between').to.deep.equal([]);
    expect(loseAt(false), 'a process that was killed').to.deep.equal([]);
    expect(scheduler.lose([5], ++numLost, [5]).failed, 'between two steps').to.deep.equal([]);
    goOn(); // the replay of what was committed proves nothing
    expect(loseAt(true)).to.deep.equal([{ sequence: 0, ranks: [1, 3] }]);
    expect(scheduler.next()).to.equal(null);
  });

  it('generated tokens are replayed apart from the prompt and before other prompts', () => {
    const scheduler = new Scheduler({ ...LIMITS, numRanks: 2, maxNumSeqs: 2 });
    scheduler.add(request(0, 4, 9));
    for (let i = 0; i < 4; i++) {
      const [plan] = scheduler.next()!;
      scheduler.commit(plan!, new Map([[0, 50 + i]]));
    }
    scheduler.lose([0], 1);
    const parts: unknown[] = [];
    for (let i = 0; i < 3; i++) {
      if (i === 1) scheduler.add(request(1, 2));
      const plan = scheduler.next()![1]!;
      parts.push(
        plan.parts.map(({ sequence, tokenIds, isPrompt, isReplay }) => [sequence, tokenIds, isPrompt, isReplay]),
      );
      scheduler.commit(plan, new Map(plan.parts.flatMap(({ sample, sequence }) => (sample ? [[sequence, 60]] : []))));
    }
    expect(parts).to.deep.equal([
      [[0, [0, 1, 2, 3], true, true]],
      [
        [0, [50, 51, 52], false, true],
        [1, [1000, 1001], true, false],
      ],
      [
        [0, [53], false, false],
        [1, [60], false, false],
      ],
    ]);
  });
});
