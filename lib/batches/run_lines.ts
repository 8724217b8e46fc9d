/** Runs the lines of a batch against a server, some at a time, until each has its row. */
import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { BatchLine } from './batch_line.js';
import { LINE_RETRIES, retryOf, type LineRetries } from './retry.js';
import { rowOf, type LineAnswer, type Row } from './rows.js';

/** What runs, and how. */
export interface LinesRun {
  /** Those that have no row yet; read as they are begun. */
  readonly lines: AsyncIterable<BatchLine> | Iterable<BatchLine>;
  /** At a time. */
  readonly concurrency: number;
  /** Asks the server; `id`: of the request, which the row has too. Rejects where nobody answers. */
  readonly send: (line: BatchLine, id: string, signal: AbortSignal) => Promise<LineAnswer>;
  /** Keeps a row; where it rejects, the run ends. */
  readonly write: (row: Row) => Promise<void>;
  /** Lines that are on their way are broken off, without a row. */
  readonly signal: AbortSignal;
  /** Default {@link LINE_RETRIES}. */
  readonly retries?: LineRetries;
  /** Default: the clock's. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<unknown>;
}

/**
 * Resolves when each line has its row. @throws the reason of the signal; what `lines` and `write` throw; what `send` did where nobody answered for `patienceMs`; {@link NotTaken}
 */
export async function runLines(run: LinesRun): Promise<void> {
  const stop = new AbortController();
  const signal = AbortSignal.any([run.signal, stop.signal]);
  setMaxListeners(0, signal); // every line listens
  const lines = iteratorOf(run.lines);
  const work = async (): Promise<void> => {
    try {
      for (;;) {
        signal.throwIfAborted();
        const next = await lines.next();
        if (next.done === true) return;
        await runLine(next.value, run, signal);
      }
    } catch (error) {
      stop.abort(error);
      throw error;
    }
  };
  await Promise.allSettled(Array.from({ length: run.concurrency }, work));
  await lines.return?.();
  run.signal.throwIfAborted();
  if (stop.signal.aborted) throw stop.signal.reason;
}

async function runLine(line: BatchLine, run: LinesRun, signal: AbortSignal): Promise<void> {
  const { send, write, retries = LINE_RETRIES, sleep = sleepFor } = run;
  let tries = { numFailed: 0, numTries: 0, waitedMs: 0 };
  for (;;) {
    const id = `batch_req_${randomUUID().replaceAll('-', '')}`;
    let failure: unknown = null;
    const answer = await send(line, id, signal).catch((error: unknown) => {
      signal.throwIfAborted();
      failure = error;
      return null;
    });
    tries = { ...tries, numTries: tries.numTries + 1 };
    const retry = retryOf(answer, tries, retries);
    if (retry.kind === 'again') {
      await sleep(retry.afterMs, signal);
      signal.throwIfAborted();
      const { isFailure, afterMs } = retry;
      tries = {
        ...tries,
        ...(isFailure ? { numFailed: tries.numFailed + 1 } : { waitedMs: tries.waitedMs + afterMs }),
      };
      continue;
    }
    // Nobody was there for too long, or nobody who had room.
    if (answer === null) throw failure;
    if (retry.kind === 'give_up') throw new NotTaken(answer.status);
    return write(rowOf(id, line.customId, { kind: 'answered', answer }));
  }
}

/** A server refused a line so long as one waits: it is full, or ends. */
export class NotTaken extends Error {
  constructor(readonly status: number) {
    super(`it answered ${status} for too long`);
    this.name = 'NotTaken';
  }
}

const sleepFor = (ms: number, signal: AbortSignal): Promise<unknown> => delay(ms, undefined, { signal });

/** An iterator whose `next` may be called before the last one is settled. */
const iteratorOf = (lines: LinesRun['lines']): AsyncIterator<BatchLine> =>
  (async function* () {
    yield* lines;
  })();
