/** Takes the times of one run on one rank. */
import type { Samples } from '../base/orders.js';

/** Keeps, under each name, one time per repeat and one sum of copies. */
export class Recorder {
  private readonly us: Record<string, number[]> = {};
  private readonly copies: Record<string, number> = {};

  /** Runs `work`, keeps its time under `name`, and returns its result. */
  async time<T>(name: string, work: () => Promise<T>): Promise<T> {
    const startMs = performance.now();
    const result = await work();
    (this.us[name] ??= []).push(1000 * (performance.now() - startMs));
    return result;
  }

  /** Adds to the number of payloads that were copied under `name`. */
  copied(name: string, count: number): void {
    this.copies[name] = (this.copies[name] ?? 0) + count;
  }

  /** All times in microseconds, and all copies. */
  samples(): Samples {
    return { us: this.us, copies: this.copies };
  }
}
