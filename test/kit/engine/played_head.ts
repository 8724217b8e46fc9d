/**
 * Requests over ranks that are played: steps are made by hand, and every order is checked. A rank lets others read blocks that a sequence holds alone, and its doors are
 * shut before what is behind them is freed.
 */
import { NO_FETCHES } from './no_fetches.js';
import { expect } from 'chai';
import type { LeaseOrder, HandoverOrder } from '../../../lib/protocol/handover.js';
import { EngineError } from '../../../lib/protocol/errors.js';
import type { FreeOrder, PlanPart, SequenceOutput, StepPlan, StepResult } from '../../../lib/protocol/step_plan.js';
import type { Offer } from '../../../lib/head/handover/offer.js';
import { Requests } from '../../../lib/head/requests.js';
import type { SequenceEnd } from '../../../lib/head/observing/request_news.js';
import type { Sequence } from '../../../lib/head/sequence.js';
import {
  Scheduler,
  type ScheduledPlan,
  type SchedulerOptions,
  type SequenceRequest,
} from '../../../lib/head/scheduling/scheduler.js';
import { epochOf } from './epochs.js';
import { outputsOf } from './scheduling.js';

export const LEASE_MS = 1000;

/** What becomes of one request. */
export class Taken implements Sequence {
  readonly tokenIds: number[];
  end: SequenceEnd | 'failed' | null = null;
  /** May be set: its caller takes no token before. */
  ready: Promise<void> | null = null;

  constructor(private readonly request: SequenceRequest) {
    this.tokenIds = [...(request.outputTokenIds ?? [])];
  }

  take(part: PlanPart, output: SequenceOutput): SequenceEnd | null | Promise<SequenceEnd | null> {
    return this.ready === null ? this.taken(part, output) : this.ready.then(() => this.taken(part, output));
  }

  private taken(part: PlanPart, { tokenId }: SequenceOutput): SequenceEnd | null {
    if (tokenId !== null) this.tokenIds.push(tokenId);
    const isLast = part.nextPromptToken === null && this.tokenIds.length >= this.request.maxNewTokens;
    this.end = isLast ? 'length' : null;
    return this.end;
  }

  move(): void {
    this.end = 'moved';
  }

  fail(): void {
    this.end = 'failed';
  }
}

/** A door that a rank opened. */
interface OpenDoor {
  readonly rank: number;
  readonly lease: LeaseOrder;
}

/** Time that passes when it is told to. */
class PlayedTimers {
  private nowMs = 0;
  private timers: { readonly at: number; then(): void }[] = [];

  readonly after = (ms: number, then: () => void): (() => void) => {
    const timer = { at: this.nowMs + ms, then };
    this.timers.push(timer);
    return () => void (this.timers = this.timers.filter((each) => each !== timer));
  };

  get size(): number {
    return this.timers.length;
  }

  pass(ms: number): void {
    const end = this.nowMs + ms;
    for (;;) {
      const [next] = this.timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.nowMs = next.at;
      this.timers = this.timers.filter((each) => each !== next);
      next.then();
    }
    this.nowMs = end;
  }
}

export class PlayedHead {
  readonly scheduler: Scheduler;
  readonly requests: Requests;
  readonly timers = new PlayedTimers();
  /** Orders about leases, as 'lease 2 on 0: 5 tokens'. */
  readonly story: string[] = [];
  /** By lease. */
  readonly doors = new Map<string, OpenDoor>();
  readonly taken = new Map<number, Taken>();
  /** Something may be to compute: the loop would begin, where it doesn't run. A test sets it back. */
  isWoken = false;
  private readonly givingUp = new Map<number, () => void>();
  private readonly givenUp = new Set<number>();
  private present: ReadonlySet<number>;
  private leaving: ReadonlySet<number> = new Set();
  private epoch = 0;
  private readonly inFlight: (readonly ScheduledPlan[])[] = [];

  /** `numAhead`: steps that are planned while one runs. */
  constructor(
    private readonly options: SchedulerOptions,
    private readonly numAhead = 0,
  ) {
    this.present = new Set(Array(options.numRanks).keys());
    this.scheduler = new Scheduler(options);
    this.requests = new Requests({
      ...{ scheduler: this.scheduler, blockSize: options.blockSize, timeoutMs: LEASE_MS, after: this.timers.after },
      fetches: NO_FETCHES,
      loadMs: () => 1000,
      onWork: () => void (this.isWoken = true),
      job: {
        store: () => false,
        free: (rank, order) => this.free(rank, order),
        handover: (rank, order) => this.handover(rank, order),
        kvDoorOf: (rank) => (this.present.has(rank) ? { host: 'door', port: rank } : null),
      },
    });
  }

  /** `pauseAfter`: see RequestExtras. */
  add(request: SequenceRequest, pauseAfter: number | null = null): Taken {
    const { sequence } = request;
    const taken = new Taken(request);
    const extras = { id: idOf(sequence), isMovable: true, pauseAfter };
    this.givingUp.set(sequence, this.requests.add(request, taken, undefined, extras));
    this.taken.set(sequence, taken);
    return taken;
  }

  offer(sequence: number, pauseAfter?: number): Offer {
    return this.requests.offer(idOf(sequence), pauseAfter === undefined ? {} : { pauseAfter });
  }

  giveUp(sequence: number): void {
    this.givingUp.get(sequence)?.();
    this.givenUp.add(sequence);
  }

  isGivenUp(sequence: number): boolean {
    return this.givenUp.has(sequence);
  }

