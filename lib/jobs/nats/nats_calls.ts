/** Calls of NATS that wait for a bus that is down, so long as it is patient. */
import { jetstream, JetStreamApiError, type JetStreamClient, type JetStreamManager } from '@nats-io/jetstream';
import { errors, type NatsConnection } from '@nats-io/transport-node';
import { setTimeout as delay } from 'node:timers/promises';
import { causeText } from '../../../base/foreign_text.js';
import type { NatsLink } from '../../cluster/bus/nats/nats_link.js';
import { JobError } from '../base/errors.js';

/** Between two tries while the connection is there. */
const RETRY_MS = 250;
/** JetStream's: who would answer isn't there now. */
const UNAVAILABLE = 503;
/** No space: for who makes it. */
const NO_SPACE: ReadonlySet<number> = new Set([10_023, 10_028, 10_047, 10_077]);

/** One connection, and what is called on it. */
export class NatsCalls {
  readonly js: JetStreamClient;
  private readonly ending = new AbortController();

  constructor(
    readonly link: NatsLink,
    readonly manager: JetStreamManager,
    private readonly patienceMs: number,
  ) {
    this.js = jetstream(link.connection);
  }

  /** What is under it. */
  get nats(): NatsConnection {
    return this.link.connection;
  }

  /** Aborted when nothing is called any more. */
  get ended(): AbortSignal {
    return this.ending.signal;
  }

  /** What was under way rejects. */
  end(): void {
    this.ending.abort();
  }

  /** @throws JobError CLOSED */
  checkOpen(): void {
    if (this.ended.aborted) throw new JobError('CLOSED', 'the bus of jobs was closed; open another');
  }

  /**
   * Acts, and acts again where the bus couldn't be reached: then what was asked for before may be done already, which `isRepeated` says.
   * @throws JobError BUS_FAILED, CLOSED, or what `act` throws of JobErrors
   */
  async call<T>(what: string, act: (isRepeated: boolean) => Promise<T>): Promise<T> {
    const deadline = performance.now() + this.patienceMs;
    for (let isRepeated = false; ;) {
      this.checkOpen();
      try {
        if (this.link.isUp) return await this.unlessDown(() => act(isRepeated));
      } catch (error) {
        isRepeated = true;
        this.refuse(what, error, deadline);
      }
      if (performance.now() > deadline) throw this.failed(what, null);
      await this.pause(deadline);
    }
  }

  /**
   * What is there, read by what `begin` begins and returns, which says when that was all, or that it can't be read.
   * @throws JobError BUS_FAILED, CLOSED
   */
  async whole(
    begin: (ready: () => void, failed: (error: Error) => void) => { readonly stop: () => void },
  ): Promise<void> {
    let reading: { readonly stop: () => void } | null = null;
    let closed = (): void => undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        closed = () => reject(new JobError('CLOSED', 'the bus of jobs was closed; open another'));
        this.ended.addEventListener('abort', closed, { once: true });
        reading = begin(resolve, reject);
      });
    } finally {
      this.ended.removeEventListener('abort', closed);
      (reading as { readonly stop: () => void } | null)?.stop();
    }
  }

  /** NATS' client lets who asked wait for an answer that a broken connection doesn't bring any more. */
  private async unlessDown<T>(act: () => Promise<T>): Promise<T> {
    let stop = (): void => undefined;
    const down = new Promise<never>((_resolve, reject) => {
      const fail = (reason: string): void => reject(new errors.ConnectionError(reason));
      stop = this.link.watch({ up: () => undefined, down: fail, refused: () => undefined });
    });
    try {
      return await Promise.race([act(), down]);
    } finally {
      stop();
    }
  }

  /** Until the connection is there again, or a little while where it is. */
  private async pause(deadline: number): Promise<void> {
    const waiting = new AbortController();
    const stop = this.link.watch({ up: () => waiting.abort(), down: () => undefined, refused: () => undefined });
    const leftMs = Math.max(deadline - performance.now(), 0);
    const signal = AbortSignal.any([waiting.signal, this.ended]);
    await delay(this.link.isUp ? RETRY_MS : leftMs + 1, undefined, { signal }).catch(() => undefined);
    stop();
  }

  /** Returns where it is worth another try. */
  private refuse(what: string, error: unknown, deadline: number): void {
    this.checkOpen();
    if (error instanceof JobError) throw error;
    if (!isPassing(error) || performance.now() > deadline) throw this.failed(what, error);
  }

  private failed(what: string, cause: unknown): JobError {
    const { server } = this.link;
    if (cause instanceof JetStreamApiError && NO_SPACE.has(cause.code)) {
      const text = `NATS at ${server} has no space for ${what} (${causeText(cause)}); make space there, or raise its limits`;
      return new JobError('BUS_FAILED', text, { cause });
    }
    const why = cause === null ? 'the connection is gone' : causeText(cause);
    const text = `NATS at ${server} didn't take ${what} (${why}); see that it runs, and what its user may do`;
    return new JobError('BUS_FAILED', text, { cause });
  }
}

/** It may go well later. */
function isPassing(error: unknown): boolean {
  if (error instanceof JetStreamApiError) return error.status === UNAVAILABLE && !NO_SPACE.has(error.code);
  const kinds = [errors.TimeoutError, errors.RequestError, errors.NoRespondersError, errors.ConnectionError];
  if (kinds.some((kind) => error instanceof kind)) return !isForbidden(error);
  // JetStream's own words for a stream whose servers are just coming up.
  return error instanceof Error && ['JetStreamNotEnabled', 'JetStreamError'].includes(error.name);
}

const isForbidden = (error: unknown): boolean =>
  error instanceof errors.PermissionViolationError ||
  (error instanceof Error && error.cause instanceof errors.PermissionViolationError);
