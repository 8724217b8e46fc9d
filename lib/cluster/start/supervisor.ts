/** The instances of one machine: started, watched, started anew where one ends, and ended together. */
import { setTimeout as delay } from 'node:timers/promises';
import { ClusterError } from '../base/errors.js';
import { instanceLine, type InstanceLine } from './instance_line.js';
import type { InstanceNews } from './instance_news.js';
import type { InstanceExit, StartedInstance } from './instance_process.js';
import { LastLines } from './last_lines.js';
import { failuresInARow, pauseMs } from './restarts.js';

/** What who has them hears. */
export interface SupervisorEvents {
  /** It serves, for the first time or again. */
  readonly up: (name: string, news: InstanceNews) => void;
  /** It has ended, and is started anew in `againMs`. `words`: why, and what it said last. */
  readonly down: (name: string, words: string, againMs: number) => void;
  /** What it says. */
  readonly line: (name: string, line: InstanceLine) => void;
}

/** What a supervisor is made with. */
export interface SupervisorOptions {
  /** Of the instances that run from the start. */
  readonly names: readonly string[];
  readonly start: (name: string, onLine: (line: string) => void) => StartedInstance;
  readonly events: SupervisorEvents;
  /** Resolves after so many ms, or when the signal is aborted. */
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Milliseconds that never go back. */
  readonly clock?: () => number;
}

/** Of an instance that ended; the rest is in the log. */
const MAX_LAST_LINES = 8;
/** Who was asked to end and had nothing to do takes less. */
const END_MS = 1500;

/** Keeps instances running. Why: docs/decisions/cluster.md#an-instance-is-a-server-like-any-other */
export class Supervisor {
  private readonly ending = new AbortController();
  private readonly kept = new Map<string, KeptInstance>();
  private closing: Promise<void> | undefined;

  constructor(private readonly options: SupervisorOptions) {}

  /**
   * Resolves when all serve. Whoever ends later is started anew.
   * @throws ClusterError START_FAILED: one ended before it served; CLOSED. Then all others are ended
   */
  async start(): Promise<void> {
    const { names } = this.options;
    try {
      await Promise.all(names.map((name) => this.add(name)));
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /**
   * Resolves when one more serves; from then on it is one of them. No other has its name.
   * @throws ClusterError START_FAILED: it ended before it served, and the others stay; CLOSED
   */
  add(name: string): Promise<void> {
    return new Promise((resolve, reject) => this.begin(name, resolve, reject));
  }

  /** Resolves when that one has ended, for which it has so many ms, and stays so. It never fails. */
  async remove(name: string, graceMs: number): Promise<void> {
    const kept = this.kept.get(name);
    if (kept === undefined) return;
    kept.over.abort();
    kept.process?.kill('SIGTERM');
    await this.ended([kept], graceMs);
  }

  /** Asks all to end, and ends those that don't. None is left when it resolves. Idempotent. */
  close(): Promise<void> {
    return (this.closing ??= this.end());
  }

  private async end(): Promise<void> {
    this.ending.abort();
    const all = [...this.kept.values()];
    for (const { over } of all) over.abort();
    for (const { process } of all) process?.kill('SIGTERM');
    await this.ended(all, END_MS);
  }

  /** Waits for those that were asked to end, and ends those that don't within so many ms. */
  private async ended(all: readonly KeptInstance[], graceMs: number): Promise<void> {
    const ended = Promise.all(all.map(({ life }) => life));
    const { wait = waitFor } = this.options;
    const enough = new AbortController();
    await Promise.race([ended, wait(graceMs, enough.signal)]);
    enough.abort();
    for (const { process } of all) process?.kill('SIGKILL');
    await ended;
  }

  /** The first life tells whether it began. */
  private begin(name: string, up: () => void, failed: (error: ClusterError) => void): void {
    const over = new AbortController();
    if (this.ending.signal.aborted) over.abort();
    const kept: KeptInstance = { over, process: null, life: Promise.resolve() };
    this.kept.set(name, kept);
    kept.life = this.live(name, kept, up).then((error) => {
      this.kept.delete(name);
      failed(error ?? new ClusterError('CLOSED', 'the instances were told to end'));
    });
  }

  /** All lives of one instance; an error where it never served. */
  private async live(name: string, kept: KeptInstance, up: () => void): Promise<ClusterError | null> {
    const { events, wait = waitFor } = this.options;
    let numFailures = 0;
    let hasServed = false;
    const { signal } = kept.over;
    const isOver = (): boolean => signal.aborted;
    while (!isOver()) {
      const { servedMs, words } = await this.liveOnce(name, kept, up);
      if (isOver()) break;
      hasServed ||= servedMs !== null;
      if (!hasServed) return new ClusterError('START_FAILED', `${words}; correct that`, { instance: name });
      numFailures = failuresInARow(numFailures, servedMs ?? 0);
      events.down(name, words, pauseMs(numFailures));
      await wait(pauseMs(numFailures), signal);
    }
    return null;
  }

  /** From its start to its end. */
  private async liveOnce(name: string, kept: KeptInstance, up: () => void): Promise<Life> {
    const { events, start, clock = () => performance.now() } = this.options;
    const lines = new LastLines(MAX_LAST_LINES);
    const started = start(name, (written) => {
      const line = instanceLine(written);
      lines.add(line.text);
      events.line(name, line);
    });
    kept.process = started;
    const news = await started.listening;
    const beganMs = clock();
    if (news !== null && !kept.over.signal.aborted) {
      events.up(name, news);
      up();
    }
    const exit = await started.exit;
    kept.process = null;
    return { servedMs: news === null ? null : clock() - beganMs, words: wordsOf(name, exit, lines.all) };
  }
}

interface KeptInstance {
  /** Aborted: it isn't started anew. */
  readonly over: AbortController;
  /** Null: none runs now. */
  process: StartedInstance | null;
  /** Resolves when none runs any more. */
  life: Promise<void>;
}

interface Life {
  /** Null: it never did. */
  readonly servedMs: number | null;
  /** How it ended, and what it said last. */
  readonly words: string;
}

const waitFor = (ms: number, signal: AbortSignal): Promise<void> =>
  delay(ms, undefined, { signal, ref: false }).catch(() => undefined);

function wordsOf(name: string, { pid, code, signal }: InstanceExit, lines: readonly string[]): string {
  const how = signal === null ? `ended with exit code ${code ?? '?'}` : `was killed by ${signal}`;
  const said = lines.length === 0 ? 'it said nothing' : `its last words: ${lines.join(' | ')}`;
  return `instance ${name} (process ${pid ?? '?'}) ${how}; ${said}`;
}
