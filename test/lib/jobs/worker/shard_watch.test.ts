import { expect } from 'chai';
import { shardRecord, type Shard } from '../../../../lib/jobs/base/task.js';
import type { RecordListener } from '../../../../lib/jobs/base/job_bus.js';
import { systemClock } from '../../../../lib/jobs/local/clock.js';
import { ShardWatch } from '../../../../lib/jobs/worker/shard_watch.js';

const key = (index: number): { run: string; node: string; index: number } => ({ run: 'r', node: 'n', index });
const STOPPED: Shard = {
  ...{ state: 'stopped', error: { code: 'RUN_STOPPED', message: 'enough' } },
  ...{ worker: 'w', attempts: 1, endedMs: 1 },
};

describe('a watch of shards', () => {
  it('tells who has one in hand, and also who takes it when its end was told already', () => {
    const listeners: RecordListener[] = [];
    const watch = new ShardWatch(
      {
        watch: (_prefix, listener) => {
          listeners.push(listener);
          return () => undefined;
        },
      },
      systemClock,
    );
    const told: number[] = [];
    watch.watch(key(0), () => told.push(0));
    listeners[0]!.changed(shardRecord(key(0)), JSON.stringify(STOPPED), 1);
    listeners[0]!.changed(shardRecord(key(1)), JSON.stringify(STOPPED), 2);
    expect(told).to.deep.equal([0]);
    watch.watch(key(1), () => told.push(1));
    watch.watch(key(2), () => told.push(2));
    expect(told).to.deep.equal([0, 1]);
    expect(listeners).to.have.length(1);
    watch.close();
  });
});
