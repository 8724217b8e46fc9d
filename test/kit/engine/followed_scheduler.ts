/** Follows what a scheduler's plans do to each sequence and to each rank's cache, and checks every rule on the way. */
import { expect } from 'chai';
import {
  Scheduler,
  type ScheduledPlan,
  type SchedulerOptions,
  type SequenceRequest,
} from '../../../lib/head/scheduling/scheduler.js';
import { SAMPLED, type PlanPart } from '../../../lib/protocol/step_plan.js';
import type { Lift } from '../../../lib/head/kv/lift.js';
import type { KvTransfer } from '../../../lib/protocol/kv_transfer.js';
import { RankCache, type HeldBlock } from '../../refs/rank_cache.js';
import { PlayedTiers } from './played_tiers.js';
import { endOf, outputsOf, sampledToken } from './scheduling.js';

/** What becomes of tiers, which nobody orders: a number that changes with every question. */
export type Chance = () => number;

/** A load that a rank was told of. */
interface Load {
  readonly sequence: number;
  readonly lift: Lift;
}

export class FollowedScheduler {
  private readonly tiers: PlayedTiers[];
  private loads: Load[] = [];
  /** Lost in tiers, which the head hasn't heard of yet. */
  private unheard: { readonly rank: number; readonly lost: string[] }[] = [];
  readonly scheduler: Scheduler;
  /** Sequences that ended by themselves. */
  readonly finished: number[] = [];
  private readonly requests = new Map<number, SequenceRequest>();
  /** Tokens that were committed of a sequence. */
  private readonly numCommitted = new Map<number, number>();
  /** By rank; null for one that was lost. */
  private readonly caches: (RankCache | null)[];
  private epoch = 0;
  private leaving: ReadonlySet<number> = new Set();
  /** What left in the step in which the first bytes of a block did, by where it goes. */
  private readonly sent = new Map<string, HeldBlock>();
  /** Sequences that came from another rank since they were admitted. */
  private readonly arrived = new Set<number>();
  private readonly newCache: () => RankCache;
  private lastStep = 0;
  /** Steps that were planned and not committed. */
  private readonly inFlight: (readonly ScheduledPlan[])[] = [];

  /** `numAhead`: steps that are planned while one runs. */
  constructor(
    private readonly options: SchedulerOptions,
    private readonly numAhead = 0,
    private readonly chance: Chance = () => 1,
  ) {
    this.scheduler = new Scheduler(options);
    this.tiers = Array.from({ length: options.numRanks }, () => new PlayedTiers(options.tiers ?? []));
    const cache = {
      blockSize: options.blockSize,
      maxKept: options.states?.maxKept ?? null,
      separatesForms: options.sharing?.separatesForms === true,
      numPromptTokensOf: (sequence: number) => this.requests.get(sequence)!.promptTokenIds.length,
    };
    this.newCache = () => new RankCache(cache);
    this.caches = Array.from({ length: options.numRanks }, this.newCache);
  }

  add(added: SequenceRequest): void {
    this.requests.set(added.sequence, added);
    this.numCommitted.set(added.sequence, 0);
    this.scheduler.add(added);
  }

  /** A rank is lost; whatever it had in its cache is gone, and nothing counts of the steps that run. */
  lose(rank: number): void {
    if (this.caches[rank] === null) return;
    this.inFlight.length = 0;
    const numHomeless = this.caches[rank]!.sequences.length;
    this.caches[rank] = null;
    // The scheduler may have admitted some that no rank has been told of.
    expect(this.enter(true).numRequeued).to.be.at.least(numHomeless);
  }

  /** Between two steps: a seat is taken, or who sits there is to leave, and goes as soon as nothing runs there. */
  change(rank: number, kind: 'joins' | 'leaves'): void {
    while (this.inFlight.length > 0) this.end(() => false);
    const isNew = kind === 'joins' && this.caches[rank] === null;
    if (kind === 'joins') this.caches[rank] ??= this.newCache();
    else if (this.caches[rank] !== null) this.leaving = new Set([...this.leaving, rank]);
    if (isNew) this.scheduler.hearStore(rank, { found: this.tiers[rank]!.restart(), lost: [] }); // before its epoch
    this.enter(false);
  }

