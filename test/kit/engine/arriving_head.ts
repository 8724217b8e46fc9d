/**
 * Requests of other instances that arrive over ranks which are played: steps are made by hand, pulls bring what the test lets them, and every order is checked against
 * what ranks hold.
 */
import { NO_FETCHES } from './no_fetches.js';
import { expect } from 'chai';
import { CLUSTER_DEFAULTS } from '../../../lib/config/cluster_schema.js';
import type { HandoverOrder, PullOrder, PullReport } from '../../../lib/protocol/handover.js';
import { EngineError } from '../../../lib/protocol/errors.js';
import {
  SAMPLED,
  type FreeOrder,
  type PlanPart,
  type SequenceOutput,
  type StepPlan,
} from '../../../lib/protocol/step_plan.js';
import { Arrivals } from '../../../lib/head/handover/arrivals.js';
import { Pulls } from '../../../lib/head/handover/pulls.js';
import type { SequenceEnd } from '../../../lib/head/observing/request_news.js';
import { Requests } from '../../../lib/head/requests.js';
import {
  Scheduler,
  type ScheduledPlan,
  type SchedulerOptions,
  type SequenceRequest,
} from '../../../lib/head/scheduling/scheduler.js';
import type { Sequence } from '../../../lib/head/sequence.js';
import { RankCache, type HeldBlock } from '../../refs/rank_cache.js';
import { epochOf } from './epochs.js';
import { generatedToken, IDENTITY, type PlayedKvSource } from './played_kv_source.js';
import { endOf, outputsOf } from './scheduling.js';

/** A pull that was ordered. */
export interface OrderedPull {
  readonly rank: number;
  readonly order: PullOrder;
  readonly sequence: number;
  readonly source: PlayedKvSource;
  isOpen: boolean;
}

/** What becomes of one request. */
export class Arriving implements Sequence {
  readonly tokenIds: number[] = [];
  /** Tokens behind which it went on here; null: it hasn't. */
  numResumed: number | null = null;
  end: SequenceEnd | null = null;
  error: Error | null = null;

  constructor(private readonly request: SequenceRequest) {}

  resume(tokenIds: readonly number[]): SequenceEnd | null {
    this.tokenIds.push(...tokenIds);
    this.numResumed = tokenIds.length;
    this.end = tokenIds.length >= this.request.maxNewTokens ? 'length' : null;
    return this.end;
  }

  take(part: PlanPart, { tokenId }: SequenceOutput): SequenceEnd | null {
    if (tokenId !== null) this.tokenIds.push(tokenId);
    this.end = part.nextPromptToken === null && this.tokenIds.length >= this.request.maxNewTokens ? 'length' : null;
    return this.end;
  }

  fail(error: Error): void {
    this.error = error;
  }
}

export interface ArrivingHeadOptions extends SchedulerOptions {
  readonly cluster?: Partial<typeof CLUSTER_DEFAULTS>;
  /** How long a rank may say nothing. Default 10000. */
  readonly timeoutMs?: number;
}

export class ArrivingHead {
  readonly scheduler: Scheduler;
  readonly requests: Requests;
  readonly arrivals: Arrivals;
  /** Those that nobody reported of or cancelled. */
  readonly pulls: OrderedPull[] = [];
  /** 'pull 0 on 1: 4-10', 'cancel 0', 'begin 0 on 1: 12'. */
  readonly story: string[] = [];
  private readonly caches: (RankCache | null)[];
  private readonly sources = new Map<number, PlayedKvSource>();
  private readonly asked = new Map<number, SequenceRequest>();
  private readonly arrived = new Set<number>();
  /** What left in the step in which the first bytes of a block did, by where it goes. */
  private readonly sent = new Map<string, HeldBlock>();
  private readonly givingUp = new Map<number, () => void>();
  private onPulled: (rank: number, report: PullReport) => void = () => undefined;
  private readonly inFlight: (readonly ScheduledPlan[])[] = [];
  private present: ReadonlySet<number>;
  private leaving: ReadonlySet<number> = new Set();
  private epoch = 0;
  /** The loop was told that there is work. */
  isWoken = false;

