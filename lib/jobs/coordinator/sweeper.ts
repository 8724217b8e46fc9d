/** Takes away old runs, one after the other, beside all else. */
import { runRecord, shardRecord } from '../base/task.js';
import type { JobRun } from '../base/run.js';
import { placedRecord } from '../decisions/ids.js';
import { inParallel } from './in_parallel.js';
import type { LeaderParts } from './leader_parts.js';

/** Of one time that a process leads. */
export class Sweeper {
  private last: Promise<void> = Promise.resolve();

  constructor(
    private readonly parts: Pick<LeaderParts, 'bus' | 'own'>,
    private readonly failed: (reason: unknown) => void,
  ) {}

  /** Does it when its turn comes. */
  add(act: () => Promise<void>): void {
    this.last = this.last.then(act).catch(this.failed);
  }

  /** A run with all that it left, its record last: who comes after a crash finds it and goes on. `blobs`: others that go with it. */
  async remove(run: JobRun, blobs: readonly string[]): Promise<void> {
    const { bus, own } = this.parts;
    own.check();
    for (const { name, shardTotal } of withOwnShards(run)) {
      await bus.records.remove(placedRecord(run.id, name));
      await inParallel(Array(shardTotal).keys(), (index) =>
        bus.records.remove(shardRecord({ run: run.id, node: name, index })),
      );
    }
    for (const { key } of await bus.records.list(`dead.${run.id}`)) await bus.records.remove(key);
    await bus.logs.remove(run.id);
    for (const name of [run.id, ...blobs]) await bus.blobs.remove(name);
    await own.remove(runRecord(run.id));
  }

  /** What is under way is over. */
  close(): Promise<void> {
    return this.last;
  }
}

const withOwnShards = ({ id, nodes }: JobRun): readonly { readonly name: string; readonly shardTotal: number }[] =>
  Object.entries(nodes).flatMap(([name, { of, shardTotal }]) =>
    of === id && shardTotal !== null ? [{ name, shardTotal }] : [],
  );