  /** Ranks that nothing keeps any more go. */
  private retire(): void {
    const drained = [...this.leaving].filter((rank) => this.scheduler.isDrained(rank));
    if (drained.length === 0 || this.inFlight.length > 0) return;
    for (const rank of drained) {
      expect(this.caches[rank]?.sequences ?? []).to.deep.equal([]);
      this.caches[rank] = null;
    }
    this.enter(false);
  }

  private enter(hasAbandoned: boolean) {
    const present = new Set(this.caches.flatMap((cache, rank) => (cache === null ? [] : [rank])));
    this.leaving = new Set([...this.leaving].filter((rank) => present.has(rank)));
    const takers = new Set([...present].filter((rank) => !this.leaving.has(rank)));
    this.sent.clear();
    this.loads = this.loads.filter(({ lift }) => present.has(lift.rank));
    this.unheard = this.unheard.filter(({ rank }) => present.has(rank));
    const { leaving } = this;
    const homeless = this.scheduler.enter({ epoch: ++this.epoch, present, takers, leaving, hasAbandoned });
    this.free(); // where there are states, those of the other ranks too
    return homeless;
  }

  /**
   * One step; false when there was nothing to compute. `lost`: ranks that are lost while it runs, so that nothing of it counts. `lacksExpert`: tokens
   * that were computed without one.
   */
  step(
    lost: readonly number[] = [],
    lacksExpert: (sequence: number, position: number) => boolean = () => false,
  ): boolean {
    this.retire();
    this.beside();
    while (this.inFlight.length <= (this.scheduler.isMoving ? 0 : this.numAhead)) if (!this.plan()) break;
    const isBusy = this.inFlight.length > 0 || this.loads.length > 0;
    for (const rank of lost) this.lose(rank);
    if (this.inFlight.length > 0) this.end(lacksExpert);
    return isBusy;
  }

  private end(lacksExpert: (sequence: number, position: number) => boolean): void {
    const plans = this.inFlight.shift()!;
    plans.forEach((plan, rank) => this.commit(plan, rank, lacksExpert));
    this.scheduler.arrive(plans[0]!.step, []);
    this.free();
  }

  /** False: there is nothing to compute now. */
  private plan(): boolean {
    const plans = this.scheduler.next();
    this.free();
    this.begin();
    if (plans === null) return false;
    expect(plans).to.have.length(this.options.numRanks);
    const [{ step }] = plans as [ScheduledPlan];
    expect(step).to.be.above(this.lastStep);
    this.lastStep = step;
    for (const { kind, sequence } of this.scheduler.takeMoves()) {
      if (kind === 'moved') this.arrived.add(sequence);
      else this.arrived.delete(sequence);
    }
    const transfers = this.checkedTransfers(plans);
    this.send(transfers);
    plans.forEach((plan, rank) => this.check(plan, rank));
    this.receive(transfers);
    expect(
      plans.some(({ parts, kv }) => parts.length > 0 || kv !== undefined),
      'a step computes or moves something',
    ).to.equal(true);
    this.checkBlocks();
    this.inFlight.push(plans);
    return true;
  }

  /** Both ends are told the same, within the budget. */
  private checkedTransfers(plans: readonly ScheduledPlan[]): readonly KvTransfer[] {
    const all = plans.flatMap(({ kv = [] }, rank) => kv.filter(({ from }) => from === rank));
    for (const [rank, { kv = [] }] of plans.entries()) {
      expect(kv).to.deep.equal(all.filter(({ from, to }) => from === rank || to === rank));
      for (const end of ['from', 'to'] as const) {
        const own = kv.filter((each) => each[end] === rank).flatMap(({ pieces }) => pieces);
        const numBytes = own.reduce((sum, piece) => sum + piece.end - piece.start, 0);
        expect(numBytes).to.be.at.most(this.options.kv.bytesPerStep);
      }
    }
    return all;
  }