  constructor(private readonly options: ArrivingHeadOptions) {
    const { numRanks, blockSize, sharing } = options;
    this.present = new Set(Array(numRanks).keys());
    const separatesForms = sharing?.separatesForms === true;
    const numPromptTokensOf = (sequence: number): number => this.asked.get(sequence)!.promptTokenIds.length;
    const newCache = (): RankCache => new RankCache({ blockSize, maxKept: null, separatesForms, numPromptTokensOf });
    this.newCache = newCache;
    this.caches = Array.from({ length: numRanks }, newCache);
    this.scheduler = new Scheduler(options);
    const job = {
      free: (rank: number, order: FreeOrder) => this.free(rank, order),
      handover: (rank: number, order: HandoverOrder) => this.handover(rank, order),
      kvDoorOf: () => null,
      store: () => false,
      watchPulls: (onPulled: (rank: number, report: PullReport) => void) => void (this.onPulled = onPulled),
    };
    this.requests = new Requests({
      ...{ scheduler: this.scheduler, job, blockSize, timeoutMs: 1000, after: () => () => undefined },
      fetches: NO_FETCHES,
      loadMs: () => 1000,
      onWork: () => void (this.isWoken = true),
      onNews: (news) => {
        if (news.kind === 'moved' || news.kind === 'arrived') this.arrived.add(news.sequence);
        else if (news.kind === 'admitted') this.arrived.delete(news.sequence);
      },
    });
    const config = { ...CLUSTER_DEFAULTS, last_stage_blocks: 1, ...options.cluster };
    this.arrivals = new Arrivals({
      pulls: new Pulls(job),
      host: this.requests,
      identity: IDENTITY,
      config,
      blockSize,
      timeoutMs: options.timeoutMs ?? 10_000,
    });
  }

  private readonly newCache: () => RankCache;

  /** As the engine does. */
  async come(request: SequenceRequest, source: PlayedKvSource): Promise<Arriving> {
    const { sequence, promptTokenIds, maxNewTokens, outputTokenIds = [] } = request;
    const vocabSize = Infinity;
    const asked = { promptTokenIds, outputTokenIds, maxNewTokens, seed: null, vocabSize };
    const followed = await this.arrivals.follow(source, asked);
    this.asked.set(sequence, request);
    this.sources.set(sequence, source);
    const taker = new Arriving(request);
    const queued = { ...request, outputTokenIds: followed.outputTokenIds, arrives: true };
    const arrival = this.arrivals.arrivalOf(queued, followed);
    this.givingUp.set(sequence, this.requests.add(queued, taker, undefined, { arrival }));
    arrival.start();
    this.isWoken = true;
    return taker;
  }

  /** A request that begins here. */
  add(request: SequenceRequest): Arriving {
    this.asked.set(request.sequence, request);
    const taker = new Arriving(request);
    this.givingUp.set(request.sequence, this.requests.add(request, taker, undefined));
    return taker;
  }

  giveUp(sequence: number): void {
    this.givingUp.get(sequence)?.();
  }

  /** One step begins; false: there is nothing to compute. */
  begin(): boolean {
    const plans = this.requests.next({ isNeeded: false });
    this.requests.told();
    this.isWoken = false;
    if (plans === null) return false;
    this.transfer(plans, 'leave');
    for (const [rank, { begin, parts }] of plans.entries()) {
      for (const { sequence, tokenIds } of begin) this.story.push(`begin ${sequence} on ${rank}: ${tokenIds.length}`);
      const known = { begin, parts: parts.map((part) => ({ ...part, tokenIds: idsOf(part) })) };
      this.caches[rank]?.run(known, this.arrived);
    }
    this.transfer(plans, 'arrive');
    this.inFlight.push(plans);
    return true;
  }

