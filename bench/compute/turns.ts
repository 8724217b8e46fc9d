/** Times of several things that run in turns, so that a machine that is slow for a while is slow for all of them. */
import { median } from '../machine.js';

/** Milliseconds by name. */
export interface Times {
  readonly best: ReadonlyMap<string, number>;
  readonly median: ReadonlyMap<string, number>;
}

/**
 * Each run once as a warm-up, then all in turns. Time is the process's own on the processor, not the clock's: others take turns with it, and what they
 * take of shared caches is in it anyway.
 */
export async function inTurns(
  runs: ReadonlyMap<string, () => void | Promise<void>>,
  repeats: number,
  signal: AbortSignal,
): Promise<Times> {
  for (const run of runs.values()) await run();
  const times = new Map(Array.from(runs.keys(), (name) => [name, [] as number[]]));
  for (let i = 0; i < repeats; i++) {
    for (const [name, run] of runs) {
      signal.throwIfAborted();
      const start = process.cpuUsage();
      await run();
      const { user, system } = process.cpuUsage(start);
      times.get(name)!.push((user + system) / 1000);
    }
  }
  const each = (figure: (list: readonly number[]) => number): Map<string, number> =>
    new Map(Array.from(times, ([name, list]) => [name, figure(list)]));
  return { best: each((list) => Math.min(...list)), median: each(median) };
}
