import { expect } from 'chai';
import type { Job, Json } from '../../../lib/jobs/base/job.js';
import { ENDED, type JobRun } from '../../../lib/jobs/base/run.js';
import { askRecord, jobRecord, runRecord, shardRecord, type Ask, type Shard } from '../../../lib/jobs/base/task.js';
import { coordinate } from '../../../lib/jobs/coordinator/coordinate.js';
import { isOut } from '../../../lib/jobs/decisions/graph.js';
import { askedRunId, stopAskId } from '../../../lib/jobs/decisions/ids.js';
import { PlayedBus, type Fault } from './played_bus.js';
import { PlayedClock } from './played_clock.js';
import { PlayedWorker, type Play } from './played_worker.js';

/** A record that nobody can read. */
export const BROKEN = '{';

/** Jobs with played time, bus and workers, and real leaders. What may never be written fails the test in the end. */
export class JobScene {
  readonly clock = new PlayedClock();
  readonly bus: PlayedBus;
  readonly logged: string[] = [];
  readonly wrong: string[] = [];
  readonly effects = new Map<string, number>();
  readonly workers = new Map<string, PlayedWorker>();
  private readonly ending = new AbortController();
  private numLeaders = 0;
  private numAsks = 0;
  private isToBeLookedAt = true;

  /** `faults`: of the first leader, the second one, and so on; those that come later have none. */
  constructor(
    private readonly faults: readonly (readonly Fault[])[] = [],
    private readonly isDurable = true,
    private readonly play: Play = () => ({ ms: 100, isFailing: false }),
  ) {
    this.bus = new PlayedBus(this.clock, isDurable, (key, before, text) => this.check(key, before, text));
    this.startLeader();
  }

  startWorker(id: string, width = 2): void {
    this.workers.set(id, new PlayedWorker(this.bus, id, this.play, width));
  }

  killWorker(id: string, isGhost = false): void {
    this.workers.get(id)?.die(isGhost);
    this.workers.delete(id);
  }

  apply(job: Job): void {
    const key = jobRecord(job.name);
    this.bus.write(key, JSON.stringify(job), this.bus.known.get(key)?.revision ?? 0);
  }

  /** Asks for a run, and gives its id. */
  ask(
    job: string,
    { params = {}, resume = null }: { params?: Record<string, Json>; resume?: string | null } = {},
  ): string {
    const atMs = this.clock.now();
    const id = askedRunId(job, atMs, `a${this.numAsks++}`);
    this.write(askRecord(id), { kind: 'run', job, params, atMs, resume });
    return id;
  }

  askToStop(run: string): void {
    this.write(askRecord(stopAskId(run)), { kind: 'stop', run, atMs: this.clock.now() });
  }

  fire(job: string, dueMs = this.clock.now(), trigger = 0): void {
    void this.bus.fire({ job, trigger, dueMs });
  }

  /** All runs, by when they were due. */
  get runs(): JobRun[] {
    const all = this.bus
      .list('run')
      .filter(({ text }) => text !== BROKEN)
      .map(({ text }) => JSON.parse(text) as JobRun);
    return all.sort((a, b) => a.dueMs - b.dueMs || (a.id < b.id ? -1 : 1));
  }

  /** @throws where there is none */
  run(id: string): JobRun {
    return JSON.parse(this.bus.known.get(runRecord(id))!.text) as JobRun;
  }

  shard(run: string, node: string, index: number): Shard | null {
    const found = this.bus.known.get(shardRecord({ run, node, index }));
    return found === undefined ? null : (JSON.parse(found.text) as Shard);
  }

  /** Until all that was asked for is over, or so long. */
  async settle(ms = 600_000): Promise<void> {
    this.isToBeLookedAt = true;
    await this.clock.pass(ms, () => this.isQuiet());
    await this.clock.pass(0);
  }

  /** Ends all, and says whether something was wrong. */
  async end(): Promise<void> {
    this.ending.abort();
    await this.clock.pass(60_000);
    expect(this.wrong.join(', ')).to.equal('');
  }

  /** Looks only when something was written that may make it so. */
  private isQuiet(): boolean {
    if (!this.isToBeLookedAt) return false;
    this.isToBeLookedAt = false;
    return this.bus.list('ask').length === 0 && this.runs.every(({ isSettled }) => isSettled);
  }

  private startLeader(): void {
    const turn = this.numLeaders++;
    const bus = this.bus.connect(this.faults[turn] ?? [], () => {
      if (!this.isDurable) this.bus.queue.lose();
      this.startLeader();
    });
    const options = { id: `leader${turn}`, clock: this.clock, log: (text: string) => void this.logged.push(text) };
    void coordinate(bus, options, this.ending.signal);
  }

  private write(key: string, ask: Ask): void {
    this.bus.write(key, JSON.stringify(ask), 0);
  }

  private check(key: string, before: string | null, text: string): void {
    if (!key.startsWith('shard.')) this.isToBeLookedAt = true;
    if (key.startsWith('shard.')) this.checkShard(key, before, JSON.parse(text) as Shard);
    if (key.startsWith('run.') && text !== BROKEN) this.checkRun(before, JSON.parse(text) as JobRun);
  }

  private checkShard(key: string, before: string | null, shard: Shard): void {
    const old = before === null ? null : (JSON.parse(before) as Shard);
    if (old !== null && old.state !== 'trying') this.wrong.push(`${key} was ${old.state} and became ${shard.state}`);
    if (shard.state === 'done') this.effects.set(key, (this.effects.get(key) ?? 0) + 1);
  }

  private checkRun(before: string | null, run: JobRun): void {
    const old = before === null ? null : (JSON.parse(before) as JobRun);
    if (old !== null && ENDED.has(old.state) && old.state !== run.state) this.wrong.push(`${run.id} had ended`);
    const others = this.runs.filter(
      ({ id, job, state }) => id !== run.id && job.name === run.job.name && state === 'running',
    );
    if (run.state === 'running' && others.length > 0) this.wrong.push(`${run.id} and ${others[0]!.id} run at once`);
    for (const { name, needs } of run.job.nodes) {
      const isBad = needs.some((need) => !['succeeded', 'kept'].includes(run.nodes[need]!.state));
      if (isOut(run.nodes[name]!) && isBad) this.wrong.push(`${name} of ${run.id} began too early`);
    }
  }
}
