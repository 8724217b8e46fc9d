/** A bus in memory, whose users' processes may die or fall asleep at any call; it checks each record that is written. */
import { Readable } from 'node:stream';
import { JobError } from '../../../lib/jobs/base/errors.js';
import type {
  Firing,
  JobBus,
  JobClock,
  JobRecord,
  QueuedTask,
  RecordListener,
  Schedule,
  WorkerRecord,
} from '../../../lib/jobs/base/job_bus.js';
import { PlayedQueue } from './played_queue.js';

/** Before a call is done, behind it, or it waits for so long and is done then. */
export interface Fault {
  /** Which call, from 0. */
  readonly at: number;
  readonly kind: 'dies before' | 'dies after' | 'sleeps';
}

/** A process sleeps so long, and others think it dead. */
export const SLEEP_MS = 20_000;

const within = (key: string, prefix: string): boolean =>
  prefix === '' || key === prefix || key.startsWith(`${prefix}.`);

/** What all processes share. */
export class PlayedBus {
  readonly known = new Map<string, JobRecord>();
  readonly blobs = new Map<string, Uint8Array>();
  readonly queue: PlayedQueue;
  readonly schedules = new Map<string, readonly (Schedule | null)[]>();
  readonly removedLogs: string[] = [];
  readonly workers = new Map<string, WorkerRecord>();
  readonly watches = new Set<{ readonly prefix: string; readonly listener: RecordListener }>();
  readonly rosterWatches = new Set<(workers: readonly WorkerRecord[]) => void>();
  handle: ((firing: Firing) => Promise<void>) | null = null;
  leading: AbortController | null = null;
  private readonly wantToLead: (() => void)[] = [];
  private revision = 0;

  /** `written`: looks at each record before it is written. */
  constructor(
    readonly clock: JobClock,
    isDurable: boolean,
    readonly written: (key: string, before: string | null, text: string) => void,
  ) {
    this.queue = new PlayedQueue(clock, isDurable);
  }

  write(key: string, text: string, revision: number): number {
    const before = this.known.get(key);
    if ((before?.revision ?? 0) !== revision) throw new JobError('RECORD_CONFLICT', `${key} is another one; read it`);
    this.written(key, before?.text ?? null, text);
    this.known.set(key, { key, text, revision: ++this.revision });
    this.tell(key, text, this.revision);
    return this.revision;
  }

  remove(key: string): void {
    if (this.known.delete(key)) this.tell(key, null, ++this.revision);
  }

  list(prefix: string): readonly JobRecord[] {
    return [...this.known.values()].filter(({ key }) => within(key, prefix));
  }

  tellRoster(): void {
    for (const watch of [...this.rosterWatches]) queueMicrotask(() => watch([...this.workers.values()]));
  }

  /** A job is due; again until somebody has taken it. */
  async fire(firing: Firing): Promise<void> {
    try {
      if (this.handle === null) throw new Error('nobody takes');
      await this.handle(firing);
    } catch {
      this.clock.after(500, () => void this.fire(firing));
    }
  }