  /** Blocks that go from rank to rank beside a step. */
  private transfer(plans: readonly ScheduledPlan[], when: 'leave' | 'arrive'): void {
    const all = plans.flatMap(({ kv = [] }, rank) => kv.filter(({ from }) => from === rank));
    for (const { from, to, pieces } of all) {
      for (const { source, target, start, end, numBytes } of pieces) {
        const key = `${to} ${target}`;
        if (when === 'leave' && start === 0) this.sent.set(key, this.caches[from]!.read(source, false));
        if (when === 'arrive' && end === numBytes) this.caches[to]!.place(target, this.sent.get(key)!);
      }
    }
  }

  /** The first step that runs ends well. */
  async end(): Promise<void> {
    const scheduled = this.inFlight.shift();
    if (scheduled === undefined) return;
    const plans = scheduled.map((plan): StepPlan => ({ ...plan, placementVersion: 0 }));
    const results = plans.map((plan, rank) => (this.present.has(rank) ? resultOf(plan) : null));
    await this.requests.commit(this.requests.settle(plans, results));
  }

  /** A step, where there is work; what waits for it in this process has had its turn then. */
  async step(): Promise<boolean> {
    await settled();
    this.retire();
    const isBusy = this.inFlight.length > 0 || this.begin();
    await this.end();
    await settled();
    return isBusy;
  }

  /** A pull brought what it was to; it can't before the source has that. */
  async bring(pull: OrderedPull | undefined = this.pulls[0]): Promise<boolean> {
    if (pull?.isOpen !== true) return false;
    const { source, order, rank, sequence } = pull;
    if (source.numTokens < order.to || source.isGone || source.port !== order.place.port) return false;
    this.close(pull);
    const { promptTokenIds } = this.asked.get(sequence)!;
    const tokens = Array.from({ length: order.to - order.from }, (_, i) => ({
      tokenId: promptTokenIds[order.from + i] ?? generatedToken(sequence, order.from + i),
      isExact: order.from + i < source.firstDegraded,
    }));
    this.caches[rank]!.bring({ sequence, blocks: order.blocks }, order.from, tokens);
    this.onPulled(rank, { pull: order.pull, payloadBytes: 10 * tokens.length, tookMs: 1 });
    await settled();
    return true;
  }

  /** A pull came to nothing. */
  async spoil(pull: OrderedPull | undefined = this.pulls[0]): Promise<void> {
    if (pull?.isOpen !== true) return;
    this.close(pull);
    const error = { code: 'PEER_LOST', reason: 'the source is gone', advice: 'compute it', blames: [] } as const;
    this.onPulled(pull.rank, { pull: pull.order.pull, payloadBytes: 0, tookMs: 1, error });
    await settled();
  }

  /** What runs counts for nobody. */
  async lose(rank: number): Promise<void> {
    if (!this.present.has(rank)) return;
    const hasAbandoned = this.inFlight.length > 0;
    this.inFlight.length = 0;
    this.present = new Set([...this.present].filter((each) => each !== rank));
    this.caches[rank] = null;
    for (const pull of [...this.pulls]) if (pull.rank === rank) this.close(pull);
    const error = new EngineError('RANK_LOST', `rank ${rank} is gone; nothing helps`, { rank });
    this.enter({ lost: [{ rank, error }], abandonedStep: hasAbandoned ? 1 : null });
    await settled();
  }

  /** Between two steps. */
  async change(rank: number, kind: 'joins' | 'leaves'): Promise<void> {
    while (this.inFlight.length > 0) await this.end();
    if (kind === 'joins') {
      this.caches[rank] ??= this.newCache();
      this.present = new Set([...this.present, rank]);
    } else if (this.present.has(rank)) this.leaving = new Set([...this.leaving, rank]);
    this.enter({});
    await settled();
  }

  /** A step runs. */
  get isBusy(): boolean {
    return this.inFlight.length > 0;
  }

