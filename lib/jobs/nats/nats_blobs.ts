/**
 * Files as an object store of JetStream, in the form that NATS' own clients read (its design document ADR-20). Their own code isn't used, because it breaks off where a server is gone for some
 * seconds, and leaves a mark of each file that was removed, for ever.
 */
import { JetStreamApiCodes, JetStreamApiError } from '@nats-io/jetstream';
import { headers, nuid } from '@nats-io/transport-node';
import { createHash } from 'node:crypto';
import { JobError } from '../base/errors.js';
import type { Blobs } from '../base/job_bus.js';
import type { NatsCalls } from './nats_calls.js';
import { chunkSubject, metaSubject, objectOfSubject, objectStream } from './nats_job_names.js';

const CHUNK_BYTES = 2 ** 17;
const TIMEOUT_MS = 5000;
/** Removed at one time. */
const WINDOW = 16;
const DIGEST = 'SHA-256=';

/** What is kept of an object. */
interface ObjectMeta {
  readonly name: string;
  readonly bucket: string;
  readonly nuid: string;
  readonly size: number;
  readonly chunks: number;
  readonly digest: string;
  readonly mtime: string;
  readonly deleted?: boolean;
  readonly options: { readonly max_chunk_size: number };
}

/** As {@link Blobs}. */
export class NatsBlobs implements Blobs {
  private readonly stream: string;

  constructor(
    private readonly calls: NatsCalls,
    private readonly store: string,
  ) {
    this.stream = objectStream(store);
  }

  /** As {@link Blobs.put}. */
  async put(name: string, content: AsyncIterable<Uint8Array>): Promise<number> {
    this.calls.checkOpen();
    const id = nuid.next();
    try {
      const meta = await this.putChunks(name, id, content);
      const old = await this.metaOf(name);
      await this.putMeta(meta);
      if (old !== null) await this.purge(chunkSubject(this.store, old.nuid));
      return meta.size;
    } catch (error) {
      if (this.calls.link.isUp && !this.calls.ended.aborted)
        await this.purge(chunkSubject(this.store, id)).catch(() => undefined);
      throw error;
    }
  }

  /** As {@link Blobs.get}. */
  async *get(name: string): AsyncGenerator<Uint8Array> {
    const meta = await this.metaOf(name);
    if (meta === null)
      throw new JobError('BROKEN_RECORD', `the file ${name} isn't there; see whether its run was removed`);
    const hash = createHash('sha256');
    let [numBytes, sequence] = [0, 0];
    for (let i = 0; i < meta.chunks; i++) {
      const chunk = await this.chunk(meta, sequence + 1);
      if (chunk === null) break;
      sequence = chunk.sequence;
      numBytes += chunk.bytes.length;
      hash.update(chunk.bytes);
      yield chunk.bytes;
    }
    const digest = digestOf(hash.digest());
    if (numBytes !== meta.size || digest !== meta.digest) {
      const text = `the file ${name} has ${numBytes} bytes, ${digest}, and had ${meta.size}, ${meta.digest}, when it was put; run again what made it`;
      throw new JobError('BROKEN_RECORD', text);
    }
  }

  /** As {@link Blobs.remove}. */
  async remove(prefix: string): Promise<void> {
    const below = prefix.endsWith('/') ? prefix : `${prefix}/`;
    const names = (await this.names()).filter((name) => `${name}/`.startsWith(below)).values();
    const removing = async (): Promise<void> => {
      for (const name of names) await this.removeOne(name);
    };
    await Promise.all(Array.from({ length: WINDOW }, removing));
  }

  private async putChunks(name: string, id: string, content: AsyncIterable<Uint8Array>): Promise<ObjectMeta> {
    const hash = createHash('sha256');
    let [size, chunks] = [0, 0];
    for await (const chunk of chunksOf(content)) {
      hash.update(chunk);
      size += chunk.length;
      const options = { msgID: `${id}-${chunks++}` };
      const subject = chunkSubject(this.store, id);
      await this.calls.call(`the file ${name}`, () => this.calls.js.publish(subject, chunk, options));
    }
    const mtime = new Date().toISOString();
    const digest = digestOf(hash.digest());
    return {
      name,
      bucket: this.store,
      nuid: id,
      size,
      chunks,
      digest,
      mtime,
      options: { max_chunk_size: CHUNK_BYTES },
    };
  }