  /** The place is free. */
  async lead(until: AbortSignal): Promise<AbortController | null> {
    while (this.leading !== null && !until.aborted) {
      await new Promise<void>((resolve) => {
        this.wantToLead.push(resolve);
        until.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    if (until.aborted) return null;
    return (this.leading = new AbortController());
  }

  /** Nobody leads. */
  free(own: AbortController): void {
    own.abort();
    if (this.leading === own) this.leading = null;
    this.wantToLead.shift()?.();
  }

  /** A process that uses it. */
  connect(faults: readonly Fault[] = [], died: () => void = () => undefined): JobBus {
    return new Connection(this, faults, died).bus;
  }

  private tell(key: string, text: string | null, revision: number): void {
    for (const { prefix, listener } of [...this.watches]) {
      if (within(key, prefix)) queueMicrotask(() => listener.changed(key, text, revision));
    }
  }
}

class Connection {
  readonly bus: JobBus;
  private numCalls = 0;
  private isDead = false;
  private leading: AbortController | null = null;

  constructor(
    private readonly shared: PlayedBus,
    private readonly faults: readonly Fault[],
    private readonly died: () => void,
  ) {
    const call = this.call.bind(this);
    const { queue } = shared;
    this.bus = {
      records: {
        read: (key) => call(() => shared.known.get(key) ?? null),
        write: (key, text, revision) => call(() => shared.write(key, text, revision)),
        remove: (key) => call(() => shared.remove(key)),
        list: (prefix) => call(() => shared.list(prefix)),
        watch: (prefix, listener) => this.watch(prefix, listener),
      },
      tasks: {
        isDurable: queue.isDurable,
        add: (tasks: readonly QueuedTask[]) => call(() => queue.add(tasks)),
        take: (worker, width, handle) => queue.take(worker, width, handle),
        drop: (what) => call(() => queue.drop(what)),
      },
      schedules: {
        set: (job, schedules) => call(() => void shared.schedules.set(job, schedules)),
        take: (handle) => this.takeFirings(handle),
      },
      blobs: {
        put: () => Promise.reject(new Error('nobody puts')),
        get: (name) => this.blob(name),
        remove: (name) => call(() => this.removeBlobs(name)),
      },
      logs: {
        append: () => Promise.resolve(),
        read: () => Readable.from([]),
        remove: (run) => call(() => void shared.removedLogs.push(run)),
      },
      roster: {
        enter: () => Promise.reject(new Error('workers are played')),
        watch: (listener) => this.watchRoster(listener),
        campaign: (_, lead, until) => this.campaign(lead, until),
      },
      close: () => Promise.resolve(),
    };
  }

  private async call<T>(act: () => T): Promise<T> {
    await Promise.resolve();
    this.check();
    const fault = this.faults.find(({ at }) => at === this.numCalls)?.kind;
    this.numCalls++;
    if (fault === 'dies before') this.die();
    if (fault === 'sleeps') await this.sleep();
    const result = act();
    if (fault === 'dies after') this.die();
    return result;
  }

  private check(): void {
    if (this.isDead) throw new JobError('CLOSED', 'it died; start another');
  }

  private die(): never {
    this.isDead = true;
    if (this.leading !== null) this.shared.free(this.leading);
    this.died();
    throw new JobError('CLOSED', 'it dies; start another');
  }

  /** Somebody else leads meanwhile, and it doesn't know yet. */
  private async sleep(): Promise<void> {
    if (this.shared.leading === this.leading) this.shared.leading = null;
    this.died();
    await new Promise<void>((resolve) => this.shared.clock.after(SLEEP_MS, resolve));
  }

  private watch(prefix: string, listener: RecordListener): () => void {
    const own: RecordListener = {
      changed: (key, text, revision) => this.isDead || listener.changed(key, text, revision),
    };
    const watch = { prefix, listener: own };
    queueMicrotask(() => {
      for (const { key, text, revision } of this.shared.list(prefix)) own.changed(key, text, revision);
      this.shared.watches.add(watch);
      if (!this.isDead) listener.ready?.();
    });
    return () => queueMicrotask(() => this.shared.watches.delete(watch));
  }

  private watchRoster(listener: (workers: readonly WorkerRecord[]) => void): () => void {
    const own = (workers: readonly WorkerRecord[]): unknown => this.isDead || listener(workers);
    this.shared.rosterWatches.add(own);
    queueMicrotask(() => own([...this.shared.workers.values()]));
    return () => this.shared.rosterWatches.delete(own);
  }

  private takeFirings(handle: (firing: Firing) => Promise<void>): () => Promise<void> {
    this.shared.handle = handle;
    return () => {
      if (this.shared.handle === handle) this.shared.handle = null;
      return Promise.resolve();
    };
  }

  private async campaign(lead: (until: AbortSignal) => Promise<void>, until: AbortSignal): Promise<void> {
    while (!until.aborted && !this.isDead) {
      const own = await this.shared.lead(until);
      if (own === null) return;
      this.leading = own;
      const end = (): void => own.abort();
      until.addEventListener('abort', end);
      await lead(own.signal).catch(() => undefined);
      until.removeEventListener('abort', end);
      this.shared.free(own);
      this.leading = null;
      await new Promise<void>((resolve) => this.shared.clock.after(100, resolve));
    }
  }

  private async *blob(name: string): AsyncGenerator<Uint8Array> {
    const found = await this.call(() => this.shared.blobs.get(name));
    if (found === undefined) throw new JobError('BROKEN_RECORD', `${name} isn't there; apply the job again`);
    yield found;
  }

  private removeBlobs(name: string): void {
    for (const each of [...this.shared.blobs.keys()]) {
      if (each === name || each.startsWith(`${name}/`)) this.shared.blobs.delete(each);
    }
  }
}
