/** What a try of a shard says, in batches: the bus is not asked for each line. */
import type { JobClock, LogLine, Logs } from '../base/job_bus.js';
import type { ShardKey } from '../base/task.js';

/** Of a try; what it says beyond that is told as a number. */
const MAX_LINES = 10_000;
/** Of a line. */
const MAX_CHARS = 4000;
const BATCH_LINES = 500;
const BATCH_MS = 250;

/** The log of one try. That it can't be kept is no failure of the try. */
export class TryLog {
  private waiting: LogLine[] = [];
  private sending: Promise<void> = Promise.resolve();
  private forget: (() => void) | null = null;
  private numLines = 0;

  constructor(
    private readonly logs: Pick<Logs, 'append'>,
    private readonly key: ShardKey & { readonly attempt: number },
    private readonly clock: JobClock,
  ) {}

  /** A line without its end. */
  line(text: string): void {
    if (++this.numLines > MAX_LINES) return;
    this.add(text.length > MAX_CHARS ? `${text.slice(0, MAX_CHARS)}… (${text.length} characters)` : text);
  }

  /** All of it is kept, or can't be. */
  async close(): Promise<void> {
    if (this.numLines > MAX_LINES) this.add(`… ${this.numLines - MAX_LINES} more lines, which aren't kept`);
    this.send();
    await this.sending;
  }

  private add(text: string): void {
    const { run, node, index, attempt } = this.key;
    this.waiting.push({ run, node, index, attempt, atMs: this.clock.now(), text });
    if (this.waiting.length >= BATCH_LINES) this.send();
    else this.forget ??= this.clock.after(BATCH_MS, () => this.send());
  }

  private send(): void {
    this.forget?.();
    this.forget = null;
    const lines = this.waiting;
    if (lines.length === 0) return;
    this.waiting = [];
    this.sending = this.sending.then(() => this.logs.append(lines)).catch(() => undefined);
  }
}