  get numUsedBlocks(): number {
    return this.scheduler.load.ranks.reduce((sum, { numUsedBlocks }) => sum + numUsedBlocks, 0);
  }

  private retire(): void {
    const drained = [...this.leaving].filter((rank) => this.present.has(rank) && this.scheduler.isDrained(rank));
    if (drained.length === 0 || this.inFlight.length > 0) return;
    for (const { rank } of this.pulls) expect(drained, 'nothing is pulled to a rank that goes').not.to.include(rank);
    this.present = new Set([...this.present].filter((rank) => !drained.includes(rank)));
    for (const rank of drained) this.caches[rank] = null;
    this.enter({});
  }

  private enter(what: Pick<Partial<Parameters<Requests['enter']>[0]>, 'lost' | 'abandonedStep'>): void {
    this.leaving = new Set([...this.leaving].filter((rank) => this.present.has(rank)));
    this.sent.clear();
    const change = epochOf(this.present, { epoch: ++this.epoch, ...what });
    this.requests.enter({ ...change, members: { ...change.members, leaving: this.leaving } });
    this.isWoken = true;
  }

  private handover(rank: number, order: HandoverOrder): boolean {
    if (!this.present.has(rank)) return false;
    if (order.kind === 'pull') {
      const { from, to, blocks } = order.order;
      const sequence = [...this.sources.keys()].find((each) => isAt(this.scheduler, each, rank, blocks));
      if (sequence === undefined) return expect.fail('a pull into blocks that nobody has who arrives');
      expect(to).to.be.above(from);
      expect(blocks.length * this.options.blockSize, 'room for all').to.be.at.least(to);
      for (const other of this.pulls) expect(other.sequence, 'one pull at a time').not.to.equal(sequence);
      this.pulls.push({ rank, order: order.order, sequence, source: this.sources.get(sequence)!, isOpen: true });
      this.story.push(`pull ${sequence} on ${rank}: ${from}-${to}`);
    } else if (order.kind === 'cancel_pull') {
      const pull = this.pulls.find(({ order: { pull: id } }) => id === order.pull)!;
      this.close(pull);
      this.story.push(`cancel ${pull.sequence}`);
    } else throw new Error(`nobody orders ${order.kind} here`);
    return true;
  }

  private close(pull: OrderedPull): void {
    pull.isOpen = false;
    this.pulls.splice(this.pulls.indexOf(pull), 1);
  }

  private free(rank: number, order: FreeOrder): void {
    for (const {
      rank: own,
      order: { from, to, blocks },
    } of this.pulls) {
      if (own !== rank) continue;
      const { blockSize } = this.options;
      const written = blocks.slice(Math.floor(from / blockSize), Math.ceil(to / blockSize));
      for (const block of written)
        expect(order.blocks, 'a pull is cancelled before its blocks are freed').not.to.include(block);
    }
    expect(this.caches[rank], 'nothing to forget for a lost rank').not.to.equal(null);
    this.caches[rank]!.free(order);
  }
}

const isAt = (scheduler: Scheduler, sequence: number, rank: number, blocks: readonly number[]): boolean => {
  const place = scheduler.placeOf(sequence);
  return place?.rank === rank && blocks.every((block, i) => place.blocks[i] === block);
};

/** As the rank knows them. */
const idsOf = ({ sequence, position, tokenIds }: PlanPart): readonly number[] =>
  tokenIds[0] === SAMPLED ? [generatedToken(sequence, position)] : tokenIds;

const sampled = (part: PlanPart): number => generatedToken(part.sequence, endOf(part));

const resultOf = (plan: StepPlan) => ({
  ...{ step: plan.step, outputs: outputsOf(plan, sampled), load: [], rankLoad: [] },
  ...{ phasesMs: {} as never, stats: {} as never },
});

/** Everything has happened that follows from what did. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 4; i++) await new Promise(setImmediate);
}
