/** Lines of logs as a stream that forgets its oldest messages; a message has lines of one shard. */
import type { JsMsg } from '@nats-io/jetstream';
import { nuid } from '@nats-io/transport-node';
import type { LogLine, Logs } from '../base/job_bus.js';
import type { NatsCalls } from './nats_calls.js';
import { NatsFollower } from './nats_follower.js';
import type { NatsJobNames } from './nats_job_names.js';

/** Of a message: more than that are several. */
const MAX_CHARS = 2 ** 16;

/** As a message has them. */
type Line = readonly [attempt: number, atMs: number, text: string];

/** As {@link Logs}. */
export class NatsLogs implements Logs {
  constructor(
    private readonly calls: NatsCalls,
    private readonly names: NatsJobNames,
  ) {}

  /** As {@link Logs.append}. */
  async append(lines: readonly LogLine[]): Promise<void> {
    this.calls.checkOpen();
    const shards = new Map<string, LogLine[]>();
    for (const line of lines) {
      const subject = this.subjectOf(line);
      const of = shards.get(subject);
      if (of === undefined) shards.set(subject, [line]);
      else of.push(line);
    }
    await Promise.all([...shards].map(([subject, of]) => this.appendTo(subject, of)));
  }

  /** As {@link Logs.read}. */
  async *read(what: Parameters<Logs['read']>[0], follow: AbortSignal | null): AsyncGenerator<LogLine> {
    this.calls.checkOpen();
    const waiting = new Waiting<JsMsg>();
    const subjects = [this.names.log(what.run, what.node ?? '*', what.index === undefined ? '*' : `${what.index}`)];
    const follower = new NatsFollower(
      this.calls,
      { stream: this.names.logs, subjects, from: 'all' },
      {
        hear: (message) => waiting.push(message),
        ready: () => (follow === null ? waiting.end() : undefined),
        failed: (error) => waiting.end(error),
      },
    );
    const end = (): void => waiting.end();
    for (const signal of [follow, this.calls.ended]) signal?.addEventListener('abort', end, { once: true });
    if (follow?.aborted === true) end();
    try {
      for await (const message of waiting.all()) yield* linesOf(message);
    } finally {
      follower.stop();
      for (const signal of [follow, this.calls.ended]) signal?.removeEventListener('abort', end);
    }
  }

  /** As {@link Logs.remove}. */
  async remove(run: string): Promise<void> {
    const filter = this.names.log(run, '*', '*');
    await this.calls.call('the removal of a log', () => this.calls.manager.streams.purge(this.names.logs, { filter }));
  }

  private subjectOf({ run, node, index }: LogLine): string {
    return this.names.log(run, node, `${index}`);
  }

  private async appendTo(subject: string, lines: readonly LogLine[]): Promise<void> {
    for (const text of messagesOf(lines)) {
      const options = { msgID: nuid.next() };
      await this.calls.call('a log', () => this.calls.js.publish(subject, text, options));
    }
  }
}

function* messagesOf(lines: readonly LogLine[]): Generator<string> {
  let parts: Line[] = [];
  let numChars = 0;
  for (const { attempt, atMs, text } of lines) {
    if (numChars + text.length > MAX_CHARS && parts.length > 0) {
      yield JSON.stringify(parts);
      [parts, numChars] = [[], 0];
    }
    parts.push([attempt, atMs, text.slice(0, MAX_CHARS)]);
    numChars += text.length;
  }
  if (parts.length > 0) yield JSON.stringify(parts);
}

function linesOf(message: JsMsg): readonly LogLine[] {
  const [run, node, index] = message.subject.split('.').slice(-3) as [string, string, string];
  return message
    .json<readonly Line[]>()
    .map(([attempt, atMs, text]) => ({ run, node, index: Number(index), attempt, atMs, text }));
}

/** What was pushed, until it is ended. */
class Waiting<T> {
  private items: T[] = [];
  private isOver = false;
  private error: Error | null = null;
  private wake: () => void = () => undefined;

  push(item: T): void {
    this.items.push(item);
    this.wake();
  }

  end(error: Error | null = null): void {
    this.isOver = true;
    this.error ??= error;
    this.wake();
  }

  async *all(): AsyncGenerator<T> {
    for (;;) {
      while (this.items.length > 0) {
        const { items } = this;
        this.items = [];
        yield* items;
      }
      if (this.error !== null) throw this.error;
      if (this.isOver) return;
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }
}
