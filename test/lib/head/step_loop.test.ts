/** The loop over ranks that are played: what it asks of them, and what it makes of their answers. */
import { NO_FETCHES } from '../../kit/engine/no_fetches.js';
import { expect } from 'chai';
import { LivePlacement } from '../../../experts/placement/live_placement.js';
import { createPlacement } from '../../../experts/placement/placement.js';
import { Requests } from '../../../lib/head/requests.js';
import { Scheduler } from '../../../lib/head/scheduling/scheduler.js';
import type { Sequence } from '../../../lib/head/sequence.js';
import { StepLoop, type Loss, type StepLoopParts } from '../../../lib/head/step_loop.js';
import type { RequestNews } from '../../../lib/head/observing/request_news.js';
import type { ObservedStep, StepObserver } from '../../../lib/head/observing/step_observer.js';
import { epochOf } from '../../kit/engine/epochs.js';
import type { GatherOutcome } from '../../../lib/job/gathering.js';
import type { EpochChange, StepOutcome, StepRunner } from '../../../lib/job/step_runner.js';
import { EngineError } from '../../../lib/protocol/errors.js';
import { SAMPLED, type FreeOrder, type StepPlan, type StepResult } from '../../../lib/protocol/step_plan.js';
import { GREEDY } from '../../../lib/protocol/sampling.js';
import { OPTIONS } from '../../kit/engine/scheduling.js';
import { errorOf } from '../../kit/rejects.js';

const NUM_RANKS = 2;
const LIMITS = { maxNumSeqs: 4, maxNumBatchedTokens: 64, blockSize: 4, numKvBlocks: 16, maxToldBytes: 64 };
const SCHEDULING = { ...OPTIONS, ...LIMITS, numRanks: NUM_RANKS, sharing: null };
const WANTS = { routedExperts: false, logprobs: null, promptLogprobs: null, logits: false };

const resultOf = ({ step, parts }: StepPlan): StepResult => ({
  step,
  outputs: parts.map(({ sequence, sample }) => ({ sequence, tokenId: sample ? 10 * sequence + step : null })),
  load: [[parts.length, 0]],
  rankLoad: [[0, parts.length]],
  phasesMs: {} as StepResult['phasesMs'],
  stats: {} as StepResult['stats'],
});

/** Ranks that compute at once what they are asked. Everything that befalls them is in `story`. */
class PlayedRanks implements StepRunner {
  readonly plans: (readonly StepPlan[])[] = [];
  readonly lost = new Set<number>();
  /** What a step comes to instead, by how many were asked for before it. */
  readonly instead = new Map<number, () => Promise<StepOutcome>>();
  readonly isChanging = false;
  private readonly told: EpochChange[] = [];
  private onNews: () => void = () => undefined;

  constructor(readonly story: string[]) {}

  step(plans: readonly StepPlan[]): Promise<StepOutcome> {
    this.plans.push(plans);
    this.story.push(`step ${plans[0]!.step}`);
    const instead = this.instead.get(this.plans.length - 1);
    if (instead !== undefined) return instead();
    const results = plans.map((plan, rank) => (this.lost.has(rank) ? null : resultOf(plan)));
    return Promise.resolve({ kind: 'done', results });
  }

  move(): boolean {
    return true;
  }

  gather(): Promise<GatherOutcome> {
    return Promise.resolve({ kind: 'done', failures: [] });
  }

  free(rank: number, { blocks, sequences }: FreeOrder): void {
    this.story.push(
      sequences.length > 0 ? `free ${sequences.join()} on ${rank}` : `free blocks ${blocks.join()} on ${rank}`,
    );
  }

  handover(): boolean {
    return true;
  }

  kvDoorOf(): null {
    return null;
  }

  store(): boolean {
    return false;
  }

  settled(): Promise<readonly EpochChange[]> {
    return Promise.resolve(this.told.splice(0));
  }

  change(): boolean {
    return false;
  }

  watch(onNews: () => void): void {
    this.onNews = onNews;
  }

  lose(rank: number, code: 'RANK_LOST' | 'RANK_FAILED' = 'RANK_LOST'): void {
    this.lost.add(rank);
    const error = new EngineError(code, `rank ${rank} is gone; nothing helps`, { rank });
    const present = [...Array(NUM_RANKS).keys()].filter((each) => !this.lost.has(each));
    this.told.push(epochOf(present, { epoch: this.lost.size, lost: [{ rank, error }] }));
    this.onNews();
  }
}

