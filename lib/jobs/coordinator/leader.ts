/** One time that a process leads: all jobs go on by it. Why: docs/decisions/jobs.md#who-leads-decides-and-a-stale-leader-writes-nothing */
import { causeText } from '../../../base/foreign_text.js';
import { JobError } from '../base/errors.js';
import type { Firing, JobBus, JobClock, JobRecord } from '../base/job_bus.js';
import { askOf, jobOf, runOf } from '../base/parse.js';
import { isRunDue } from '../decisions/firing.js';
import { scheduledRunId } from '../decisions/ids.js';
import { newRun } from '../decisions/new_run.js';
import type { Placement } from '../decisions/placement.js';
import { waited } from '../local/clock.js';
import { JobKeeper, type KeeperParts } from './job_keeper.js';
import { endsLeader } from './leader_parts.js';
import { LiveWorkers } from './live_workers.js';
import { OwnRecords } from './own_records.js';
import { Sweeper } from './sweeper.js';

/** What is under way when a leader ends has so long. */
const CLOSE_MS = 1000;

/** How a leader leads. */
export interface LeaderOptions {
  /** The process's name among workers. */
  readonly id: string;
  readonly clock: JobClock;
  /** What somebody should know. */
  readonly log: (text: string) => void;
  /** A worker that isn't there for so long is gone. */
  readonly goneAfterMs?: number;
}

/** Leads until the signal says so, or it finds that it doesn't lead any more, or can't. @throws JobError RECORD_CONFLICT, BUS_FAILED, CLOSED */
export async function lead(bus: JobBus, options: LeaderOptions, until: AbortSignal): Promise<void> {
  const leader = new Leader(bus, options);
  try {
    await Promise.race([ended(until), leader.failure, leader.run()]);
  } finally {
    await leader.close();
  }
}

class Leader {
  /** Rejects when it can't go on. */
  readonly failure: Promise<void>;
  private fail: (reason: unknown) => void = () => undefined;
  private readonly own: OwnRecords;
  private readonly workers: LiveWorkers;
  private readonly sweeper: Sweeper;
  private readonly keepers = new Map<string, JobKeeper>();
  private readonly parts: KeeperParts;
  private readonly stops: (() => unknown)[] = [];
  private isStarted = false;

  constructor(
    private readonly bus: JobBus,
    private readonly options: LeaderOptions,
  ) {
    const { id, clock, log, goneAfterMs } = options;
    this.failure = new Promise((_, reject) => (this.fail = reject));
    this.failure.catch(() => undefined);
    this.own = new OwnRecords(bus.records);
    this.workers = new LiveWorkers(bus.roster, clock, () => this.kickAll(), goneAfterMs);
    this.sweeper = new Sweeper({ bus, own: this.own }, this.fail);
    this.parts = {
      ...{ bus, clock, id, log, own: this.own, workers: this.workers, sweeper: this.sweeper },
      placements: new Map(),
      turns: new Map(),
      scheduled: new Map(),
      loadOf: () => this.loads(),
      jobs: () => [...this.keepers.values()].flatMap(({ job }) => (job === null ? [] : [job])),
      keeperOf: (job) => this.keeperOf(job),
      failed: (reason, job) => this.keeperFailed(reason, job),
    };
  }

  /** Never ends by itself. */
  async run(): Promise<never> {
    await this.load();
    this.own.check();
    await Promise.all([this.watchJobs(), this.watchRuns(), this.workers.ready]);
    this.own.check();
    this.isStarted = true;
    for (const keeper of this.keepers.values()) keeper.start();
    await this.watchAsks();
    this.own.check();
    this.stops.push(this.bus.schedules.take((firing) => this.fire(firing)));
    return new Promise<never>(() => undefined);
  }

  /** What is under way comes to nothing. It isn't waited for long: calls wait for a bus that is down. */
  async close(): Promise<void> {
    this.own.end();
    this.workers.stop();
    const { clock } = this.options;
    const over = new AbortController();
    const ends = [...this.stops.map((stop) => stop()), ...this.keeperEnds(), this.sweeper.close()];
    await Promise.race([Promise.allSettled(ends), waited(clock, CLOSE_MS, over.signal)]);
    over.abort();
  }

  private keeperEnds(): readonly Promise<void>[] {
    return [...this.keepers.values()].map((keeper) => keeper.close());
  }

  /** What the leader before left. */
  private async load(): Promise<void> {
    const { own } = this;
    const broken = (reason: unknown): void => this.options.log(`left alone: ${causeText(reason)}`);
    const runs = [...(await own.load('run', runOf, broken)).values()];
    for (const run of runs) this.keeperOf(run.job.name).know(run);
    const unsettled = new Set(runs.filter(({ isSettled }) => !isSettled).map(({ id }) => id));
    await own.load('turn', textIn, broken);
    for (const [key, placed] of await own.load('placed', placementIn, broken)) {
      if (unsettled.has(key.split('.')[1]!)) this.parts.placements.set(key, placed);
      else await own.remove(key); // by a leader that was asleep when the run ended
    }
    for (const [key, text] of await own.load('scheduled', textIn, broken)) {
      const job = key.slice('scheduled.'.length);
      this.keeperOf(job); // it may have been removed meanwhile
      this.parts.scheduled.set(job, text);
    }
  }

