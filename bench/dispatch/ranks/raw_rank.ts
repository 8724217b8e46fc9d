/** One end of the raw baseline: moves the same bytes between the same number of processes in the same pattern. */
import type { Address } from '../../../comm/index.js';
import type { RawEnd, RawPhase, Samples, Task } from '../base/orders.js';
import { RawSockets } from './raw_sockets.js';
import { Recorder } from './recorder.js';

/** Serves the orders of `RawOrders`: `listen` and `connect` first, then `run`. */
export class RawRank {
  private readonly rank: number;
  private readonly sockets: RawSockets;

  constructor({ kind, rank, size }: RawEnd) {
    this.rank = rank;
    this.sockets = new RawSockets(kind, rank, size);
  }

  /** Opens the port on which the other processes dial this one, and returns its number. */
  listen(): Promise<number> {
    return this.sockets.listen();
  }

  /** Connects to the processes at `addresses`, by rank; returns when this one can send to every other. */
  connect(addresses: readonly Address[]): Promise<void> {
    return this.sockets.connect(addresses);
  }

  /** Does the task `iterations` times in step with all other processes, and times each. @throws Error for a task that only a mesh knows. */
  async run(task: Task, iterations: number): Promise<Samples> {
    const recorder = new Recorder();
    switch (task.kind) {
      case 'exchange':
        for (let i = 0; i < iterations; i++) {
          for (const phase of task.phases) await this.exchange(phase, recorder);
          if (task.echoBytes === undefined) continue;
          await this.sockets.barrier();
          await this.echo(task.echoBytes, recorder);
        }
        break;
      case 'echo':
        await this.sockets.barrier();
        for (let i = 0; i < iterations; i++) await this.echo(task.bytes, recorder);
        break;
      case 'raw_pairs':
        for (let i = 0; i < iterations; i++) await this.pairs(task, recorder);
        break;
      case 'all_to_all':
      case 'pairs':
      case 'messages':
      case 'overlap':
        throw new Error(`raw sockets know no ${task.kind}`);
    }
    return recorder.samples();
  }

  private async exchange(phase: RawPhase, recorder: Recorder): Promise<void> {
    await this.sockets.barrier();
    await recorder.time(phase.name, () => this.move(phase));
  }

  /** Sends a phase's bytes, and returns when those of the others are here. */
  private async move({ bytes, count }: RawPhase): Promise<void> {
    const sockets = this.sockets;
    for (const peer of sockets.peers()) {
      const payload = this.payload(bytes[this.rank]![peer]!);
      sockets.expect(peer, count * bytes[peer]![this.rank]!);
      for (let i = 0; i < count; i++) sockets.send(peer, payload);
    }
    await sockets.arrived();
  }

  /** A block of phases in turn, and one of echoes. */
  private async pairs(
    { count, phases, echoBytes }: Extract<Task, { kind: 'raw_pairs' }>,
    recorder: Recorder,
  ): Promise<void> {
    await this.sockets.barrier();
    await recorder.timeEach('pair', count, async () => {
      for (let i = 0; i < count; i++) for (const phase of phases) await this.move(phase);
    });
    await this.sockets.barrier();
    const echoes = new Recorder();
    const startMs = performance.now();
    for (let i = 0; i < count; i++) await this.echo(echoBytes, echoes);
    // Others begin no echo.
    if (this.rank === 0) recorder.keep('echo', (1000 * (performance.now() - startMs)) / count);
  }

  /** Process 1 returns what process 0 sends. */
  private async echo(numBytes: number, recorder: Recorder): Promise<void> {
    const payload = this.payload(numBytes);
    if (this.rank > 1) return;
    const peer = 1 - this.rank;
    this.sockets.expect(peer, numBytes);
    if (this.rank === 1) {
      await this.sockets.arrived();
      this.sockets.send(peer, payload);
      return;
    }
    await recorder.time('echo', async () => {
      this.sockets.send(peer, payload);
      await this.sockets.arrived();
    });
  }

  /** All messages share one memory: what is measured is moving it. */
  private payload(numBytes: number): Uint8Array {
    if (this.bytes.byteLength < numBytes) this.bytes = new Uint8Array(numBytes).fill(1);
    return this.bytes.subarray(0, numBytes);
  }

  private bytes = new Uint8Array(0);
}