/** Experts stay where they are. */
const STAYING = {
  next: (): { placementVersion: number; moveRound?: number } => ({ placementVersion: 0 }),
  settle: (): Promise<boolean> => Promise.resolve(true),
  isMoving: false,
  isUrgent: false,
};

class Head {
  readonly story: string[] = [];
  readonly job = new PlayedRanks(this.story);
  readonly placement = new LivePlacement(
    createPlacement('linear', { numLayers: 1, numExperts: 2, numRanks: NUM_RANKS }),
  );
  /** What happens to requests; `hear` does something about it. */
  readonly news: string[] = [];
  hear: (news: RequestNews) => void = () => undefined;
  readonly requests: Requests = new Requests({
    ...{ scheduler: new Scheduler(SCHEDULING), job: this.job, blockSize: SCHEDULING.blockSize, timeoutMs: 1000 },
    fetches: NO_FETCHES,
    loadMs: () => 1000,
    onWork: () => this.loop.start(),
    onNews: (news) => {
      this.news.push(`${news.kind} ${news.sequence}`);
      this.hear(news);
    },
  });
  readonly observed: ObservedStep[] = [];
  readonly losses: Loss[] = [];
  readonly loop: StepLoop;
  private numRequests = 0;

  constructor(more: Partial<StepLoopParts> = {}) {
    const notes: StepObserver = {
      observe: (step) => {
        this.observed.push(step);
        this.story.push(`observe ${step.step}`);
      },
      enter: ({ members }) => void this.story.push(`go on with ${[...members.present].join()}`),
    };
    this.loop = new StepLoop({
      job: this.job,
      requests: this.requests,
      placement: this.placement,
      experts: STAYING,
      speeds: { capacities: undefined },
      route: (plans) => plans,
      onLoss: (loss) => void this.losses.push(loss),
      ...more,
      observers: [notes, ...(more.observers ?? [])],
    });
  }

  /** Begins a request of two prompt tokens, which `end` ends too; resolves with its tokens, or rejects with its error. */
  ask(
    numTokens: number,
    onToken: (token: number) => void = () => undefined,
    end = NaN,
    signal?: AbortSignal,
  ): Promise<number[]> {
    const sequence = this.numRequests++;
    return new Promise((resolve, reject) => {
      const tokens: number[] = [];
      const taker: Sequence = {
        take: (_, { tokenId }) => {
          tokens.push(tokenId!);
          this.story.push(`token ${tokenId}`);
          onToken(tokenId!);
          if (tokens.length < numTokens && tokenId !== end) return null;
          resolve(tokens);
          return tokenId === end ? 'stop' : 'length';
        },
        fail: reject,
      };
      const request = { sequence, promptTokenIds: [1, 2], maxNewTokens: numTokens, sampling: GREEDY, wants: WANTS };
      this.requests.add(request, taker, signal);
      this.loop.start();
    });
  }
}

const sequencesOf = (plans: readonly StepPlan[]): number[][] =>
  plans.map(({ parts }) => parts.map(({ sequence }) => sequence));