  private watchJobs(): Promise<void> {
    return this.watch('job', (name, text, revision) => {
      try {
        const job = text === null ? null : jobOf({ key: `job.${name}`, text, revision });
        this.keeperOf(name).mend(job);
      } catch (reason) {
        this.keeperOf(name).park();
        this.options.log(causeText(reason));
      }
    });
  }

  /** A leader that was asleep may have made one before it found that it leads no more: who leads begins anew with what there is. */
  private watchRuns(): Promise<void> {
    return this.watch('run', (id, text, revision) => {
      if (text === null || !this.own.isForeign(`run.${id}`, revision)) return;
      this.fail(new JobError('RECORD_CONFLICT', `somebody else wrote run ${id}; read it again`));
    });
  }

  private watchAsks(): Promise<void> {
    return this.watch('ask', (id, text) => {
      if (text === null) return;
      const ask = askOf(text);
      const job = ask?.kind === 'stop' ? this.jobOf(ask.run) : ask?.job;
      if (ask === null || job === undefined) {
        this.options.log(`ask ${id} is for nothing that there is, and is dropped`);
        this.bus.records.remove(`ask.${id}`).catch(this.fail);
        return;
      }
      this.keeperOf(job).asks.set(`ask.${id}`, ask);
      this.keeperOf(job).kick();
    });
  }

  /** Resolves when all that were there are told. */
  private watch(top: string, told: (name: string, text: string | null, revision: number) => void): Promise<void> {
    return new Promise((resolve) => {
      const listener = {
        changed: (key: string, text: string | null, revision: number) =>
          told(key.slice(top.length + 1), text, revision),
        ready: resolve,
      };
      this.stops.push(this.bus.records.watch(top, listener));
    });
  }

  /** What a job's own fault is doesn't come again. @throws JobError */
  private async fire(firing: Firing): Promise<void> {
    try {
      await this.handle(firing);
    } catch (reason) {
      if (!endsLeader(reason)) {
        this.keeperFailed(reason, firing.job);
        return;
      }
      this.fail(reason);
      throw reason;
    }
  }

  private async handle(firing: Firing): Promise<void> {
    const keeper = this.keeperOf(firing.job);
    const { job } = keeper;
    this.own.check();
    if (job === null) {
      // Where one was told of schedules, they go with the job, or the job can't be read.
      if (!this.parts.scheduled.has(firing.job)) await this.bus.schedules.set(firing.job, []);
      return;
    }
    const nowMs = this.options.clock.now();
    if (!isRunDue(job, firing, keeper.all, nowMs)) return;
    const { trigger, dueMs } = firing;
    const id = scheduledRunId(job.name, dueMs);
    await keeper.make(newRun({ id, job, cause: { kind: 'schedule', trigger }, params: {}, dueMs, nowMs }));
  }

  private keeperOf(job: string): JobKeeper {
    const found = this.keepers.get(job);
    if (found !== undefined) return found;
    const keeper = new JobKeeper(this.parts, job);
    this.keepers.set(job, keeper);
    if (this.isStarted) keeper.start();
    return keeper;
  }

  private jobOf(run: string): string | undefined {
    for (const { name, all } of this.keepers.values()) if (all.some(({ id }) => id === run)) return name;
    return undefined;
  }

  private kickAll(): void {
    for (const keeper of this.keepers.values()) keeper.kick();
  }

  private keeperFailed(reason: unknown, job: string): void {
    if (endsLeader(reason)) this.fail(reason);
    else this.options.log(`job ${job} can't go on until it is applied again: ${causeText(reason)}`);
  }

  private loads(): (worker: string) => number {
    const loads = new Map(this.workers.all.map(({ id }) => [id, 0]));
    for (const keeper of this.keepers.values()) {
      for (const run of keeper.running) {
        for (const [worker, load] of run.loads().flatMap((each) => [...each])) {
          loads.set(worker, (loads.get(worker) ?? 0) + load);
        }
      }
    }
    // What no placement knows of: tasks that anybody could take.
    const inHand = new Map(this.workers.all.map(({ id, numRunning }) => [id, numRunning]));
    return (worker) => Math.max(loads.get(worker) ?? 0, inHand.get(worker) ?? 0);
  }
}

const textIn = ({ text }: JobRecord): string => JSON.parse(text) as string;

const placementIn = ({ text }: JobRecord): Placement => JSON.parse(text) as Placement;

const ended = (until: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (until.aborted) resolve();
    else until.addEventListener('abort', () => resolve(), { once: true });
  });
