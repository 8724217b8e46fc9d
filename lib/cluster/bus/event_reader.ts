/** Reads the events of one stream of an instance (instance_events.ts) and checks them; no I/O. */
import { createParser, type EventSourceParser } from 'eventsource-parser';
import type { BlockBatch } from '../base/block_events.js';
import { ClusterError } from '../base/errors.js';
import type { InstanceRecord } from '../base/instance_record.js';
import type { LoadReport } from '../base/load_report.js';
import { checkedBatch, checkedLoad, checkedRecord, MAX_MESSAGE_CHARS, messageOf } from './messages.js';

/** Who takes what an instance tells. */
export interface EventTaker {
  record(record: InstanceRecord): void;
  load(load: LoadReport): void;
  blocks(batch: BlockBatch): void;
  gone(): void;
}

/** Takes the text of a stream piece by piece. */
export class EventReader {
  private readonly parser: EventSourceParser;
  private error: ClusterError | null = null;

  /** `from`: whose stream it is, as messages name it. */
  constructor(
    private readonly from: string,
    private readonly taker: EventTaker,
  ) {
    this.parser = createParser({
      onEvent: ({ event, data }) => this.take(event, data),
      onError: ({ type }) => {
        if (type === 'max-buffer-size-exceeded') this.fail(`an event of over ${MAX_MESSAGE_CHARS} characters`);
      },
      maxBufferSize: MAX_MESSAGE_CHARS,
    });
  }

  /** What arrived. @throws ClusterError INVALID_RECORD: what it says can't be, and nothing behind it counts */
  feed(piece: string): void {
    this.parser.feed(piece);
    if (this.error !== null) throw this.error;
  }

  private take(event: string | undefined, data: string): void {
    if (this.error !== null) return;
    try {
      this.tell(event, data);
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      this.error = error;
    }
  }

  private tell(event: string | undefined, data: string): void {
    const { from, taker } = this;
    const value = messageOf(data, from);
    // Events that a later version tells are none of ours.
    if (event === 'record') taker.record(checkedRecord(value, from));
    if (event === 'load') taker.load(checkedLoad(value, from));
    if (event === 'blocks') taker.blocks(checkedBatch(value, from));
    if (event === 'gone') taker.gone();
  }

  private fail(what: string): void {
    this.error ??= new ClusterError('INVALID_RECORD', `${this.from} sent ${what}; another version may speak there`);
  }
}
