/** One connection to NATS: is it up, what is sent and heard there, and the bucket of those who are there. */
import { Kvm, type KV } from '@nats-io/kv';
import { AuthorizationError, connect, type NatsConnection, type NodeConnectionOptions } from '@nats-io/transport-node';
import { StorageType } from '@nats-io/jetstream';
import { setTimeout as delay } from 'node:timers/promises';
import { causeText, printable } from '../../../../base/foreign_text.js';
import { ClusterError } from '../../base/errors.js';

/** Bytes of a message: a server that takes fewer is refused. */
const MIN_PAYLOAD_BYTES = 2 ** 17;
/** Of the bucket: a thousand records. */
const MAX_BUCKET_BYTES = 2 ** 24;
const MAX_RECORD_BYTES = 2 ** 14;
/** Between attempts to connect for the first time. */
const RETRY_MS = 250;

/** Hears of the connection. */
export interface LinkWatcher {
  /** It is there again. */
  up(): void;
  /** It is gone; `reason`: as in 'the connection to 10.0.0.1:4222 broke'. */
  down(reason: string): void;
  /** The server doesn't let this user do something. */
  refused(error: ClusterError): void;
}

/** What a link is made with. */
export interface NatsLinkOptions {
  readonly connection: NodeConnectionOptions;
  /** For the first connection. */
  readonly patienceMs: number;
}

/** What NATS does for a bus. While it is down, nothing is sent: what waits would be old. */
export class NatsLink {
  private readonly watchers = new Set<LinkWatcher>();
  private connected = true;

  private constructor(private readonly nats: NatsConnection) {
    void this.follow();
  }

  /** @throws ClusterError BUS_FAILED: nobody answers within the patience, or the server refuses, or can't do what is needed */
  static async connect({ connection, patienceMs }: NatsLinkOptions): Promise<NatsLink> {
    const deadline = performance.now() + patienceMs;
    for (;;) {
      try {
        return new NatsLink(checked(await connect(connection)));
      } catch (error) {
        const isFinal = error instanceof AuthorizationError || error instanceof ClusterError;
        if (isFinal || performance.now() + RETRY_MS >= deadline) throw failed(connection, error);
      }
      await delay(RETRY_MS);
    }
  }

  /** Messages go through now, as far as one knows. */
  get isUp(): boolean {
    return this.connected && !this.nats.isClosed();
  }

  /** For what more than a bus of instances is made of. It connects again by itself, and is closed by this link. */
  get connection(): NatsConnection {
    return this.nats;
  }

  /** The server that it is connected to. */
  get server(): string {
    return this.nats.getServer();
  }

  /** Tells of the connection from now on; returns how to stop that. */
  watch(watcher: LinkWatcher): () => void {
    this.watchers.add(watcher);
    return () => void this.watchers.delete(watcher);
  }

  /** Sends, unless it is down. */
  publish(subject: string, text: string): void {
    if (this.isUp) this.nats.publish(subject, text);
  }

  /** Hears what is sent there; returns how to stop that. What `listener` throws ends the process: it is a bug. */
  subscribe(subject: string, listener: (subject: string, text: string) => void): () => void {
    const callback = (error: Error | null, message: { readonly subject: string; readonly data: Uint8Array }): void => {
      if (error !== null) return; // permissions: told by the link's status
      try {
        listener(message.subject, Buffer.from(message.data).toString());
      } catch (bug) {
        // NATS' client would log it and read nothing any more.
        queueMicrotask(() => {
          throw bug;
        });
      }
    };
    const subscription = this.nats.subscribe(subject, { callback: callback });
    return () => {
      if (!subscription.isClosed()) subscription.unsubscribe();
    };
  }

  /** Those who are there; made where it isn't. A key vanishes `ttlMs` behind its last value. @throws what NATS' client throws */
  bucket(name: string, ttlMs: number): Promise<KV> {
    const limits = { history: 1, max_bytes: MAX_BUCKET_BYTES, maxValueSize: MAX_RECORD_BYTES };
    return new Kvm(this.nats).create(name, { ttl: ttlMs, storage: StorageType.Memory, ...limits });
  }

  /** What was sent arrives, if it can. Idempotent. */
  async close(): Promise<void> {
    this.watchers.clear();
    if (this.isUp)
      await Promise.race([this.nats.flush().catch(() => undefined), delay(1000, undefined, { ref: false })]);
    await this.nats.close();
  }

  private async follow(): Promise<void> {
    void this.nats
      .closed()
      .then((error) => this.tellDown(`the connection is closed${error ? ` (${causeText(error)})` : ''}`));
    for await (const status of this.nats.status()) {
      if (status.type === 'disconnect') this.tellDown(`the connection to ${status.server} broke`);
      if (status.type === 'error') this.tellRefused(status.error);
      if (status.type !== 'reconnect') continue;
      this.connected = true;
      for (const watcher of this.watchers) watcher.up();
    }
  }

  private tellDown(reason: string): void {
    if (!this.connected) return;
    this.connected = false;
    for (const watcher of this.watchers) watcher.down(reason);
  }

  private tellRefused(cause: Error): void {
    const text = `NATS at ${this.server} refuses: ${causeText(cause)}; see the permissions of the user`;
    for (const watcher of this.watchers) watcher.refused(new ClusterError('BUS_FAILED', text, { cause }));
  }
}

/** @throws ClusterError BUS_FAILED: it can't do what is needed */
function checked(nats: NatsConnection): NatsConnection {
  const { max_payload: most = Infinity, jetstream = false } = nats.info ?? {};
  const lacks = !jetstream
    ? 'has no JetStream; start it with -js'
    : most < MIN_PAYLOAD_BYTES
      ? `takes messages of ${most} bytes; set max_payload to ${MIN_PAYLOAD_BYTES} at least`
      : null;
  if (lacks === null) return nats;
  void nats.close();
  throw new ClusterError('BUS_FAILED', `NATS at ${nats.getServer()} ${lacks}`);
}

function failed({ servers }: NodeConnectionOptions, cause: unknown): ClusterError {
  if (cause instanceof ClusterError) return cause;
  const text = `NATS at ${printable(String(servers))} can't be reached (${causeText(cause)}); see that it runs, and cluster.bus`;
  return new ClusterError('BUS_FAILED', text, { cause });
}