  private send(transfers: readonly KvTransfer[]): void {
    for (const { from, to, pieces } of transfers) {
      for (const { source, target, start, end, numBytes } of pieces) {
        expect(end).to.be.above(start);
        const key = `${to} ${target}`;
        if (start === 0) this.sent.set(key, this.caches[from]!.read(source, numBytes > this.options.kv.rowBytes));
        else expect(this.sent.has(key), 'a block goes from its first byte on').to.equal(true);
      }
    }
  }

  private receive(transfers: readonly KvTransfer[]): void {
    for (const { to, pieces } of transfers) {
      for (const { target, end, numBytes } of pieces) {
        if (end === numBytes) this.caches[to]!.place(target, this.sent.get(`${to} ${target}`)!);
      }
    }
  }

  /** Has ranks forget what is cached, which must be all that they hold, unless sequences run. */
  reset(): void {
    const { ranks } = this.scheduler.load;
    const isIdle = ranks.every(({ numUsedBlocks }) => numUsedBlocks === 0);
    expect(this.scheduler.resetPrefixCache()).to.equal(isIdle);
    this.free();
    this.checkBlocks();
    if (!isIdle) return;
    expect(this.caches.flatMap((cache) => cache?.heldBlocks ?? [])).to.deep.equal([]);
    expect(this.numKept).to.equal(0);
    expect(this.scheduler.load.ranks.every(({ numCachedBlocks }) => numCachedBlocks === 0)).to.equal(true);
  }

  /** How many states the ranks' blocks keep. */
  get numKept(): number {
    return this.caches.reduce((sum, cache) => sum + (cache?.keeping.length ?? 0), 0);
  }

  /** Ends a sequence by force. */
  cancel(sequence: number): void {
    this.scheduler.finish(sequence);
    this.free();
    for (const cache of this.caches) expect(cache?.sequences ?? []).not.to.include(sequence);
    this.requests.delete(sequence);
    this.checkBlocks();
  }

  /** Sequences that are not over, what they hold, and whom ranks know. */
  get left(): { readonly sequences: number[]; readonly numUsedBlocks: number; readonly told: number[] } {
    return {
      sequences: [...this.requests.keys()],
      numUsedBlocks: this.scheduler.load.ranks.reduce((sum, { numUsedBlocks }) => sum + numUsedBlocks, 0),
      told: this.caches.flatMap((cache) => cache?.sequences ?? []),
    };
  }

  /** What a sequence has when it is over. */
  static tokensOf({ sequence, promptTokenIds, maxNewTokens }: SequenceRequest): number[] {
    const { length } = promptTokenIds;
    const outputs = Array.from({ length: maxNewTokens }, (_, i) => sampledToken(sequence, length + i));
    return [...promptTokenIds, ...outputs];
  }

  /** The head knows what ranks hold. */
  private checkBlocks(): void {
    const { numKvBlocks } = this.options;
    for (const { rank, numUsedBlocks, numCachedBlocks } of this.scheduler.load.ranks) {
      const numHeld = this.caches[rank]!.heldBlocks.length;
      const numCounted = numUsedBlocks + numCachedBlocks;
      const areTaken = this.scheduler.isMoving || this.loads.length > 0;
      if (areTaken) expect(numHeld, 'blocks that come are taken first').to.be.at.most(numCounted);
      else expect(numCounted, 'used and cached').to.equal(numHeld);
      expect(numHeld).to.be.at.most(numKvBlocks);
    }
  }

  private free(): void {
    const wanted = this.scheduler.lifts;
    this.loads = this.loads.filter(({ sequence, lift }) => wanted.get(sequence) === lift);
    for (const { rank, orders = [], ...order } of this.scheduler.takeFreed()) {
      expect(this.caches[rank], 'nothing to forget for a lost rank').not.to.equal(null);
      for (const each of orders) this.tiers[rank]!.obey(each);
      this.tiers[rank]!.keep(order.keep ?? [], this.caches[rank]!);
      this.caches[rank]!.free(order);
    }
  }