  /** One step begins; false: there is nothing to compute. */
  begin(): boolean {
    const paused = [...this.taken.keys()].filter((each) => this.scheduler.standingOf(each)?.isPaused === true);
    const plans = this.requests.next({ isNeeded: false });
    this.requests.told();
    if (plans === null) return false;
    this.checkPaused();
    for (const { sequence } of plans.flatMap(({ parts }) => parts)) {
      expect(paused, 'no step computes what is paused').not.to.include(sequence);
    }
    this.inFlight.push(plans);
    return true;
  }

  /** The first step that runs ends well. */
  async end(): Promise<void> {
    const scheduled = this.inFlight.shift();
    if (scheduled === undefined) return;
    const plans = scheduled.map((plan): StepPlan => ({ ...plan, placementVersion: 0 }));
    const results = plans.map((plan, rank) => (this.present.has(rank) ? resultOf(plan) : null));
    await this.requests.commit(this.requests.settle(plans, results));
  }

  /** As the loop does; false when there was nothing to compute. */
  async step(): Promise<boolean> {
    this.retire();
    while (this.inFlight.length <= (this.requests.isMoving ? 0 : this.numAhead)) if (!this.begin()) break;
    const isBusy = this.inFlight.length > 0;
    await this.end();
    return isBusy;
  }

  /** What runs counts for nobody. */
  lose(rank: number): void {
    if (!this.present.has(rank)) return;
    const hasAbandoned = this.inFlight.length > 0;
    this.inFlight.length = 0;
    this.present = new Set([...this.present].filter((each) => each !== rank));
    for (const [id, door] of this.doors) if (door.rank === rank) this.doors.delete(id);
    const error = new EngineError('RANK_LOST', `rank ${rank} is gone; nothing helps`, { rank });
    this.enter({ lost: [{ rank, error }], abandonedStep: hasAbandoned ? 1 : null });
  }

  /** Between two steps. */
  async change(rank: number, kind: 'joins' | 'leaves'): Promise<void> {
    while (this.inFlight.length > 0) await this.end();
    if (kind === 'joins') this.present = new Set([...this.present, rank]);
    else if (this.present.has(rank)) this.leaving = new Set([...this.leaving, rank]);
    this.enter({});
  }

  get numUsedBlocks(): number {
    return this.scheduler.load.ranks.reduce((sum, { numUsedBlocks }) => sum + numUsedBlocks, 0);
  }

  private retire(): void {
    const drained = [...this.leaving].filter((rank) => this.scheduler.isDrained(rank));
    if (drained.length === 0 || this.inFlight.length > 0) return;
    for (const { rank } of this.doors.values()) expect(drained, 'no door on a rank that goes').not.to.include(rank);
    this.present = new Set([...this.present].filter((rank) => !drained.includes(rank)));
    this.enter({});
  }

  private enter(what: Pick<Partial<Parameters<Requests['enter']>[0]>, 'lost' | 'abandonedStep'>): void {
    this.leaving = new Set([...this.leaving].filter((rank) => this.present.has(rank)));
    const change = epochOf(this.present, { epoch: ++this.epoch, ...what });
    this.requests.enter({ ...change, members: { ...change.members, leaving: this.leaving } });
  }

  /** Ranks know all that is there of what is paused. */
  private checkPaused(): void {
    for (const { lease } of this.doors.values()) {
      const { run, isPaused } = this.scheduler.standingOf(lease.sequence)!;
      if (isPaused) expect(lease.numTokens, 'all of it can be read').to.equal(run!.numComputed);
    }
  }

  private handover(rank: number, order: HandoverOrder): boolean {
    if (!this.present.has(rank)) return false;
    if (order.kind === 'release') {
      const door = this.doors.get(order.lease);
      expect(door?.rank, 'a door that is shut was open there').to.equal(rank);
      this.doors.delete(order.lease);
      this.story.push(`release ${door!.lease.sequence} on ${rank}`);
    } else if (order.kind === 'lease') {
      const { id, token, sequence, blocks, numTokens } = order.lease;
      expect([id, token].map(({ length }) => length)).to.deep.equal([32, 64]);
      expect(this.doors.get(id)?.rank ?? rank, 'one door for a lease').to.equal(rank);
      expect(blocks).to.have.length(Math.ceil(numTokens / this.options.blockSize));
      const { run } = this.scheduler.standingOf(sequence)!;
      expect(run!.blocks.slice(0, blocks.length), 'what is read is held').to.deep.equal(blocks);
      this.doors.set(id, { rank, lease: order.lease });
      this.story.push(`lease ${sequence} on ${rank}: ${numTokens} tokens`);
    } else throw new Error(`nobody orders ${order.kind} here`);
    return true;
  }

  private free(rank: number, { blocks, sequences }: FreeOrder): void {
    for (const door of this.doors.values()) {
      if (door.rank !== rank) continue;
      expect(sequences, 'a door is shut before its sequence is freed').not.to.include(door.lease.sequence);
      const { run } = this.scheduler.standingOf(door.lease.sequence)!;
      const numRead = Math.ceil(run!.numComputed / this.options.blockSize);
      const read = run!.blocks.slice(0, numRead);
      for (const block of read) expect(blocks, 'a door is shut before its blocks are freed').not.to.include(block);
    }
  }
}

const idOf = (sequence: number): string => `request ${sequence}`;

const resultOf = (plan: StepPlan): StepResult => ({
  ...{ step: plan.step, outputs: outputsOf(plan), load: [], rankLoad: [] },
  ...{ phasesMs: {} as StepResult['phasesMs'], stats: {} as StepResult['stats'] },
});
