/** What every bus of jobs does. */
import { expect } from 'chai';
import { JobError } from '../../lib/jobs/base/errors.js';
import type { JobBus } from '../../lib/jobs/base/job_bus.js';
import { queued } from '../kit/jobs/tasks.js';
import { errorOf } from '../kit/rejects.js';
import { blobsContract } from './job_bus/blobs_contract.js';
import { logsContract } from './job_bus/logs_contract.js';
import { recordsContract } from './job_bus/records_contract.js';
import { rosterContract, workerOf } from './job_bus/roster_contract.js';
import type { JobBusUnderTest } from './job_bus/scene.js';
import { schedulesContract } from './job_bus/schedules_contract.js';
import { tasksContract } from './job_bus/tasks_contract.js';

/** Declares the suite. `open`: a bus with nothing in it. */
export function jobBusContract(name: string, open: () => Promise<JobBusUnderTest>): void {
  describe(`a bus of jobs (${name})`, () => {
    let underTest: JobBusUnderTest;
    let [bus, other] = [] as unknown as [JobBus, JobBus];
    beforeEach(async () => {
      underTest = await open();
      [bus, other] = [await underTest.connect(), await underTest.connect()];
    });
    afterEach(() => underTest.close());
    const scene = () => ({ bus, other, underTest });

    describe('records', () => recordsContract(scene));
    describe('tasks', () => tasksContract(scene));
    describe('schedules', () => schedulesContract(scene));
    describe('blobs', () => blobsContract(scene));
    describe('logs', () => logsContract(scene));
    describe('roster', () => rosterContract(scene));

    it('what it keeps is there when it was started anew', async function () {
      if (underTest.restart === null) return this.skip();
      await bus.records.write('run.a', '1', 0);
      await bus.blobs.put('a', bytesOf('file'));
      await bus.logs.append([{ run: 'a', node: 'b', index: 0, attempt: 1, atMs: 1, text: 'line' }]);
      const again = await underTest.restart();
      expect((await again.records.read('run.a'))?.text).to.equal('1');
      const texts: string[] = [];
      for await (const bytes of again.blobs.get('a')) texts.push(Buffer.from(bytes).toString());
      for await (const { text } of again.logs.read({ run: 'a' }, null)) texts.push(text);
      expect(texts).to.deep.equal(['file', 'line']);
      await again.records.write('run.a', '2', (await again.records.read('run.a'))!.revision);
    });

    it('a closed bus takes nothing, and closes again', async () => {
      await bus.close();
      await bus.close();
      const calls: readonly (() => unknown)[] = [
        () => bus.records.read('run.a'),
        () => bus.records.write('run.a', '1', 0),
        () => bus.tasks.add([queued('r1')]),
        () => bus.schedules.set('a', []),
        () => bus.blobs.put('a', bytesOf('file')),
        () => bus.logs.append([]),
        () => bus.roster.enter(workerOf('a')),
      ];
      for (const call of calls) expect((await errorOf(JobError, call)).code).to.equal('CLOSED');
    });
  });
}

async function* bytesOf(text: string): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(Buffer.from(text));
}
