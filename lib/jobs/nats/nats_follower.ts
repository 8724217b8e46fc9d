/** Messages of a stream as they come: those that are there, that these were all, and what comes behind. */
import { DeliverPolicy, JetStreamApiCodes, JetStreamApiError, type JsMsg, type PushConsumer } from '@nats-io/jetstream';
import { setTimeout as delay } from 'node:timers/promises';
import { JobError } from '../base/errors.js';
import type { NatsCalls } from './nats_calls.js';

/** After a stream that couldn't be read. */
const RETRY_MS = 500;
/** What is there may go before it is told: then the server is asked whether something is left. */
const CHECK_MS = 300;
const CHECKS_WHEN_READY = 10;

/** Which messages. */
export interface Followed {
  readonly stream: string;
  readonly subjects: readonly string[];
  /** `last`: the last one of each subject, and all of them anew whenever the bus was down; `all`: every one once. */
  readonly from: 'last' | 'all';
}

/** Who is told. What it throws ends the process: it is a bug. */
export interface FollowListener {
  readonly hear: (message: JsMsg) => void;
  readonly ready: () => void;
  /** All is told anew from here. */
  readonly begin?: () => void;
  /** It can't be read, and isn't tried any more. Default: it is tried again for ever. */
  readonly failed?: (error: JobError) => void;
}

/** Goes on until it is stopped, or the bus is closed. */
export class NatsFollower {
  private readonly unwatch: () => void;
  /** Of the reading that is in force. */
  private epoch = 0;
  private stopReading: () => void = () => undefined;
  /** The last message's; 0: none came. */
  private sequence = 0;
  private isOver = false;

  constructor(
    private readonly calls: NatsCalls,
    private readonly followed: Followed,
    private readonly listener: FollowListener,
  ) {
    this.unwatch = calls.link.watch({ up: () => this.open(), down: () => undefined, refused: () => undefined });
    calls.ended.addEventListener('abort', this.stop);
    this.open();
  }

  /** Nothing is told any more. Idempotent. */
  readonly stop = (): void => {
    this.isOver = true;
    this.unwatch();
    this.stopReading();
    this.calls.ended.removeEventListener('abort', this.stop);
  };

  private open(): void {
    const epoch = ++this.epoch;
    this.stopReading();
    void this.read(epoch).catch((error: unknown) => this.fail(epoch, error));
  }

  /** It is read again, unless somebody wants to know that it can't be. */
  private async fail(epoch: number, error: unknown): Promise<void> {
    const { failed } = this.listener;
    if (failed !== undefined && error instanceof JobError) {
      if (this.isCurrent(epoch)) failed(error);
      return;
    }
    await delay(RETRY_MS, undefined, { ref: false });
    if (this.isCurrent(epoch) && this.calls.link.isUp) this.open();
  }

  private isCurrent(epoch: number): boolean {
    return !this.isOver && epoch === this.epoch;
  }

  private async read(epoch: number): Promise<void> {
    const { stream, subjects, from } = this.followed;
    const start =
      from === 'last' ? { deliver_policy: DeliverPolicy.LastPerSubject } : { opt_start_seq: this.sequence + 1 };
    const filter = subjects.length === 1 ? subjects[0]! : [...subjects];
    const consumer = await this.calls.call(`the reading of ${stream}`, () =>
      this.calls.js.consumers.getPushConsumer(stream, { filter_subjects: filter, ...start }),
    );
    const numThere = (await consumer.info(true)).num_pending;
    if (!this.isCurrent(epoch)) {
      this.forget(consumer);
      return;
    }
    this.listener.begin?.();
    const reading = new Reading(numThere, this.listener.ready);
    const messages = await consumer.consume({
      callback: (message) => {
        if (!this.isCurrent(epoch)) return;
        this.sequence = message.seq;
        told(() => this.listener.hear(message));
        reading.heard(message.info.pending);
      },
    });
    const checking = setInterval(() => void this.check(epoch, reading, consumer), CHECK_MS).unref();
    this.stopReading = () => {
      clearInterval(checking);
      messages.stop();
      this.forget(consumer);
    };
    if (!this.isCurrent(epoch)) {
      this.stopReading();
      return;
    }
    void messages.closed().then(() => {
      clearInterval(checking);
      if (this.isCurrent(epoch) && this.calls.link.isUp) this.open();
    });
  }

  private async check(epoch: number, reading: Reading, consumer: PushConsumer): Promise<void> {
    if (!this.calls.link.isUp || !reading.isCheckDue()) return;
    try {
      const info = await consumer.info();
      if (info.num_pending === 0 && info.delivered.consumer_seq <= reading.numHeard) reading.end();
    } catch (error) {
      // It was in the memory of a server of several, which is gone.
      if (isGone(error) && this.isCurrent(epoch)) this.open();
    }
  }

  /** The server forgets it by itself, later. */
  private forget(consumer: PushConsumer): void {
    if (this.calls.link.isUp) void consumer.delete().catch(() => undefined);
  }
}

/** Knows when all that were there are told. */
class Reading {
  numHeard = 0;
  isReady = false;
  private numChecks = 0;

  constructor(
    private readonly numThere: number,
    private readonly ready: () => void,
  ) {
    if (numThere === 0) this.end();
  }

  /** Often until all is told, now and then afterwards. */
  isCheckDue(): boolean {
    this.numChecks++;
    return !this.isReady || this.numChecks % CHECKS_WHEN_READY === 0;
  }

  heard(numPending: number): void {
    this.numHeard++;
    if (this.numHeard >= this.numThere || numPending === 0) this.end();
  }

  end(): void {
    if (this.isReady) return;
    this.isReady = true;
    told(this.ready);
  }
}

/** NATS' client would log it and read nothing any more. */
function told(act: () => void): void {
  try {
    act();
  } catch (bug) {
    queueMicrotask(() => {
      throw bug;
    });
  }
}

const isGone = (error: unknown): boolean =>
  error instanceof JetStreamApiError && error.code === JetStreamApiCodes.ConsumerNotFound;
