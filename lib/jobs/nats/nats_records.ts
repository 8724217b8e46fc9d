/** Records as a key-value bucket. */
import { JetStreamApiCodes, JetStreamApiError, type JsMsg } from '@nats-io/jetstream';
import type { KV } from '@nats-io/kv';
import { JobError } from '../base/errors.js';
import type { JobRecord, RecordListener, Records } from '../base/job_bus.js';
import type { NatsCalls } from './nats_calls.js';
import { NatsFollower, type FollowListener } from './nats_follower.js';
import { keyStream, keySubject } from './nats_job_names.js';
import { MARKER_MS } from './nats_streams.js';

/** As NATS says durations. */
const MARKER_TTL = `${MARKER_MS / 1000}s`;
/** Beside the text, in a message. */
const HEADER_BYTES = 1024;

/** As {@link Records}. */
export class NatsRecords implements Records {
  constructor(
    private readonly calls: NatsCalls,
    private readonly bucket: KV,
    private readonly name: string,
  ) {}

  /** As {@link Records.read}. */
  async read(key: string): Promise<JobRecord | null> {
    const entry = await this.calls.call(`the record ${key}`, () => this.bucket.get(key));
    return entry?.operation === 'PUT' ? { key, text: entry.string(), revision: entry.revision } : null;
  }

  /** As {@link Records.write}. */
  write(key: string, text: string, revision: number): Promise<number> {
    this.calls.checkOpen();
    checkSize(`the record ${key}`, Buffer.byteLength(text), this.calls);
    return this.calls.call(`the record ${key}`, async (isRepeated) => {
      try {
        return await (revision === 0
          ? this.bucket.create(key, text)
          : this.bucket.put(key, text, { previousSeq: revision }));
      } catch (error) {
        if (!isOutrun(error)) throw error;
        return this.outrun({ key, text, revision }, isRepeated);
      }
    });
  }

  /** As {@link Records.remove}. */
  async remove(key: string): Promise<void> {
    await this.calls.call(`the removal of ${key}`, async () => {
      const entry = await this.bucket.get(key);
      if (entry?.operation === 'PUT') await this.bucket.purge(key, { ttl: MARKER_TTL });
    });
  }

  /** As {@link Records.list}. */
  async list(prefix: string): Promise<readonly JobRecord[]> {
    this.calls.checkOpen();
    const records = new Map<string, JobRecord>();
    const hear = (message: JsMsg): void => {
      const key = this.keyOf(message);
      if (isRemoval(message)) records.delete(key);
      else records.set(key, { key, text: message.string(), revision: message.seq });
    };
    await this.calls.whole((ready, failed) =>
      this.follow(prefix, { hear, ready, failed, begin: () => records.clear() }),
    );
    return [...records.values()];
  }

  /** As {@link Records.watch}. */
  watch(prefix: string, { changed, ready = () => undefined }: RecordListener): () => void {
    this.calls.checkOpen();
    const hear = (message: JsMsg): void =>
      changed(this.keyOf(message), isRemoval(message) ? null : message.string(), message.seq);
    return this.follow(prefix, { hear, ready }).stop;
  }

  private follow(prefix: string, listener: FollowListener): NatsFollower {
    const subjects = prefix === '' ? ['>'] : [prefix, `${prefix}.>`];
    const keys = subjects.map((each) => keySubject(this.name, each));
    return new NatsFollower(this.calls, { stream: keyStream(this.name), subjects: keys, from: 'last' }, listener);
  }

  private keyOf({ subject }: JsMsg): string {
    return subject.slice(keySubject(this.name, '').length);
  }

  /** What was sent before may have got through although nobody heard of it. */
  private async outrun({ key, text, revision }: JobRecord, isRepeated: boolean): Promise<number> {
    const entry = await this.bucket.get(key);
    const isOwn = isRepeated && entry?.operation === 'PUT' && entry.revision > revision && entry.string() === text;
    if (isOwn) return entry.revision;
    const now = entry?.operation === 'PUT' ? `is at revision ${entry.revision}` : "isn't there";
    const text_ = `the record ${key} ${now}, and was to be at ${revision}; read it again`;
    throw new JobError('RECORD_CONFLICT', text_);
  }
}

/** @throws JobError TOO_MANY: more bytes than the server takes in a message */
export function checkSize(what: string, numBytes: number, { nats }: NatsCalls): void {
  const most = (nats.info?.max_payload ?? 2 ** 20) - HEADER_BYTES;
  if (numBytes <= most) return;
  const text = `${what} has ${numBytes} bytes, and NATS takes ${most}; make it smaller, or raise max_payload of nats-server`;
  throw new JobError('TOO_MANY', text);
}

/** Of a bucket: what a message says is that its key went. */
export const isRemoval = ({ headers }: JsMsg): boolean =>
  headers?.has('KV-Operation') === true || headers?.has('Nats-Marker-Reason') === true;

/** Somebody else wrote first. */
export const isOutrun = (error: unknown): boolean =>
  error instanceof JetStreamApiError &&
  (error.code === JetStreamApiCodes.StreamWrongLastSequence ||
    error.code === JetStreamApiCodes.StreamWrongLastSequenceUnknown);
