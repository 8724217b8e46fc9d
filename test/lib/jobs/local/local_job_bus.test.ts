import { expect } from 'chai';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { JobError } from '../../../../lib/jobs/base/errors.js';
import type { Firing, JobClock } from '../../../../lib/jobs/base/job_bus.js';
import { FolderLogs } from '../../../../lib/jobs/local/folder_logs.js';
import { openLocalJobBus, visitLocalJobBus } from '../../../../lib/jobs/local/local_job_bus.js';
import { systemClock } from '../../../../lib/jobs/local/clock.js';
import { until } from '../../../kit/processes/processes.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

/** Time that a test moves. */
class PlayedClock implements JobClock {
  private readonly waiting = new Set<{ readonly atMs: number; readonly act: () => void }>();

  constructor(private nowMs: number) {}

  now(): number {
    return this.nowMs;
  }

  after(ms: number, act: () => void): () => void {
    const own = { atMs: this.nowMs + Math.max(ms, 0), act };
    this.waiting.add(own);
    return () => this.waiting.delete(own);
  }

  /** Somebody waits for that time. */
  isAwaited(ms: number): boolean {
    return [...this.waiting].some(({ atMs }) => atMs === ms);
  }

  /** To that time; what comes of each act is done before the next one. */
  async to(ms: number): Promise<void> {
    for (;;) {
      await new Promise(setImmediate);
      const [next] = [...this.waiting].filter(({ atMs }) => atMs <= ms).sort((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.waiting.delete(next);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.act();
    }
    this.nowMs = ms;
  }
}

const line = (
  text: string,
): { run: string; node: string; index: number; attempt: number; atMs: number; text: string } => ({
  ...{ run: 'r', node: 'n', index: 0, attempt: 1, atMs: 0, text },
});

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

describe('the folder of jobs', () => {
  it('has its records again, with their revisions, when it is opened again', () =>
    withTempFolder(async (folder) => {
      const first = await openLocalJobBus(folder);
      const revision = await first.records.write('run.a', '1', 0);
      const second = await first.records.write('run.a', '2', revision);
      await first.records.write('run.b', '3', 0);
      await first.records.remove('run.b');
      await first.close();
      const again = await openLocalJobBus(folder);
      expect(await again.records.list('')).to.deep.equal([{ key: 'run.a', text: '2', revision: second }]);
      await again.close();
    }));

  it('belongs to one process that works, who is named', () =>
    withTempFolder(async (folder) => {
      const bus = await openLocalJobBus(folder);
      const error = await errorOf(JobError, () => openLocalJobBus(folder));
      expect(error.code).to.equal('FOLDER_IN_USE');
      expect(error.message).to.include(`process ${process.pid} of `);
      await bus.close();
    }));

  it('is entered by others, who apply jobs, ask and read; the owner hears of it', () =>
    withTempFolder(async (folder) => {
      const owner = await openLocalJobBus(folder);
      const visitor = await visitLocalJobBus(folder);
      const heard: (string | null)[][] = [];
      owner.records.watch('', { changed: (key, text) => void heard.push([key, text]) });
      const revision = await visitor.records.write('job.a', 'one', 0);
      await until(
        () => heard.some(([, text]) => text === 'one'),
        () => 'the job is not heard of',
      );
      await visitor.records.write('job.a', 'two', revision);
      await visitor.records.write('ask.x', 'please', 0);
      await until(
        () => heard.length === 3,
        () => `heard ${JSON.stringify(heard)}`,
      );
      expect((await errorOf(JobError, () => visitor.records.write('ask.x', 'again', 0))).code).to.equal(
        'RECORD_CONFLICT',
      );
      await owner.records.remove('ask.x');
      expect(await visitor.records.read('ask.x')).to.equal(null);
      await visitor.close();
      await owner.close();
    }));

  it('has no record that is no key, and says which file is broken', () =>
    withTempFolder(async (folder) => {
      const visitor = await visitLocalJobBus(folder);
      for (const key of ['../x', 'a..b', '', 'a/b', 'a b']) {
        expect((await errorOf(JobError, () => visitor.records.write(key, '', 0))).code, key).to.equal('BROKEN_RECORD');
      }
      await mkdir(join(folder, 'records', 'job'), { recursive: true });
      await writeFile(join(folder, 'records', 'job', 'b.json'), 'nonsense');
      expect((await errorOf(JobError, () => openLocalJobBus(folder))).message).to.match(/b\.json holds no record/);
      await visitor.close();
    }));

  it('keeps lines of a log up to its limit, and who follows misses none that are there', () =>
    withTempFolder(async (folder) => {
      const logs = new FolderLogs(folder, systemClock, 150);
      const stop = new AbortController();
      const followed: string[] = [];
      const following = (async () => {
        for await (const { text } of logs.read({ run: 'r' }, stop.signal)) followed.push(text);
      })();
      for (let i = 0; i < 9; i++) {
        await logs.append([line(`line ${i}`)]);
        await until(
          () => followed.length === i + 1,
          () => `followed ${followed.length} of ${i + 1}`,
        );
      }
      const kept = (await all(logs.read({ run: 'r' }, null))).map(({ text }) => text);
      expect(kept.at(-1)).to.equal('line 8');
      expect(kept).to.have.length.below(9);
      expect(followed).to.deep.equal(Array.from({ length: 9 }, (_, i) => `line ${i}`));
      stop.abort();
      await following;
      await logs.remove('r');
      expect(await readdir(folder)).to.deep.equal([]);
    }));
});

describe('schedules of a folder of jobs', () => {
  const START = Date.UTC(2026, 0, 1);

  /** Moves time to when somebody waits for, as soon as he does: disks answer in their own time. */
  const firesAt = async (clock: PlayedClock, fired: readonly Firing[], dueMs: number): Promise<void> => {
    const before = fired.length;
    await until(
      () => clock.isAwaited(dueMs),
      () => `nobody waits for ${dueMs}`,
    );
    await clock.to(dueMs);
    await until(
      () => fired.length > before,
      () => 'nothing fired',
    );
  };

  it('fire at a fixed rate that doesn’t drift, and once for all that was missed', () =>
    withTempFolder(async (folder) => {
      const clock = new PlayedClock(START);
      const fired: Firing[] = [];
      const take = (firing: Firing): Promise<void> => {
        fired.push(firing);
        return Promise.resolve();
      };
      const first = await openLocalJobBus(folder, { clock });
      await first.schedules.set('a', [{ kind: 'every', everyMs: 1_000_000 }]);
      let stop = first.schedules.take(take);
      for (const i of [1, 2, 3]) await firesAt(clock, fired, START + i * 1_000_000);
      expect(fired.map(({ dueMs }) => dueMs - START)).to.deep.equal([1_000_000, 2_000_000, 3_000_000]);
      await stop();
      await first.close();
      const later = new PlayedClock(START + 60_500_000);
      const second = await openLocalJobBus(folder, { clock: later });
      stop = second.schedules.take(take);
      await firesAt(later, fired, later.now());
      expect(fired.at(-1)).to.deep.equal({ job: 'a', trigger: 0, dueMs: START + 60_000_000 });
      await stop();
      await second.close();
    }));

  it('fire by cron in a time zone, again where it couldn’t be handled, and no more when they are gone', () =>
    withTempFolder(async (folder) => {
      const clock = new PlayedClock(START);
      const fired: Firing[] = [];
      const bus = await openLocalJobBus(folder, { clock });
      await bus.schedules.set('a', [null, { kind: 'cron', cron: '0 30 3 * * *', timezone: 'Europe/Berlin' }]);
      const stop = bus.schedules.take((firing) => {
        fired.push(firing);
        return fired.length === 1 ? Promise.reject(new Error('not now')) : Promise.resolve();
      });
      const dueMs = Date.UTC(2026, 0, 1, 2, 30);
      await firesAt(clock, fired, dueMs);
      await firesAt(clock, fired, dueMs + 1000);
      expect(fired).to.deep.equal(Array(2).fill({ job: 'a', trigger: 1, dueMs }));
      await bus.schedules.set('a', []);
      await clock.to(clock.now() + 200_000_000);
      expect(fired).to.have.length(2);
      await stop();
      await bus.close();
    }));
});
