/** Records as a key-value bucket. */
import { JetStreamApiCodes, JetStreamApiError, type JsMsg } from '@nats-io/jetstream';
import type { KV } from '@nats-io/kv';
import { JobError } from '../base/errors.js';
import type { JobRecord, RecordListener, Records } from '../base/job_bus.js';
import type { NatsCalls } from './nats_calls.js';
import { NatsFollower } from './nats_follower.js';
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
    return this.calls.call(`a list of records ${prefix}`, async () => {
      const records = new Map<string, JobRecord>();
      await this.once(prefix, {
        changed: (key, text, revision) => {
          if (text === null) records.delete(key);
          else records.set(key, { key, text, revision });
        },
      });
      return [...records.values()];
    });
  }

  /** As {@link Records.watch}. */
  watch(prefix: string, listener: RecordListener): () => void {
    this.calls.checkOpen();
    return this.follow(prefix, listener).stop;
  }

  private follow(prefix: string, { changed, ready }: RecordListener): NatsFollower {
    const subjects = prefix === '' ? ['>'] : [prefix, `${prefix}.>`];
    const followed = {
      ...{ stream: keyStream(this.name), from: 'last' as const },
      subjects: subjects.map((each) => keySubject(this.name, each)),
    };
    const numBefore = keySubject(this.name, '').length;
    return new NatsFollower(this.calls, followed, {
      hear: (message) =>
        changed(message.subject.slice(numBefore), isRemoval(message) ? null : message.string(), message.seq),
      ready: ready ?? (() => undefined),
    });
  }

  /** Tells what is there, and resolves. */
  private async once(prefix: string, listener: Pick<RecordListener, 'changed'>): Promise<void> {
    const { ended, link } = this.calls;
    let follower: NatsFollower | null = null;
    let unwatch: (() => void) | null = null;
    try {
      await new Promise<void>((resolve, reject) => {
        // Asked again by who calls, if there is still time.
        unwatch = link.watch({ up: () => undefined, down: () => reject(new Interrupted()), refused: reject });
        ended.addEventListener('abort', () => reject(new Interrupted()), { once: true });
        follower = this.follow(prefix, { ...listener, ready: resolve });
      });
    } finally {
      (unwatch as (() => void) | null)?.();
      (follower as NatsFollower | null)?.stop();
    }
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

/** The bus went while a list was read. */
class Interrupted extends Error {
  override readonly name = 'JetStreamError';
}