describe('the loop of steps', () => {
  it('plans, runs, observes and commits, step by step, and rests when nothing is left', async () => {
    const head = new Head();
    expect(await head.ask(2)).to.deep.equal([1, 2]);
    await head.loop.idle();
    const first = ['step 1', 'observe 1', 'token 1'];
    const second = ['step 2', 'observe 2', 'token 2', 'free 0 on 0'];
    expect(head.story).to.deep.equal([...first, ...second]);
    await head.ask(1); // it goes on where it stopped
    await head.loop.idle();
    expect(head.story.slice(7)).to.deep.equal(['step 3', 'observe 3', 'token 13', 'free 1 on 0']);
    expect(head.job.plans.map(([plan]) => plan!.placementVersion)).to.deep.equal([0, 0, 0]);
  });

  it('while only tokens are generated, the step behind the one that runs is planned and begun: it takes the rank’s own token', async () => {
    const head = new Head();
    expect(await head.ask(4)).to.deep.equal([1, 2, 3, 4]);
    await head.loop.idle();
    const begun = ['step 1', 'observe 1', 'token 1', 'step 2', 'step 3', 'observe 2', 'token 2', 'step 4'];
    expect(head.story).to.deep.equal([...begun, 'observe 3', 'token 3', 'observe 4', 'token 4', 'free 0 on 0']);
    const idsOf = ({ parts }: StepPlan): (readonly number[])[] => parts.map(({ tokenIds }) => tokenIds);
    expect(head.job.plans.map(([plan]) => idsOf(plan!))).to.deep.equal([[[1, 2]], [[1]], [[SAMPLED]], [[SAMPLED]]]);
    expect(head.observed.map(({ plans: [plan] }) => idsOf(plan!))).to.deep.equal([[[1, 2]], [[1]], [[2]], [[3]]]);
  });

  it('what was computed of a sequence behind its end counts for nobody, but as load', async () => {
    const head = new Head();
    const long = head.ask(5);
    expect(await head.ask(5, undefined, 12)).to.deep.equal([11, 12]);
    expect(await long).to.deep.equal([1, 2, 3, 4, 5]);
    const parts = head.observed.map(({ plans }) => sequencesOf(plans));
    expect(parts).to.deep.equal([
      [[0], [1]],
      [[0], [1]],
      [[0], []],
      [[0], []],
      [[0], []],
    ]);
    expect(head.observed.map(({ results }) => results.map((result) => result!.outputs.length))).to.deep.equal([
      ...[
        [1, 1],
        [1, 1],
        [1, 0],
        [1, 0],
        [1, 0],
      ],
    ]);
    expect(head.observed.map(({ numTokens }) => numTokens)).to.deep.equal([4, 2, 2, 1, 1]);
    expect(head.observed.map(({ load_LE: [load_E] }) => load_E![0])).to.deep.equal([2, 2, 2, 1, 1]);
  });

  it('behind a step with prompts, and while experts move, the next one waits for its results', async () => {
    let isMoving = false;
    const head = new Head({ experts: { ...STAYING, isMoving: true } });
    await head.ask(3);
    expect(head.story.filter((line) => /step|token/.test(line))).to.deep.equal(
      [1, 2, 3].flatMap((step) => [`step ${step}`, `token ${step}`]),
    );
    const experts = {
      ...STAYING,
      get isMoving() {
        return isMoving;
      },
    };
    const second = new Head({ experts });
    await second.ask(5, (token) => (isMoving = token === 3));
    expect(second.story.filter((line) => /step|token/.test(line))).to.deep.equal([
      ...['step 1', 'token 1', 'step 2', 'step 3', 'token 2', 'step 4', 'token 3', 'token 4', 'step 5', 'token 5'],
    ]);
  });

  it('a loss abandons the step that runs and the one behind it, and both are planned again with the tokens that are known', async () => {
    const head = new Head();
    const asked = [head.ask(5), head.ask(5)];
    const abandoned = Promise.resolve<StepOutcome>({ kind: 'abandoned' });
    head.job.instead.set(2, () => abandoned); // behind step 2, which counts
    head.job.instead.set(3, () => {
      head.job.lose(1);
      return abandoned;
    });
    const [first, second] = await Promise.all(asked);
    expect(first).to.deep.equal([1, 2, 5, 6, 7]);
    expect(second).to.deep.equal([11, 12, 17, 18, 19]); // prompt and token were replayed beside steps 5 and 6
    const again = head.job.plans[4]![0]!;
    expect(again.parts.map(({ sequence, tokenIds, isReplay }) => [sequence, tokenIds, isReplay])).to.deep.equal([
      [0, [2], false],
      [1, [1, 2], true],
    ]);
  });

  it('all requests of one turn share the first step, however often it is started', async () => {
    const head = new Head();
    await Promise.all([head.ask(1), head.ask(1), head.ask(1)]);
    expect(head.job.plans.map(sequencesOf)).to.deep.equal([[[0, 2], [1]]]);
    const [step] = head.observed;
    expect(step).to.deep.include({ load_LE: [Float64Array.of(3, 0)], rankLoad_LR: [Float64Array.of(0, 3)] });
    expect(step!.placement).to.equal(head.placement.whole);
  });

  it('plans name what the mover says, and go through whoever chooses experts', async () => {
    const forcedExperts = Uint16Array.of(1);
    const head = new Head({
      experts: { ...STAYING, next: ({ step }) => ({ placementVersion: 3, moveRound: 10 * step }) },
      route: (plans) =>
        plans.map((plan) => ({ ...plan, parts: plan.parts.map((part) => ({ ...part, forcedExperts })) })),
    });
    await head.ask(2);
    const [first, second] = head.job.plans.map(([plan]) => plan!);
    expect(first).to.include({ placementVersion: 3, moveRound: 10 });
    expect(second).to.include({ placementVersion: 3, moveRound: 20 });
    expect(second!.parts[0]!.forcedExperts).to.equal(forcedExperts);
  });

  it('steps without tokens run while experts move urgently and nobody asks for tokens', async () => {
    let left = 3;
    const experts = {
      ...STAYING,
      next: () => ({ placementVersion: 0, moveRound: 3 - left-- }),
      get isUrgent() {
        return left > 0;
      },
      get isMoving() {
        return left > 0;
      },
    };
    const head = new Head({ experts });
    head.loop.start();
    await head.loop.idle();
    expect(head.job.plans.map(([plan]) => [plan!.step, plan!.parts, plan!.moveRound])).to.deep.equal([
      [1, [], 0],
      [2, [], 1],
      [3, [], 2],
    ]);
    expect(head.observed.map(({ numTokens }) => numTokens)).to.deep.equal([0, 0, 0]);
  });

  it('an abandoned step counts for nobody: what was lost is told, and it is planned again for the ranks that are left', async () => {
    const head = new Head();
    head.job.instead.set(0, () => {
      head.job.lose(1);
      return Promise.resolve({ kind: 'abandoned' });
    });
    const tokens = await Promise.all([head.ask(1), head.ask(1)]);
    expect(tokens).to.deep.equal([[2], [12]]);
    await head.loop.idle();
    expect(head.story).to.deep.equal([
      // Rank 0 forgets what the abandoned step wrote.
      ...['step 1', 'go on with 0', 'free blocks 0 on 0', 'step 2', 'observe 2'],
      ...['token 2', 'free 0 on 0', 'token 12', 'free 1 on 0'],
    ]);
    expect(head.job.plans.map(sequencesOf)).to.deep.equal([
      [[0], [1]],
      [[0, 1], []],
    ]);
    expect(head.job.plans.map(([plan]) => plan!.epoch)).to.deep.equal([0, 1]);
    expect(head.observed[0]!.placement).to.equal(head.placement.left);
    expect(head.placement.left.logcnt).to.deep.equal([Int32Array.of(1, 0)]);
    expect(head.losses).to.have.length(1);
    expect(head.losses[0]).to.include({ epoch: 1, numRanksLeft: 1, numRecomputed: 1, numFailed: 0 });
  });

  it('a loss while a step runs waits until the step is committed, and one while nothing runs does not', async () => {
    const head = new Head();
    const asked = [head.ask(2), head.ask(2)];
    head.job.instead.set(0, () => {
      head.job.lose(0); // its result was there already
      expect(head.losses).to.deep.equal([]);
      return Promise.resolve({ kind: 'done', results: head.job.plans[0]!.map(resultOf) });
    });
    expect(await Promise.all(asked)).to.deep.equal([
      [1, 3], // replayed on the other rank, beside its neighbour's step
      [11, 12],
    ]);
    expect(head.story.slice(0, 6)).to.deep.equal([
      'step 1',
      'observe 1',
      'token 1',
      'token 11',
      'go on with 1',
      'step 2',
    ]);
    await head.loop.idle();
    head.job.lose(1);
    await head.loop.idle();
    expect(head.story.at(-1)).to.equal('go on with ');
    expect(head.losses.map(({ numRanksLeft }) => numRanksLeft)).to.deep.equal([1, 0]);
  });

  it('a request at which two ranks fail is over, and the others go on', async () => {
    const head = new Head();
    const failing = (rank: number) => () => {
      head.job.lose(rank, 'RANK_FAILED');
      return Promise.resolve<StepOutcome>({ kind: 'abandoned' });
    };
    head.job.instead.set(0, failing(0));
    head.job.instead.set(1, failing(1));
    const error = await errorOf(EngineError, () => head.ask(1));
    expect(error).to.include({ code: 'RANK_FAILED', rank: 1 });
    expect(error.message).to.include('request: rank 0 is gone, and rank 1 is gone; the others go on');
    expect(head.losses.map(({ numFailed, numRecomputed }) => [numFailed, numRecomputed])).to.deep.equal([
      [0, 1],
      [1, 0],
    ]);
  });

  for (const [how, observe] of [
    [
      'throws',
      () => {
        throw new RangeError('disk full');
      },
    ],
    ['rejects', () => Promise.reject(new RangeError('disk full'))],
  ] as const) {
    it(`an observer that ${how} ends all requests before the step's tokens go out, and later ones are refused`, async () => {
      const head = new Head({ observers: [{ observe }] });
      const asked = [head.ask(2), head.ask(2)];
      for (const each of asked) expect((await errorOf(RangeError, () => each)).message).to.equal('disk full');
      await head.loop.idle();
      expect(head.story).to.deep.equal(['step 1', 'observe 1']);
      await errorOf(RangeError, () => head.ask(1));
      expect(head.job.plans).to.have.length(1);
    });
  }

  it('the next step waits for observers, and they for each other', async () => {
    const story: string[] = [];
    const slow: StepObserver = {
      observe: async ({ step }) => {
        await new Promise((resolve) => setImmediate(resolve));
        story.push(`written ${step}`);
      },
    };
    const after: StepObserver = { observe: ({ step }) => void story.push(`after ${step}`) };
    const head = new Head({ observers: [slow, after] });
    await head.ask(2, (token) => void story.push(`token ${token}`));
    expect(story).to.deep.equal(['written 1', 'after 1', 'token 1', 'written 2', 'after 2', 'token 2']);
  });

  it('a request tells one end, also where its caller gives it up while its last token is told', async () => {
    const head = new Head();
    const caller = new AbortController();
    head.hear = ({ kind }) => kind === 'token' && caller.abort();
    await errorOf(EngineError, () => head.ask(1, undefined, NaN, caller.signal));
    await head.loop.idle();
    expect(head.news).to.deep.equal(['queued 0', 'admitted 0', 'token 0', 'ended 0']);
  });

  it('a listener that throws, at whatever news, ends all requests with its error, and nothing is left running', async () => {
    for (const at of ['queued', 'admitted', 'token', 'finished', 'ended'] as const) {
      const head = new Head();
      const caller = new AbortController();
      head.hear = ({ kind }) => {
        if (kind === 'token') caller.abort();
        if (kind === at) throw new RangeError('no room for it');
      };
      const asked = [head.ask(3, undefined, NaN, caller.signal), head.ask(1), head.ask(9)];
      const ends = await Promise.allSettled(asked);
      await head.loop.idle();
      expect(ends[2], at).to.deep.equal({ status: 'rejected', reason: new RangeError('no room for it') });
      await errorOf(RangeError, () => head.ask(1));
    }
  });

  it('whom a listener gives up as it is admitted, its rank forgets behind the step that begins with it', async () => {
    const head = new Head();
    const caller = new AbortController();
    head.hear = ({ kind, sequence }) => kind === 'admitted' && sequence === 0 && caller.abort();
    const given = errorOf(EngineError, () => head.ask(3, undefined, NaN, caller.signal));
    await Promise.all([given, head.ask(2)]);
    await head.loop.idle();
    const begun = head.story.indexOf('step 1');
    expect(head.story.findIndex((line) => line.startsWith('free 0'))).to.be.above(begun);
  });

  it('a job that ends takes all requests along, with its reason', async () => {
    const head = new Head();
    const why = new EngineError('RANK_LOST', 'rank 1 ended; start again', { rank: 1 });
    head.job.instead.set(1, () => Promise.reject(why));
    const asked = [head.ask(3), head.ask(3)];
    for (const each of asked) expect(await errorOf(EngineError, () => each)).to.equal(why);
    await head.loop.idle();
    expect(head.story.filter((line) => line.startsWith('free'))).to.deep.equal([]);
  });

  it('a caller that throws at its token fails alone', async () => {
    const head = new Head();
    const throwing = errorOf(RangeError, () =>
      head.ask(3, () => {
        throw new RangeError('no room for it');
      }),
    );
    const other = head.ask(3);
    expect((await throwing).message).to.equal('no room for it');
    expect(await other).to.deep.equal([11, 12, 13]);
  });
});
