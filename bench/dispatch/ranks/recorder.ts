/** Takes the times of one run on one rank. */
import type { Samples } from '../base/orders.js';

export class Recorder {
  private readonly us: Record<string, number[]> = {};
  private readonly copies: Record<string, number> = {};

  async time<T>(name: string, work: () => Promise<T>): Promise<T> {
    const startMs = performance.now();
    const result = await work();
    (this.us[name] ??= []).push(1000 * (performance.now() - startMs));
    return result;
  }

  copied(name: string, count: number): void {
    this.copies[name] = (this.copies[name] ?? 0) + count;
  }

  samples(): Samples {
    return { us: this.us, copies: this.copies };
  }
}
