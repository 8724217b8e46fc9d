/**
 * Keeps one job going: its schedules, what is asked of it, and its runs. One thing at a time; jobs are beside each other.
 * Why: docs/decisions/jobs.md#of-two-who-think-that-they-lead-one-begins-a-run, docs/decisions/jobs.md#what-follows-of-a-runs-end-is-done-before-it-is-settled
 */
import { causeText } from '../../../base/foreign_text.js';
import type { Job } from '../base/job.js';
import { jobOf } from '../base/parse.js';
import type { JobRun } from '../base/run.js';
import { jobRecord, runRecord, type Ask } from '../base/task.js';
import { blockingOf, byTurn } from '../decisions/blocking.js';
import { jobsAfter, schedulesOf } from '../decisions/firing.js';
import { advanced, begun, deadlineOf, discarded, hasEnded, stopping } from '../decisions/graph.js';
import { followingRunId, jobBlobs, placedRecord, scheduledRecord, turnRecord } from '../decisions/ids.js';
import { removableRuns, unusedBlobs } from '../decisions/keeping.js';
import { newRun } from '../decisions/new_run.js';
import { answerTo } from './answers.js';
import { endsLeader, type LeaderParts } from './leader_parts.js';
import { LiveRun } from './live_run.js';
import type { Sweeper } from './sweeper.js';

/** What a keeper needs of its leader. */
export interface KeeperParts extends LeaderParts {
  readonly sweeper: Sweeper;
  readonly jobs: () => Iterable<Job>;
  readonly keeperOf: (job: string) => JobKeeper;
  /** What was told the bus of schedules, by job. */
  readonly scheduled: Map<string, string>;
  readonly failed: (reason: unknown, job: string) => void;
}

/** Of whoever leads. */
export class JobKeeper {
  /** Null: it was removed. */
  job: Job | null = null;
  readonly asks = new Map<string, Ask>();
  private readonly runs = new Map<string, JobRun>();
  private readonly live = new Map<string, LiveRun>();
  /** Runs that are being written for the first time, and those that are being removed. */
  private readonly making = new Set<string>();
  private readonly going = new Set<string>();
  private isStarted = false;
  private isDue = false;
  private isBroken = false;
  private work: Promise<void> | null = null;
  private stopTimer: () => void = () => undefined;

  constructor(
    private readonly parts: KeeperParts,
    readonly name: string,
  ) {}

  /** All of its runs. */
  get all(): JobRun[] {
    return [...this.runs.values()];
  }

  /** Those that run. */
  get running(): Iterable<LiveRun> {
    return this.live.values();
  }

  /** One that is kept already. */
  know(run: JobRun): void {
    this.runs.set(run.id, run);
  }

  /** One that is new, unless there is one of that name; one that is too large for the bus is told and dropped. @throws JobError */
  async make(run: JobRun): Promise<void> {
    if (this.runs.has(run.id) || this.making.has(run.id)) return;
    this.making.add(run.id);
    try {
      await this.parts.own.put(runRecord(run.id), run);
    } catch (reason) {
      if (endsLeader(reason)) throw reason;
      this.parts.log(`run ${run.id} can't be kept, and is dropped: ${causeText(reason)}`);
      return;
    } finally {
      this.making.delete(run.id);
    }
    this.runs.set(run.id, run);
    this.kick();
  }

  /** Looks what is to be done, soon. */
  kick(): void {
    this.isDue = true;
    if (this.isStarted && !this.isBroken) this.work ??= this.goOn();
  }

  /** All that there is is known: what isn't, was removed. */
  start(): void {
    this.isStarted = true;
    this.kick();
  }

  /** The job is another one: what couldn't be done with the one before may go now. */
  mend(job: Job | null): void {
    this.job = job;
    this.isBroken = false;
    this.kick();
  }

  /** Its record can't be read: nothing is done until it can. */
  park(): void {
    this.isBroken = true;
  }

  /** Does nothing more; what is under way is over. */
  async close(): Promise<void> {
    this.isBroken = true;
    this.stopTimer();
    for (const live of this.live.values()) live.stop();
    await this.work;
  }

  private async goOn(): Promise<void> {
    try {
      while (this.isDue && !this.isBroken) {
        this.isDue = false;
        await this.step();
      }
    } catch (reason) {
      this.isBroken = true;
      this.parts.failed(reason, this.name);
    } finally {
      this.work = null;
    }
  }

  private async step(): Promise<void> {
    await this.setSchedules();
    await this.answer();
    if (this.job === null) await this.stopAll();
    await this.block();
    for (const live of [...this.live.values()]) await live.step();
    for (const run of this.all.filter((each) => hasEnded(each) && !each.isSettled)) await this.settle(run);
    this.sweep();
    this.waitForDeadline();
  }

  /** The bus is told only what is new: it may begin anew then. */
  private async setSchedules(): Promise<void> {
    const { bus, own, scheduled } = this.parts;
    if (this.job === null) return;
    const text = JSON.stringify(schedulesOf(this.job));
    if (scheduled.get(this.name) === text) return;
    own.check();
    await bus.schedules.set(this.name, schedulesOf(this.job));
    await own.put(scheduledRecord(this.name), text);
    scheduled.set(this.name, text);
  }

  private async answer(): Promise<void> {
    for (const [key, ask] of [...this.asks].sort(([, a], [, b]) => a.atMs - b.atMs)) {
      if (ask.kind === 'stop') await this.stopRun(ask.run, 'somebody asked it to stop');
      else await this.answerRun(key, ask);
      await this.parts.bus.records.remove(key);
      this.asks.delete(key);
    }
  }