  /** What happens beside steps: loads begin and end, and tiers lose what they had. */
  private beside(): void {
    this.hear();
    for (const [rank, tiers] of this.tiers.entries()) {
      const { keys } = tiers;
      if (this.caches[rank] === null || keys.length === 0 || this.chance() >= 0.05) continue;
      const lost = [keys[Math.floor(this.chance() * keys.length)]!];
      tiers.lose(lost);
      this.unheard.push({ rank, lost });
    }
    this.free();
    for (const { sequence, lift } of this.loads) {
      if (this.chance() < 0.4) continue;
      const { rank } = lift;
      const { numBlocks, lost } = this.tiers[rank]!.load(lift, this.caches[rank]!, () => this.chance() < 0.05);
      if (lost.length > 0) this.scheduler.hearStore(rank, { found: [], lost });
      this.scheduler.endLift(sequence, numBlocks);
    }
    this.free();
    this.begin();
  }

  private hear(): void {
    for (const { rank, lost } of this.unheard.splice(0)) this.scheduler.hearStore(rank, { found: [], lost });
    this.free();
  }

  private begin(): void {
    const known = new Set(this.loads.map(({ lift }) => lift));
    for (const [sequence, lift] of this.scheduler.lifts) if (!known.has(lift)) this.loads.push({ sequence, lift });
  }

  /** The head knows what lies in tiers. */
  checkTiers(): void {
    this.hear();
    for (const { rank, tiers } of this.scheduler.load.ranks) {
      const told = tiers.map(({ tier, numBlocks, numBytes }) => ({ tier, numBlocks, numBytes }));
      expect(told).to.deep.equal(this.tiers[rank]!.use);
    }
  }

