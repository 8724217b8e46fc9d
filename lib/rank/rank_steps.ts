/** What a rank does when the head speaks: runs steps in the order in which they come, moves experts and takes some over, forgets blocks and sequences, enters epochs. */
import { CommError, remoteErrorOf } from '../../comm/base/errors.js';
import type { RankJob } from '../protocol/rank_job.js';
import type { RankExecutor } from './rank_executor.js';
import type { RankStore } from './store/rank_store.js';
import type { StoreOrder } from '../protocol/kv_store.js';
import type { FreeOrder, RankToHead, StepOrder, StepPlan } from '../protocol/step_plan.js';

/** What a rank's steps run on, and who hears of them. */
export interface RankStepsOptions {
  readonly rank: number;
  readonly executor: Pick<RankExecutor, 'run' | 'free' | 'move' | 'gather' | 'enterEpoch'>;
  /** Other than 'fail': a step that fails because of a peer leaves this rank waiting for the head's next word. */
  readonly onPeerLoss: RankJob['onPeerLoss'];
  /** Keeps blocks that the cache forgets; null: nobody does. */
  readonly store: Pick<RankStore, 'keep' | 'obey'> | null;
  readonly tell: (message: RankToHead) => void;
  /** This rank can't go on. */
  readonly onFailed: (error: unknown) => void;
}

/** One order after another, in the order in which they came. */
export class RankSteps {
  private last = Promise.resolve();
  private lastFree = Promise.resolve();
  /** Aborted when the head declares an epoch, and replaced. */
  private abandoned = new AbortController();
  /** Of the epoch in which a step failed: what is queued behind that step is not run. */
  private failed: AbortSignal | null = null;
  /** Orders to free that came, and those that are obeyed. */
  private readonly frees = { numTaken: 0, numObeyed: 0 };
  /** Orders about tiers, each with how many orders to free came before it. */
  private storeOrders: { readonly order: StoreOrder; readonly behind: number }[] = [];

  constructor(private readonly options: RankStepsOptions) {}

  /** Takes a message; what it asks for is done after all earlier ones, but a new epoch ends the step that runs at once. */
  take(message: StepOrder): void {
    if (message.kind === 'epoch') {
      this.abandoned.abort(new CommError('ABORTED', `the head declared epoch ${message.epoch}; the step runs again`));
      this.abandoned = new AbortController();
    }
    if (message.kind === 'store') {
      this.storeOrders.push({ order: message.order, behind: this.frees.numTaken });
      this.obeyStoreOrders();
      return;
    }
    if (message.kind === 'free') this.frees.numTaken++;
    const { signal } = this.abandoned;
    this.last = this.last.then(() => this.obey(message, signal)).catch(this.options.onFailed);
    if (message.kind === 'free') this.lastFree = this.last;
  }

  /** Resolves when everything is forgotten that was ordered to be so far. */
  get freed(): Promise<void> {
    return this.lastFree;
  }

  /** Nobody gives orders for a while: the step that runs is abandoned with those behind it. Resolves when everything else that was ordered is done. */
  async pause(): Promise<void> {
    this.abandoned.abort(new CommError('ABORTED', 'the head is gone; what it wanted of this step, another one will'));
    this.abandoned = new AbortController();
    await this.last;
  }

  /** Those whose turn has come: what was to be freed before them is, and nothing that is to be freed later. */
  private obeyStoreOrders(): void {
    const { frees, storeOrders } = this;
    const isDue = ({ behind }: { readonly behind: number }): boolean => behind <= frees.numObeyed;
    this.storeOrders = storeOrders.filter((each) => !isDue(each));
    for (const each of storeOrders) if (isDue(each)) this.options.store?.obey(each.order);
  }

  private free(order: FreeOrder): void {
    this.options.store?.keep(order.keep ?? []);
    this.options.executor.free(order);
    this.frees.numObeyed++;
    this.obeyStoreOrders();
  }

  private async obey(message: Exclude<StepOrder, { readonly kind: 'store' }>, signal: AbortSignal): Promise<void> {
    const { executor, tell } = this.options;
    switch (message.kind) {
      case 'free':
        this.free(message);
        return;
      case 'move':
        executor.move(message.move);
        return;
      case 'gather':
        if (!signal.aborted)
          await executor.gather(message.version, signal, (report) => tell({ kind: 'gathered', ...report }));
        return;
      case 'epoch':
        executor.enterEpoch(message);
        tell({ kind: 'entered', epoch: message.epoch });
        return;
      case 'step':
        await this.run(message.plan, signal);
    }
  }

  private async run(plan: StepPlan, signal: AbortSignal): Promise<void> {
    const { rank, executor, onPeerLoss, tell } = this.options;
    const isAbandoned = (): boolean => signal.aborted;
    if (isAbandoned() || this.failed === signal) return; // before it began
    try {
      tell({ kind: 'result', result: await executor.run(plan, signal) });
    } catch (error) {
      this.failed = signal;
      if (onPeerLoss === 'fail' || !(error instanceof CommError)) throw error;
      if (isAbandoned()) return;
      if (!error.blames.some((blamed) => blamed !== rank)) throw error;
      tell({ kind: 'stuck', epoch: plan.epoch, error: remoteErrorOf(error) });
    }
  }
}
