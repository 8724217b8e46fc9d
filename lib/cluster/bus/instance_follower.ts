/**
 * Has a local bus hear of an instance elsewhere: of our own by the events that it tells over HTTP, of a server of others by asking for its models.
 * Why: docs/decisions/cluster.md#without-nats-a-router-follows-each-instance
 */
import { setTimeout as delay } from 'node:timers/promises';
import { causeText } from '../../../base/foreign_text.js';
import type { BlockBatch } from '../base/block_events.js';
import { ClusterError } from '../base/errors.js';
import type { InstanceRecord } from '../base/instance_record.js';
import type { LoadReport } from '../base/load_report.js';
import type { MemberEvents } from './bus.js';
import { isWhole } from './batch_order.js';
import { EventReader, type EventTaker } from './event_reader.js';
import { foreignRecord } from './foreign_instance.js';
import { InstanceLink, type InstanceLinkOptions, type Pieces } from './instance_link.js';
import type { LocalBus, LocalMember } from './local_bus.js';

/** Whom to follow, and how patiently. `id`: of a server of others; our own say theirs. `url`: what an instance says of its own address doesn't count. */
export interface FollowOptions extends InstanceLinkOptions {
  /** Who said nothing for so long is gone. Default 5000. */
  readonly ttlMs?: number;
  /** Between two attempts, and a quarter of it more or less. Default 500. */
  readonly retryMs?: number;
  /** It can't be followed, and why; null: it can. Default: nobody hears of it. */
  readonly onTrouble?: (error: ClusterError | null) => void;
}

const DEFAULTS = { ttlMs: 5000, retryMs: 500, onTrouble: () => undefined } as const;

/** Follows one instance until it is closed, whatever becomes of it meanwhile. */
export class InstanceFollower implements EventTaker, MemberEvents {
  private readonly options: Required<FollowOptions>;
  private readonly link: InstanceLink;
  private readonly over = new AbortController();
  private readonly running: Promise<void>;
  /** Of the question at hand. */
  private asking = new AbortController();
  /** All blocks were told since the question was asked. */
  private hasToldAll = false;
  /** And are wanted again. */
  private isWanted = false;
  /** Null: the bus knows nothing of it. */
  private member: LocalMember | null = null;
  private troubleText: string | null = null;
  /** Runs while nothing is heard. */
  private silence: NodeJS.Timeout | undefined;

  constructor(
    private readonly bus: LocalBus,
    options: FollowOptions,
  ) {
    this.options = { ...DEFAULTS, ...options };
    this.link = new InstanceLink(options);
    this.hear();
    this.running = this.run();
  }

  /** The instance is gone from the bus. Idempotent. */
  async close(): Promise<void> {
    this.over.abort();
    this.asking.abort();
    await this.running;
    clearTimeout(this.silence);
    this.gone();
  }

  /** As {@link EventTaker.record}. */
  record(told: InstanceRecord): void {
    const record = { ...told, url: this.options.url };
    const before = this.member?.record;
    if (before?.id === record.id && before.incarnation === record.incarnation) {
      this.member!.update(record);
    } else {
      if (before?.id !== record.id) this.gone();
      this.member = this.bus.add(record, this);
    }
    this.tell(null);
  }

  /** As {@link EventTaker.load}. */
  load(load: LoadReport): void {
    this.member?.report(load);
  }

  /** As {@link EventTaker.blocks}. */
  blocks(batch: BlockBatch): void {
    if (isWhole(batch)) this.hasToldAll = true;
    this.member?.publish(batch);
  }

  /** As {@link EventTaker.gone}. */
  gone(): void {
    void this.member?.leave();
    this.member = null;
  }

  /** As {@link MemberEvents.wanted}: who comes again is told everything, and so is who came just now. */
  wanted(): void {
    if (!this.hasToldAll) return;
    this.hasToldAll = false;
    this.isWanted = true;
    this.asking.abort();
  }

  /** As {@link MemberEvents.trouble}. */
  trouble(error: ClusterError | null): void {
    this.member = null;
    this.tell(error);
  }

  private async run(): Promise<void> {
    const { signal } = this.over;
    const { retryMs } = this.options;
    while (!signal.aborted) {
      await this.follow().catch((error: unknown) => this.fail(error));
      if (this.isWanted) continue;
      await delay(retryMs * (0.75 + Math.random() / 2), undefined, { signal }).catch(() => undefined);
    }
  }

  /** Takes what comes, until it ends. */
  private async follow(): Promise<void> {
    this.asking = new AbortController();
    this.hasToldAll = false;
    this.isWanted = false;
    const signal = AbortSignal.any([this.over.signal, this.asking.signal]);
    const pieces = await this.link.events(signal);
    if (pieces === null) await this.ask(signal);
    else await this.read(pieces);
  }

  private async read(pieces: Pieces): Promise<void> {
    const reader = new EventReader(this.options.url, this);
    for await (const piece of pieces) {
      this.hear();
      reader.feed(piece);
    }
  }

  /** Asks a server of others again and again while it answers. */
  private async ask(signal: AbortSignal): Promise<void> {
    const { id, url, ttlMs } = this.options;
    while (!signal.aborted) {
      this.record(foreignRecord(id, url, await this.link.models(signal)));
      this.hear();
      await delay(ttlMs / 2, undefined, { signal });
    }
  }

  private hear(): void {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.lose(), this.options.ttlMs).unref();
  }

  private lose(): void {
    this.member?.lose();
    this.member = null;
    this.asking.abort();
    this.hear();
  }

  private fail(error: unknown): void {
    const isOwnDoing = this.over.signal.aborted || this.asking.signal.aborted;
    if (isOwnDoing) return;
    if (isRefused(error)) this.lose(); // nobody listens any more: there is nothing to wait for
    const { id, url } = this.options;
    const text = `instance ${id} at ${url} can't be followed (${causeText(causeOf(error))}); it is tried again`;
    const lost = new ClusterError('INSTANCE_LOST', text, { instance: id, cause: error });
    this.tell(error instanceof ClusterError ? error : lost);
  }

  /** Each trouble once. */
  private tell(error: ClusterError | null): void {
    const text = error?.message ?? null;
    if (text === this.troubleText) return;
    this.troubleText = text;
    this.options.onTrouble(error);
  }
}

/** What `fetch` wraps. */
const causeOf = (error: unknown): unknown =>
  error instanceof TypeError && error.cause !== undefined ? error.cause : error;

const isRefused = (error: unknown): boolean =>
  (causeOf(error) as { readonly code?: unknown } | null)?.code === 'ECONNREFUSED';
