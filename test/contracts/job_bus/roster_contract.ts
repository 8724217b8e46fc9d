import { expect } from 'chai';
import { JobError } from '../../../lib/jobs/base/errors.js';
import type { JobBus, WorkerRecord } from '../../../lib/jobs/base/job_bus.js';
import { Told } from '../../kit/jobs/told.js';
import { errorOf } from '../../kit/rejects.js';
import type { Scene } from './scene.js';

export const workerOf = (id: string, others: Partial<WorkerRecord> = {}): WorkerRecord => ({
  ...{ id, host: 'node-1', pid: 4711, version: '1.0.0', width: 2, numRunning: 0, startedMs: 1_800_000_000_000 },
  ...others,
});

/** 'a 0, b 1': who is there, and how much each has in hand. */
class RosterTold extends Told<string> {
  readonly stop: () => void;

  constructor({ roster }: JobBus) {
    super();
    this.stop = roster.watch((workers) =>
      this.tell(
        workers
          .map(({ id, numRunning }) => `${id} ${numRunning}`)
          .sort()
          .join(', '),
      ),
    );
  }

  hears(line: string): Promise<void> {
    return this.until((all) => all.at(-1) === line);
  }
}

export function rosterContract(scene: () => Scene): void {
  it('who watches is told who is there, who comes, what changes, and who leaves', async () => {
    const { bus, other } = scene();
    const a = await bus.roster.enter(workerOf('a'));
    const told = new RosterTold(other);
    await told.hears('a 0');
    const b = await bus.roster.enter(workerOf('b', { numRunning: 1 }));
    await told.hears('a 0, b 1');
    a.update(workerOf('a', { numRunning: 2 }));
    await told.hears('a 2, b 1');
    await a.leave();
    await a.leave();
    await told.hears('b 1');
    told.stop();
    await b.leave();
    const late = new RosterTold(bus);
    await late.hears('');
    expect(told.all.at(-1)).to.equal('b 1');
    late.stop();
  });

  it('an id is one worker’s, until it leaves', async () => {
    const { bus, other } = scene();
    const a = await bus.roster.enter(workerOf('a'));
    const refused = await errorOf(JobError, () => other.roster.enter(workerOf('a', { pid: 4712 })));
    expect(refused.code).to.equal('WORKER_ID_TAKEN');
    expect(refused.message).to.include('node-1');
    await a.leave();
    const again = await other.roster.enter(workerOf('a', { pid: 4712 }));
    await again.leave();
  });

  it('one leads, and when it says that it won’t any more another one does', async () => {
    const { bus, other } = scene();
    const told = new Told<string>();
    const [first, second] = [new AbortController(), new AbortController()];
    const lead = leading(told);
    const campaigns = [bus.roster.campaign('a', lead('a'), first.signal)];
    await told.have(1);
    campaigns.push(other.roster.campaign('b', lead('b'), second.signal));
    await other.records.write('run.fence', '1', 0);
    expect(told.all).to.deep.equal(['a leads']);
    first.abort();
    await told.have(3);
    second.abort();
    await Promise.all(campaigns);
    expect(told.all).to.deep.equal(['a leads', 'a is led', 'b leads', 'b is led']);
  });

  it('who leads and fails, or ends, tries again', async () => {
    const { bus } = scene();
    const ending = new AbortController();
    let numTimes = 0;
    const lead = (): Promise<void> => {
      numTimes++;
      if (numTimes === 1) return Promise.reject(new Error('played'));
      if (numTimes === 3) ending.abort();
      return Promise.resolve();
    };
    await bus.roster.campaign('a', lead, ending.signal);
    expect(numTimes).to.equal(3);
  });
}

/** Who leads until it is told that it doesn't any more, and tells of both. */
export const leading =
  (told: Told<string>) =>
  (name: string) =>
  async (until: AbortSignal): Promise<void> => {
    told.tell(`${name} leads`);
    await new Promise<void>((resolve) => until.addEventListener('abort', () => resolve(), { once: true }));
    told.tell(`${name} is led`);
  };
