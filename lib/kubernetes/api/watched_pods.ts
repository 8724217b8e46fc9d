/** Pods of a label, as they are now: listed, and then watched for what changes. */
import { setTimeout as delay } from 'node:timers/promises';
import { jsonOrUndefined } from '../../../base/foreign_text.js';
import { KubernetesError } from './errors.js';
import type { KubernetesApi } from './kubernetes_api.js';
import { linesOf } from './lines.js';
import type { Pod } from './pod.js';

interface PodList {
  readonly metadata: { readonly resourceVersion: string };
  readonly items: readonly Pod[];
}

interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: Pod;
}

/** A pod as it was seen last; one that is gone stays as it was. */
export interface SeenPod {
  readonly pod: Pod;
  readonly isGone: boolean;
}

/** A watch that the server ends is begun again after so long. */
const PAUSE_MS = 200;
/** An API server that is begun anew, or a network that is mended: pods go on meanwhile. */
const LOST_MS = 600_000;
/** By the server; an idle one that a proxy forgot is begun anew. */
const WATCH_S = 240;

/** Who looks at pods. */
export class WatchedPods {
  private readonly pods = new Map<string, SeenPod>();
  private readonly waiting = new Set<() => void>();
  private failure: Error | null = null;

  /** @param path of pods, with a query that selects some */
  constructor(
    private readonly api: KubernetesApi,
    private readonly path: string,
  ) {}

  /** Looks until the signal is aborted, or the server refuses; that is thrown by {@link until}. */
  async watch(signal: AbortSignal): Promise<void> {
    try {
      for (let seenMs = performance.now(); !signal.aborted;) {
        const error = await this.listThenWatch(signal).then(
          () => null,
          (cause: unknown) => cause,
        );
        if (error === null) seenMs = performance.now();
        else if (!isPassing(error) || performance.now() - seenMs > LOST_MS) throw error as Error;
        await delay(PAUSE_MS, undefined, { signal }).catch(() => undefined);
      }
    } catch (error) {
      this.failure = error as Error;
      this.tell();
    }
  }

  /** Those that are there now. @throws KubernetesError; the signal's reason */
  async listed(signal: AbortSignal): Promise<readonly Pod[]> {
    return (await this.list(signal)).items;
  }

  /** Waits until they are so, and gives what `found` does. @throws KubernetesError where nobody can look any more; the signal's reason */
  async until<T>(found: (pods: readonly SeenPod[]) => T | null, signal: AbortSignal): Promise<T> {
    for (;;) {
      signal.throwIfAborted();
      const value = found([...this.pods.values()]);
      if (value !== null) return value;
      if (this.failure !== null) throw this.failure;
      await this.changed(signal);
    }
  }

  private changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.waiting.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.waiting.add(done);
      signal.addEventListener('abort', done);
    });
  }

  private async listThenWatch(signal: AbortSignal): Promise<void> {
    const list = await this.list(signal);
    const there = new Set(list.items.map(({ metadata }) => metadata.uid));
    for (const [uid, { pod }] of this.pods) if (!there.has(uid)) this.pods.set(uid, { pod, isGone: true });
    for (const pod of list.items) this.see(pod, false);
    this.tell();
    const from = `&watch=true&timeoutSeconds=${WATCH_S}&resourceVersion=${list.metadata.resourceVersion}`;
    try {
      for await (const line of linesOf(this.api.follow(this.path + from, signal))) {
        const event = jsonOrUndefined(line) as WatchEvent | undefined;
        if (event === undefined || event.type === 'ERROR') return; // too old by now: listed again
        if (event.type === 'BOOKMARK') continue;
        this.see(event.object, event.type === 'DELETED');
        this.tell();
      }
    } catch (error) {
      if (!isPassing(error)) throw error;
    }
  }

  private list(signal: AbortSignal): Promise<PodList> {
    return this.api.ask<PodList>({ method: 'GET', path: this.path, signal });
  }

  private see(pod: Pod, isGone: boolean): void {
    this.pods.set(pod.metadata.uid, { pod, isGone });
  }

  private tell(): void {
    for (const wake of [...this.waiting]) wake();
  }
}

const isPassing = (error: unknown): boolean =>
  error instanceof KubernetesError && (error.code === 'UNREACHABLE' || error.code === 'FAILED');
