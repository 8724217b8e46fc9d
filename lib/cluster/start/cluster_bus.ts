/** How a router hears of its instances: by NATS where they meet there, and by asking those whose URLs it was given. */
import { once } from 'node:events';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { Bus, BusListener } from '../bus/bus.js';
import type { ClusterError } from '../base/errors.js';
import type { InstanceRecord } from '../base/instance_record.js';
import { InstanceFollower } from '../bus/instance_follower.js';
import { LocalBus } from '../bus/local_bus.js';

/** An instance that is to be asked. */
export interface KnownInstance {
  readonly id: string;
  readonly url: string;
  /** Of its clients, where it has one. */
  readonly apiKey: string | null;
}

/** What a cluster's bus is opened with. */
export interface ClusterBusOptions {
  readonly cluster: ExpertwireConfig['cluster'];
  /** Of routers and instances. Null: there is none. */
  readonly clusterKey: string | null;
  /** Of the process, for secrets of NATS. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** An instance can't be asked, and why; null: it can again. */
  readonly onTrouble: (id: string, error: ClusterError | null) => void;
}

/** Both ways. */
export class ClusterBus implements Pick<Bus, 'watch' | 'close'> {
  private readonly asked = new LocalBus();
  private readonly followers = new Map<string, InstanceFollower>();
  /** Of followers that aren't asked for any more. */
  private readonly closing = new Set<Promise<void>>();

  private constructor(
    private readonly options: ClusterBusOptions,
    private readonly nats: Bus | null,
  ) {}

  /** @throws ClusterError BUS_FAILED */
  static async open(options: ClusterBusOptions): Promise<ClusterBus> {
    const { cluster } = options;
    if (cluster.bus === 'local') return new ClusterBus(options, null);
    const { openNatsBus } = await import('../bus/nats/nats_bus.js');
    return new ClusterBus(options, await openNatsBus(cluster, options.env));
  }

  /** As {@link Bus.watch}. */
  watch(listener: BusListener): () => void {
    const stops = [this.asked, ...(this.nats === null ? [] : [this.nats])].map((bus) => bus.watch(listener));
    return () => {
      for (const stop of stops) stop();
    };
  }

  /** Waits until all of these are there, or the signal is aborted. Returns those that aren't. */
  async missing(ids: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
    const missing = new Set(ids);
    if (missing.size === 0) return [];
    await this.until(signal, ({ id }) => {
      missing.delete(id);
      return missing.size === 0;
    });
    return [...missing];
  }

  /** The first that is there; null: none until the signal was aborted. */
  async first(signal: AbortSignal): Promise<InstanceRecord | null> {
    let first: InstanceRecord | null = null;
    await this.until(signal, (record) => {
      first ??= record;
      return true;
    });
    return first;
  }

  /** Hears of instances until one is enough. */
  private async until(signal: AbortSignal, isEnough: (record: InstanceRecord) => boolean): Promise<void> {
    const enough = new AbortController();
    const over = AbortSignal.any([enough.signal, signal]);
    const stop = this.watch((event) => {
      if (event.kind === 'instance' && isEnough(event.record)) enough.abort();
    });
    if (!over.aborted) await once(over, 'abort');
    stop();
  }

  /** Asks an instance from now on, in the place of another of that name. */
  follow({ id, url, apiKey }: KnownInstance): void {
    this.unfollow(id);
    const { clusterKey, onTrouble, cluster } = this.options;
    const told = { onTrouble: (error: ClusterError | null) => onTrouble(id, error), ttlMs: cluster.ttl_ms };
    this.followers.set(id, new InstanceFollower(this.asked, { id, url, apiKey, clusterKey, ...told }));
  }

  /** It is gone. Idempotent. */
  unfollow(id: string): void {
    const follower = this.followers.get(id);
    this.followers.delete(id);
    if (follower === undefined) return;
    const closed = follower.close();
    this.closing.add(closed);
    void closed.then(() => this.closing.delete(closed));
  }

  /** As {@link Bus.close}. */
  async close(): Promise<void> {
    for (const id of [...this.followers.keys()]) this.unfollow(id);
    await Promise.all(this.closing);
    await Promise.all([this.asked.close(), this.nats?.close()]);
  }
}
