/** A task in hand. */
import { errors } from '@nats-io/transport-node';
import type { Delivery } from '../base/job_bus.js';
import { JobError } from '../base/errors.js';
import type { Task } from '../base/task.js';
import type { NatsCalls } from './nats_calls.js';
import type { HeldMessage } from './nats_messages.js';

/** Before a task comes again whose handler failed: doubled each time. */
const BACKOFF_MS = 50;
const MAX_BACKOFF_MS = 5000;
/** Acknowledgements without an answer. */
const MAX_UNANSWERED = 3;

/** Keeps a task apart. */
export type Bury = (delivery: Delivery, reason: string) => Promise<void>;

/** As {@link Delivery}; the server hears that it is worked on until one of the verbs got through. */
export class NatsDelivery implements Delivery {
  private readonly timer: NodeJS.Timeout;
  private isSettled = false;

  constructor(
    private readonly calls: NatsCalls,
    private readonly message: HeldMessage,
    readonly task: Task,
    private readonly bury: Bury,
    silenceMs: number,
  ) {
    this.timer = setInterval(() => message.working(), Math.floor(silenceMs / 4)).unref();
  }

  get deliveries(): number {
    return this.message.deliveries;
  }

  /** As {@link Delivery.done}. */
  done(): Promise<void> {
    return this.settle(() => this.acknowledge());
  }

  /** As {@link Delivery.again}. */
  again(delayMs: number): Promise<void> {
    return this.settle(() =>
      this.calls.call(this.name, () => {
        this.message.again(delayMs);
        return this.calls.nats.flush();
      }),
    );
  }

  /** As {@link Delivery.dead}. */
  dead(reason: string): Promise<void> {
    return this.settle(async () => {
      await this.bury(this, reason);
      await this.acknowledge();
    });
  }

  /** Its handler is over: where it said nothing, or failed, the task comes again. */
  end(): void {
    if (!this.isSettled) this.message.again(Math.min(BACKOFF_MS * 2 ** (this.deliveries - 1), MAX_BACKOFF_MS));
    this.close();
  }

  /** Nothing is said of it any more. */
  close(): void {
    this.isSettled = true;
    clearInterval(this.timer);
  }

  private get name(): string {
    const { run, node, index } = this.task.key;
    return `the end of task ${run} ${node} ${index}`;
  }

  /**
   * A server that was killed may have lost that it had delivered it, and then answers nothing: it delivers it again, to whoever looks at the shard's record first. So the answer is waited for, but
   * not for ever.
   */
  private acknowledge(): Promise<void> {
    let numUnanswered = 0;
    return this.calls.call(this.name, async () => {
      try {
        await this.message.done();
      } catch (error) {
        if (!(error instanceof errors.TimeoutError) || ++numUnanswered < MAX_UNANSWERED) throw error;
      }
    });
  }

  private async settle(act: () => Promise<void>): Promise<void> {
    this.calls.checkOpen();
    if (this.isSettled) throw new JobError('CLOSED', `${this.name} was told before; tell it once`);
    this.isSettled = true;
    try {
      await act();
    } finally {
      this.close();
    }
  }
}
