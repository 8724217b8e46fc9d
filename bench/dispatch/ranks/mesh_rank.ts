/** One rank of the benchmark: a mesh of the transport under test, and the work that is timed on it. */
import {
  createAllToAll,
  createCollectives,
  layoutOf,
  type Address,
  type AllToAll,
  type AllToAllStats,
  type Collectives,
  type DispatchResult,
  type Mesh,
  type StepTag,
} from '../../../comm/index.js';
import { Timeline, type TimelineEvent } from '../../../lib/metrics/timeline.js';
import { counted } from './call_counts.js';
import { copiedBytesOf } from './copied_bytes.js';
import { timeEcho, timeMessages } from './message_work.js';
import type { Prepared, Samples, Task, Workload } from '../base/orders.js';
import { Recorder } from './recorder.js';
import { routingOf } from './routing.js';
import { openMesh, type MeshOptions, type MeshPort } from '../base/transport.js';
import { combineRows, dispatchRows, TokenBatch } from './token_batch.js';
import { timeOverlap } from './overlap_work.js';
import { wireNamed } from '../../../lib/plugins/codecs.js';
import { pluginsAt } from '../../base/codecs.js';
import { tolerance } from '../base/wire.js';

/** Slow links take long; a rank that died is noticed by its parent. */
export const CALL_TIMEOUT_MS = 3_600_000;

/** Serves the orders of `RankOrders`: `listen` and `connect` first, then `prepare`, then the others. */
export class MeshRank {
  private trace: Timeline | undefined;
  private port: MeshPort | undefined;
  private mesh: Mesh | undefined;
  private collectives: Collectives | undefined;
  private allToAll: AllToAll | undefined;
  private batch: TokenBatch | undefined;
  /** Numbers every call of this mesh, so that no tag is used twice. */
  private nextStep = 0;

  constructor(private readonly options: MeshOptions) {}

  /** Opens the port on which the other ranks dial this one, and returns its number; 0 where nobody dials. */
  async listen(): Promise<number> {
    this.port = await openMesh(this.options);
    return this.port.port;
  }

  /** Links up with the ranks at `addresses`, by rank. */
  async connect(addresses: readonly Address[]): Promise<void> {
    this.mesh = await this.port!.open(addresses);
    this.collectives = createCollectives(this.mesh, { timeoutMs: CALL_TIMEOUT_MS });
  }

  /** Makes the tokens, sends them to the experts and back once, and checks that they came back. */
  async prepare(workload: Workload): Promise<Prepared> {
    const mesh = this.mesh!;
    const { hidden, topk: numTopk, experts, isTraced } = workload;
    const wire = wireNamed(workload.wire, await pluginsAt(workload.plugins));
    const slotsPerRank = Math.ceil(experts / mesh.size);
    const timeline = isTraced ? new Timeline() : undefined;
    const observed = timeline && { onSpan: timeline.onSpan };
    const shape = { hidden, numTopk, slotsPerRank, wire };
    const allToAll = createAllToAll(mesh, { ...shape, timeoutMs: CALL_TIMEOUT_MS, ...observed });
    const batch = new TokenBatch(workload, routingOf(workload, mesh.rank), mesh.rank);
    this.allToAll = allToAll;
    this.batch = batch;
    this.trace = timeline;
    const copiedBytes = await copiesOf(allToAll, batch, this.tag());
    batch.check(tolerance(workload.wire, Math.min(numTopk, mesh.size)));
    const layouts = layoutOf(batch.topkIdx, { numTopk, slotsPerRank, size: mesh.size });
    return { selections: layouts.map(({ numPairs }) => numPairs), stats: allToAll.stats(), copiedBytes };
  }

  /** What the all-to-all counted since `prepare`. */
  stats(): AllToAllStats {
    return this.allToAll!.stats();
  }

  /** What was traced since the last call; empty where the workload isn't traced. */
  timeline(): readonly TimelineEvent[] {
    return this.trace?.take() ?? [];
  }

  /** Does the task `iterations` times in step with all other ranks, and times each. @throws Error for a task that is for raw sockets. */
  async run(task: Task, iterations: number): Promise<Samples> {
    const recorder = new Recorder();
    const mesh = this.mesh!;
    if (task.kind === 'echo') await this.collectives!.barrier(); // each echo waits for the one before
    for (let i = 0; i < iterations; i++) {
      switch (task.kind) {
        case 'all_to_all':
          await this.dispatchAndCombine(recorder);
          break;
        case 'pairs':
          await this.pairs(task.count, recorder);
          break;
        case 'messages':
          await this.collectives!.barrier();
          await timeMessages(mesh, task, this.steps(task.count), recorder);
          break;
        case 'echo':
          await timeEcho(mesh, task.bytes, this.steps(1), recorder);
          break;
        case 'overlap':
          await timeOverlap(
            { allToAll: this.allToAll!, batch: this.batch!, barrier: () => this.collectives!.barrier() },
            { ...task, nextStep: () => this.steps(1), timeline: this.trace },
            recorder,
          );
          break;
        case 'exchange':
        case 'raw_pairs':
          throw new Error('a mesh exchanges frames, not raw bytes');
      }
    }
    return recorder.samples();
  }

  private async dispatchAndCombine(recorder: Recorder): Promise<void> {
    const [allToAll, batch] = [this.allToAll!, this.batch!];
    const tag = this.tag();
    await this.collectives!.barrier();
    const received = await this.timed('dispatch', recorder, () => dispatchRows(allToAll, batch, tag));
    const expertOut = batch.runExperts(received);
    received.release();
    await this.collectives!.barrier();
    await this.timed('combine', recorder, () => combineRows(allToAll, batch, expertOut, received));
  }

  /** Rows there and back, over and over: experts gave theirs when the batch was prepared. */
  private async pairs(count: number, recorder: Recorder): Promise<void> {
    const [allToAll, batch] = [this.allToAll!, this.batch!];
    await this.collectives!.barrier();
    await recorder.timeEach('pair', count, async () => {
      for (let i = 0; i < count; i++) {
        const received = await dispatchRows(allToAll, batch, this.tag());
        received.release();
        await combineRows(allToAll, batch, batch.expertRows, received);
      }
    });
  }

  private async timed<T>(name: string, recorder: Recorder, work: () => Promise<T>): Promise<T> {
    const { result, counts } = await counted(this.mesh!, () => recorder.time(name, work));
    recorder.count(name, counts);
    return result;
  }

  private tag(): { step: number; layer: number; microBatch: number; epoch: number } {
    return { step: this.steps(1), layer: 0, microBatch: 0, epoch: 0 };
  }

  /** The first of `count` step numbers that only this caller uses. */
  private steps(count: number): number {
    this.nextStep += count;
    return this.nextStep - count;
  }
}

/** Tokens to the experts and back, once; the bytes that are copied. */
async function copiesOf(allToAll: AllToAll, batch: TokenBatch, tag: StepTag): Promise<Prepared['copiedBytes']> {
  let received!: DispatchResult;
  const dispatch = await copiedBytesOf(
    batch.memory,
    async () => void (received = await dispatchRows(allToAll, batch, tag)),
  );
  const expertOut = batch.runExperts(received);
  received.release();
  return {
    dispatch,
    combine: await copiedBytesOf(batch.memory, () => combineRows(allToAll, batch, expertOut, received)),
  };
}