  private async putMeta(meta: ObjectMeta): Promise<void> {
    const head = headers();
    head.set('Nats-Rollup', 'sub');
    const subject = metaSubject(this.store, meta.name);
    await this.calls.call(`the file ${meta.name}`, () =>
      this.calls.js.publish(subject, JSON.stringify(meta), { headers: head }),
    );
  }

  private async removeOne(name: string): Promise<void> {
    const meta = await this.metaOf(name);
    await this.purge(metaSubject(this.store, name));
    if (meta !== null) await this.purge(chunkSubject(this.store, meta.nuid));
  }

  private async purge(filter: string): Promise<void> {
    await this.calls.call('the removal of a file', () => this.calls.manager.streams.purge(this.stream, { filter }));
  }

  private async names(): Promise<readonly string[]> {
    const subjects_filter = `$O.${this.store}.M.>`;
    const { state } = await this.calls.call('a list of files', () =>
      this.calls.manager.streams.info(this.stream, { subjects_filter }),
    );
    return Object.keys(state.subjects ?? {}).flatMap((subject) => objectOfSubject(this.store, subject) ?? []);
  }

  /** Null: it isn't there. */
  private async metaOf(name: string): Promise<ObjectMeta | null> {
    const found = await this.message(`the file ${name}`, { last_by_subj: metaSubject(this.store, name) });
    if (found === null) return null;
    const meta = JSON.parse(found.bytes.toString()) as ObjectMeta;
    return meta.deleted === true ? null : meta;
  }

  private chunk({ name, nuid: id }: ObjectMeta, from: number): Promise<StoredBytes | null> {
    return this.message(`the file ${name}`, { seq: from, next_by_subj: chunkSubject(this.store, id) });
  }

  /** Of the stream's leader, so that whoever reads behind who wrote reads that. */
  private message(what: string, query: object): Promise<StoredBytes | null> {
    return this.calls.call(what, async () => {
      const subject = `$JS.API.STREAM.MSG.GET.${this.stream}`;
      const answer = await this.calls.nats.request(subject, JSON.stringify(query), { timeout: TIMEOUT_MS });
      const { message, error } = answer.json<MessageAnswer>();
      if (message !== undefined) return { sequence: message.seq, bytes: Buffer.from(message.data ?? '', 'base64') };
      if (error?.err_code === JetStreamApiCodes.NoMessageFound) return null;
      throw new JetStreamApiError(error ?? { code: 500, err_code: 0, description: 'no message' });
    });
  }
}

interface StoredBytes {
  readonly sequence: number;
  readonly bytes: Buffer;
}

/** As JetStream answers. */
interface MessageAnswer {
  readonly message?: { readonly seq: number; readonly data?: string };
  readonly error?: { readonly code: number; readonly err_code: number; readonly description: string };
}

const digestOf = (hash: Buffer): string => {
  const bare = hash.toString('base64url');
  return `${DIGEST}${bare.padEnd(Math.ceil(bare.length / 4) * 4, '=')}`;
};

/** Pieces of one size, but the last one. */
async function* chunksOf(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let parts: Uint8Array[] = [];
  let numBytes = 0;
  for await (let bytes of content) {
    while (numBytes + bytes.length >= CHUNK_BYTES) {
      const taken = CHUNK_BYTES - numBytes;
      yield Buffer.concat([...parts, bytes.subarray(0, taken)]);
      [parts, numBytes, bytes] = [[], 0, bytes.subarray(taken)];
    }
    if (bytes.length > 0) parts.push(bytes);
    numBytes += bytes.length;
  }
  if (numBytes > 0) yield Buffer.concat(parts);
}
