/** Takes the times of one run on one rank. */
import type { CallCounts, Samples } from '../base/orders.js';

/** Keeps, under each name, one time per repeat and what was counted in it. */
export class Recorder {
  private readonly us: Record<string, number[]> = {};
  private readonly counts: Record<string, CallCounts[]> = {};

  /** Runs `work`, keeps its time under `name`, and returns its result. */
  async time<T>(name: string, work: () => Promise<T>): Promise<T> {
    const startMs = performance.now();
    const result = await work();
    (this.us[name] ??= []).push(1000 * (performance.now() - startMs));
    return result;
  }

  /** Keeps what a call cost under `name`. */
  count(name: string, counts: CallCounts): void {
    (this.counts[name] ??= []).push(counts);
  }

  /** All times in microseconds, and all counts. */
  samples(): Samples {
    return { us: this.us, counts: this.counts };
  }
}
