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

  /** Runs `work`, which does something `count` times; keeps the time of one under `name`, and the processor time of this process under `name`_cpu. */
  async timeEach(name: string, count: number, work: () => Promise<void>): Promise<void> {
    const cpuBefore = process.cpuUsage();
    const startMs = performance.now();
    await work();
    const us = 1000 * (performance.now() - startMs);
    const cpu = process.cpuUsage(cpuBefore);
    (this.us[name] ??= []).push(us / count);
    (this.us[`${name}_cpu`] ??= []).push((cpu.user + cpu.system) / count);
  }

  /** Keeps a time, in microseconds. */
  keep(name: string, us: number): void {
    (this.us[name] ??= []).push(us);
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