  private async answerRun(key: string, ask: Extract<Ask, { readonly kind: 'run' }>): Promise<void> {
    const id = key.slice(key.indexOf('.') + 1);
    this.job ??= await this.applied(); // the ask may come before the job that was applied before it
    const resumed = ask.resume === null ? null : (this.runs.get(ask.resume) ?? null);
    const run = answerTo(id, ask, { job: this.job, resumed, nowMs: this.parts.clock.now() });
    if (run === null) this.parts.log(`ask ${id} is for job ${this.name}, which isn't there, and is dropped`);
    else await this.make(run);
  }

  private async applied(): Promise<Job | null> {
    const found = await this.parts.bus.records.read(jobRecord(this.name));
    return found === null ? null : jobOf(found);
  }

  private async stopAll(): Promise<void> {
    for (const { id, isStopping } of this.all) if (!isStopping) await this.stopRun(id, 'its job was removed');
  }

  private async stopRun(id: string, message: string): Promise<void> {
    const run = this.runs.get(id);
    if (run !== undefined && !hasEnded(run)) await this.save(this.stopped(run, { code: 'RUN_STOPPED', message }));
  }

  private stopped(run: JobRun, error: Parameters<typeof stopping>[1]): JobRun {
    return stopping(run, error, this.parts.clock.now());
  }

  private async block(): Promise<void> {
    const [nowMs, numWorkers] = [this.parts.clock.now(), this.parts.workers.all.length];
    const lastJob = this.job ?? this.all.sort(byTurn).at(-1)?.job;
    if (lastJob === undefined) return;
    const { begins, discards, stops } = blockingOf(this.all, lastJob);
    for (const { run, error } of discards) await this.save(discarded(run, error, nowMs));
    for (const { run, error } of stops) await this.save(this.stopped(run, error));
    if (begins !== null) {
      // Of two who think that they lead, one alone comes past this.
      await this.parts.own.put(turnRecord(this.name), begins.id);
      await this.save(advanced(begun(begins, nowMs), { ...NOTHING, nowMs, numWorkers }));
    }
    for (const run of this.all) if (run.state === 'running') this.follow(run);
  }

  private follow(run: JobRun): void {
    if (this.live.has(run.id)) return;
    const saved = (next: JobRun): unknown => this.runs.set(next.id, next);
    this.live.set(run.id, new LiveRun(this.parts, run, saved, () => this.kick()));
  }

  private async save(run: JobRun): Promise<void> {
    const live = this.live.get(run.id);
    if (live !== undefined) return live.save(run);
    await this.parts.own.put(runRecord(run.id), run);
    this.runs.set(run.id, run);
  }

  /** What follows of a run's end. A leader that comes does it again where this one didn't come to the last line. */
  private async settle(run: JobRun): Promise<void> {
    const { bus, own, placements, jobs, keeperOf, clock } = this.parts;
    this.live.get(run.id)?.stop();
    this.live.delete(run.id);
    await bus.tasks.drop({ run: run.id });
    for (const job of jobsAfter(run, jobs())) {
      const cause = { kind: 'after', run: run.id } as const;
      const id = followingRunId(job.name, run);
      await keeperOf(job.name).make(newRun({ id, job, cause, params: {}, dueMs: run.endedMs!, nowMs: clock.now() }));
    }
    for (const { name } of run.job.nodes) {
      const key = placedRecord(run.id, name);
      if (own.has(key)) await own.remove(key);
      placements.delete(key);
    }
    await this.save({ ...run, isSettled: true });
    this.kick(); // another one may begin
  }

  private sweep(): void {
    const { sweeper } = this.parts;
    const isRemoved = this.job === null;
    const old = isRemoved ? this.all.filter(({ isSettled }) => isSettled) : removableRuns(this.all, this.job!.keepRuns);
    for (const run of old.filter(({ id }) => !this.going.has(id))) {
      this.going.add(run.id);
      const others = this.all.filter(({ id }) => !this.going.has(id));
      sweeper.add(async () => {
        await sweeper.remove(run, unusedBlobs(run.job, this.job, others));
        this.runs.delete(run.id);
        this.going.delete(run.id);
        if (this.job === null) this.kick();
      });
    }
    if (isRemoved && this.runs.size === 0 && this.parts.scheduled.has(this.name)) sweeper.add(() => this.forget());
  }

  /** The last of a job that was removed. */
  private async forget(): Promise<void> {
    const { bus, own, scheduled } = this.parts;
    if (this.job !== null || !scheduled.has(this.name)) return;
    own.check();
    await bus.schedules.set(this.name, []);
    await bus.blobs.remove(jobBlobs(this.name));
    await own.remove(turnRecord(this.name));
    await own.remove(scheduledRecord(this.name));
    scheduled.delete(this.name);
  }

  private waitForDeadline(): void {
    const { clock } = this.parts;
    this.stopTimer();
    const next = Math.min(...[...this.live.values()].map(({ current }) => deadlineOf(current)), Infinity);
    if (next < Infinity) this.stopTimer = clock.after(next - clock.now(), () => this.kick());
  }
}

/** Of the shards of a run that begins. */
const NOTHING = { tallyOf: () => ({ numDone: 0, numFailed: 0, numStopped: 0, error: null }) };