  private check(plan: ScheduledPlan, rank: number): void {
    const { maxNumBatchedTokens, maxNumSeqs, maxToldBytes, numKvBlocks } = this.options;
    const cache = this.caches[rank] ?? null;
    expect(plan).to.include({ step: this.lastStep, epoch: this.epoch });
    if (cache === null) {
      expect(plan).to.deep.include({ begin: [], parts: [] });
      return;
    }
    const numTokens = plan.parts.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
    expect(numTokens, 'token budget').to.be.at.most(maxNumBatchedTokens);
    const order = plan.parts.map(({ isPrompt }) => Number(isPrompt));
    expect(order, 'generated tokens first').to.deep.equal([...order].sort());
    const sequences = plan.parts.map(({ sequence }) => sequence);
    expect(new Set(sequences).size, 'one part per sequence').to.equal(sequences.length);
    for (const { sequence, tokenIds } of plan.begin) this.checkShared(sequence, tokenIds);
    const first = plan.parts.filter(({ position, sequence }) => {
      const start = plan.begin.find((each) => each.sequence === sequence);
      return start === undefined ? position === 0 : position === start.tokenIds.length;
    });
    expect(plan.begin.map(({ sequence }) => sequence).sort(), 'begin comes with the first part').to.deep.equal(
      first.map(({ sequence }) => sequence).sort(),
    );
    for (const part of plan.parts) this.checkPart(part);
    const known = { ...plan, parts: plan.parts.map((part) => ({ ...part, tokenIds: this.idsOf(part) })) };
    cache.run(known, this.arrived);
    for (const part of plan.parts) {
      const end = endOf(part);
      const held = cache.tokens(part.sequence, end).join();
      expect(held, 'the cache holds the sequence').to.equal(this.tokens(part.sequence, 0, end).join());
    }
    const logits = plan.parts.filter(
      ({ sequence, isReplay }) => this.requests.get(sequence)!.wants.logits && !isReplay,
    );
    expect(logits.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0)).to.be.at.most(maxToldBytes);
    expect(cache.sequences.length, 'sequences of a rank').to.be.at.most(maxNumSeqs);
    expect(cache.heldBlocks.every((block) => block >= 0 && block < numKvBlocks)).to.equal(true);
  }

  private checkShared(sequence: number, tokenIds: readonly number[]): void {
    if (tokenIds.length === 0) return;
    const { promptTokenIds, wants } = this.requests.get(sequence)!;
    const numCommitted = this.numCommitted.get(sequence)!;
    const isAgain = tokenIds.length <= numCommitted;
    if (!isAgain) expect(wants, 'nothing more is wanted of them').to.include({ logits: false, promptLogprobs: null });
    if (!isAgain) expect(tokenIds.length, 'the last prompt token is computed').to.be.below(promptTokenIds.length);
    expect(tokenIds).to.deep.equal(this.tokens(sequence, 0, tokenIds.length));
  }

  /** Of prompt and output. */
  private tokens(sequence: number, start: number, end: number): number[] {
    const { promptTokenIds } = this.requests.get(sequence)!;
    return Array.from(
      { length: end - start },
      (_, i) => promptTokenIds[start + i] ?? sampledToken(sequence, start + i),
    );
  }

  /** As the rank knows them. */
  private idsOf({ sequence, position, tokenIds }: PlanPart): readonly number[] {
    if (tokenIds[0] !== SAMPLED) return tokenIds;
    expect(this.inFlight, 'only what a step samples that runs is unknown').not.to.have.length(0);
    return [sampledToken(sequence, position)];
  }

  private checkPart(part: PlanPart): void {
    const { promptTokenIds, maxNewTokens } = this.requests.get(part.sequence)!;
    const end = endOf(part);
    expect(end).to.be.above(part.position);
    const numCommitted = this.numCommitted.get(part.sequence)!;
    expect(part.isReplay, 'a replay is what was committed').to.equal(part.position < numCommitted);
    expect(this.idsOf(part)).to.deep.equal(this.tokens(part.sequence, part.position, end));
    const isPrompt = part.position < promptTokenIds.length;
    expect(part.isPrompt).to.equal(isPrompt);
    if (isPrompt) expect(end, 'no generated token among prompt tokens').to.be.at.most(promptTokenIds.length);
    if (part.isReplay) {
      expect(end).to.be.at.most(numCommitted);
      expect(part).to.include({ sample: false, nextPromptToken: null });
      return;
    }
    if (!isPrompt) expect(part.tokenIds, 'one generated token at a time').to.have.length(1);
    expect(part.sample).to.equal(end >= promptTokenIds.length && maxNewTokens > 0);
    expect(part.nextPromptToken).to.equal(promptTokenIds[end] ?? null);
  }

  private commit(
    planned: ScheduledPlan,
    rank: number,
    lacksExpert: (sequence: number, position: number) => boolean,
  ): void {
    const { plan } = this.scheduler.settle(planned, planned.parts);
    for (const part of plan.parts) {
      const { sequence, position } = part;
      expect(part.tokenIds, 'every token has its id').to.deep.equal(this.tokens(sequence, position, endOf(part)));
    }
    const degradedOf = ({ sequence, position, tokenIds }: PlanPart): number[] =>
      tokenIds.map((_, i) => position + i).filter((each) => lacksExpert(sequence, each));
    const outputs = outputsOf(plan).map((output, i) => ({ ...output, degraded: degradedOf(plan.parts[i]!) }));
    for (const part of plan.parts) {
      for (const position of degradedOf(part)) this.caches[rank]!.degrade(part.sequence, position);
    }
    this.scheduler.commit(plan, outputs);
    for (const part of plan.parts) {
      const { promptTokenIds, maxNewTokens } = this.requests.get(part.sequence)!;
      const numCommitted = Math.max(this.numCommitted.get(part.sequence)!, endOf(part));
      this.numCommitted.set(part.sequence, numCommitted);
      const numNew = numCommitted - promptTokenIds.length + 1;
      if (part.isReplay || numNew < Math.max(maxNewTokens, 1)) continue;
      this.finished.push(part.sequence);
      this.cancel(part.sequence);
    }
  }
}
