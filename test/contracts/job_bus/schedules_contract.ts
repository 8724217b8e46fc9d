import { expect } from 'chai';
import type { Firing, Schedule } from '../../../lib/jobs/base/job_bus.js';
import { Told } from '../../kit/jobs/told.js';
import { clockPasses } from '../../kit/processes/processes.js';
import type { Scene } from './scene.js';

const EVERY_SECOND: Schedule = { kind: 'every', everyMs: 1000 };
const CRON: Schedule = { kind: 'cron', cron: '* * * * * *', timezone: 'Europe/Paris' };

const telling =
  <T>(told: Told<T>) =>
  (each: T): Promise<void> => {
    told.tell(each);
    return Promise.resolve();
  };

export function schedulesContract(scene: () => Scene): void {
  /** Of a trigger of a job. */
  const of = (all: readonly Firing[], job: string, trigger = 0): Firing[] =>
    all.filter((firing) => firing.job === job && firing.trigger === trigger);

  it('a job is due at its rate, and by its calendar at whole seconds, each once', async () => {
    const { bus, other } = scene();
    const told = new Told<Firing & { readonly atMs: number }>();
    const begunMs = Date.now();
    await bus.schedules.set('nightly', [EVERY_SECOND, null, CRON]);
    const stop = other.schedules.take((firing) => telling(told)({ ...firing, atMs: Date.now() }));
    await told.until((all) => of(all, 'nightly', 0).length >= 3 && of(all, 'nightly', 2).length >= 3);
    await stop();
    await bus.schedules.set('nightly', []);
    expect(of(told.all, 'nightly', 1)).to.deep.equal([]);
    for (const trigger of [0, 2]) {
      const dues = of(told.all, 'nightly', trigger).map(({ dueMs }) => dueMs);
      expect(dues).to.deep.equal([...new Set(dues)].sort((a, b) => a - b));
      const steps = dues.slice(1).map((due, i) => (due - dues[i]!) % 1000);
      expect(
        steps.every((step) => step === 0),
        `whole seconds between ${dues.join(', ')}`,
      ).to.equal(true);
    }
    for (const { dueMs, atMs } of told.all) expect(dueMs).to.be.within(begunMs - 1000, atMs);
    expect(of(told.all, 'nightly', 2).every(({ dueMs }) => dueMs % 1000 === 0)).to.equal(true);
  });

  it('a firing that couldn’t be handled comes again, with the time at which it was due', async () => {
    const { bus, other } = scene();
    const told = new Told<number>();
    await bus.schedules.set('nightly', [{ kind: 'every', everyMs: 2000 }]);
    const stop = other.schedules.take(({ dueMs }) => {
      told.tell(dueMs);
      return told.all.length === 1 ? Promise.reject(new Error('played')) : Promise.resolve();
    });
    const [first, second, third] = await told.have(3);
    await stop();
    await bus.schedules.set('nightly', []);
    expect(second).to.equal(first);
    expect(third).to.be.greaterThan(first!);
  });

  it('what was due while nobody took it comes once, the last one, and a job whose schedules went isn’t due any more', async () => {
    const { bus, other } = scene();
    await bus.schedules.set('nightly', [EVERY_SECOND]);
    await bus.schedules.set('gone', [EVERY_SECOND]);
    const before = new Told<Firing>();
    const stopBefore = other.schedules.take(telling(before));
    await before.until((all) => of(all, 'gone').length >= 1 && of(all, 'nightly').length >= 1);
    await stopBefore();
    await bus.schedules.set('gone', []);
    await clockPasses(before.all.at(-1)!.dueMs + 2000); // it is due twice, and nobody takes it
    const behind = new Told<Firing>();
    const startMs = Date.now();
    const stop = other.schedules.take(telling(behind));
    await behind.until((all) => of(all, 'nightly').length >= 3);
    await stop();
    await bus.schedules.set('nightly', []);
    expect(of(behind.all, 'gone')).to.deep.equal([]);
    expect(of(behind.all, 'nightly').filter(({ dueMs }) => dueMs < startMs - 1000)).to.have.length.at.most(1);
  });

  it('schedules that are set anew take the place of those before, and the same ones go on', async () => {
    const { bus, other } = scene();
    const told = new Told<Firing>();
    const stop = other.schedules.take(telling(told));
    await bus.schedules.set('nightly', [{ kind: 'cron', cron: '0 0 3 1 1 *', timezone: 'UTC' }, EVERY_SECOND]);
    await told.until((all) => of(all, 'nightly', 1).length >= 1);
    await bus.schedules.set('nightly', [EVERY_SECOND, null]);
    const numOld = of(told.all, 'nightly', 1).length;
    await told.until((all) => of(all, 'nightly', 0).length >= 3);
    await stop();
    await bus.schedules.set('nightly', []);
    expect(of(told.all, 'nightly', 1).length, 'one may be under way').to.be.within(numOld, numOld + 1);
  });
}
