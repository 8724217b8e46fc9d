/**
 * What an engine has to do with blocks of others: it lends its own, borrows those of other instances, has ranks bring them, and measures what that takes beside
 * computing. Why: docs/decisions/kv_store.md#a-block-is-found-by-its-key-wherever-it-lies
 */
import type { HandoverRunner } from '../../job/step_runner.js';
import { EngineError } from '../../protocol/errors.js';
import type { BlockHolder } from '../../protocol/kv_loan.js';
import { HeldLoan } from '../kv/held_loan.js';
import { readsOf, type BlockNumbers, type KvCosts, type StepWork } from '../kv/kv_costs.js';
import { Lending, type LendableBlocks } from '../kv/lending.js';
import type { PoolCounter } from '../kv/pool_counts.js';
import { ToldOnce } from '../kv/told_once.js';
import type { ObservedStep, StepObserver } from '../observing/step_observer.js';
import { Fetches } from './fetches.js';
import { firstLoan } from './first_loan.js';
import { Pulls } from './pulls.js';

/** What a pool is made of. */
export interface BlockPoolParts {
  readonly job: Pick<HandoverRunner, 'handover' | 'kvDoorOf' | 'watchPulls'>;
  readonly blocks: LendableBlocks & { numHeld(keys: readonly string[]): number };
  readonly costs: KvCosts;
  readonly counts: PoolCounter;
  /** How long a loan lasts without a sign of life. */
  readonly leaseMs: number;
  /** How long so many blocks may take. */
  readonly loadMs: (blocks: BlockNumbers) => number;
  /** Told why blocks of others don't come. Default: nobody is. */
  readonly onNotice: ((line: string) => void) | undefined;
}

/** Signs of life that fit into the silence that ends a loan. */
const RENEWALS_PER_LEASE = 3;

/** One per engine. */
export class BlockPool implements StepObserver {
  readonly pulls: Pulls;
  readonly lending: Lending;
  readonly fetches: Fetches;
  private readonly ended = new AbortController();

  constructor(private readonly parts: BlockPoolParts) {
    const { job, blocks, costs, counts, leaseMs, loadMs, onNotice } = parts;
    this.pulls = new Pulls(job);
    this.lending = new Lending({ blocks, ranks: job, timeoutMs: leaseMs, counts });
    const onBrought: KvCosts['brought'] = (numbers, ms) => costs.brought(numbers, ms);
    const trouble = new ToldOnce(onNotice);
    this.fetches = new Fetches({ pulls: this.pulls, lending: this.lending, counts, onBrought, loadMs, trouble });
  }

  /**
   * What the first of these lends that has more of the beginning of a request than ranks here. Null: none has, or can be asked.
   * @throws EngineError CLOSED: its caller gave it up; what ended the engine
   */
  async borrow(
    holders: readonly BlockHolder[],
    keys: readonly string[],
    caller?: AbortSignal,
  ): Promise<HeldLoan | null> {
    const { blocks, leaseMs } = this.parts;
    const ended = this.ended.signal;
    const signal = caller === undefined ? ended : AbortSignal.any([caller, ended]);
    const loan = await firstLoan(holders, keys, () => blocks.numHeld(keys), signal);
    if (loan !== null && !signal.aborted) return new HeldLoan(loan, leaseMs / RENEWALS_PER_LEASE);
    loan?.close();
    ended.throwIfAborted();
    if (signal.aborted) throw new EngineError('CLOSED', 'the request was cancelled by its caller');
    return null;
  }

  /** What a step took is what computing costs. */
  observe({ plans, stepMs }: Pick<ObservedStep, 'plans' | 'stepMs'>): void {
    const works = plans.map(({ parts }): StepWork => {
      const numTokens = parts.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
      const numReads = parts.reduce((sum, { position, tokenIds }) => sum + readsOf(position, tokenIds.length), 0);
      return { numTokens, numReads };
    });
    const most = works.reduce((a, b) => (b.numTokens > a.numTokens ? b : a));
    this.parts.costs.computed(most, stepMs);
  }

  /** Nothing is lent or borrowed any more. */
  fail(error: Error): void {
    this.ended.abort(error);
    this.lending.close();
  }
}
