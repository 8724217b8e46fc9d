/** Times of several things that run in turns, so that a machine that is slow for a while is slow for all of them. */
import { median } from '../base/machine.js';

/** Milliseconds by name. */
export interface Times {
  readonly best: ReadonlyMap<string, number>;
  readonly median: ReadonlyMap<string, number>;
}

/** What time is measured by: the process's own on the processor, or the clock on the wall. */
export type Clock = 'cpu' | 'wall';

/** Milliseconds. */
const CLOCKS: Readonly<Record<Clock, () => number>> = {
  cpu: () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  },
  wall: () => performance.now(),
};

/**
 * Each run once as a warm-up, then all in turns. `cpu` is the process's own time on the processor: others take turns with it, and what they take of shared
 * caches is in it anyway. `wall` is for what uses several cores or a device.
 */
export async function inTurns(
  runs: ReadonlyMap<string, () => void | Promise<void>>,
  repeats: number,
  signal: AbortSignal,
  clock: Clock = 'cpu',
): Promise<Times> {
  for (const run of runs.values()) await run();
  const times = new Map(Array.from(runs.keys(), (name) => [name, [] as number[]]));
  for (let i = 0; i < repeats; i++) {
    for (const [name, run] of runs) {
      signal.throwIfAborted();
      const startMs = CLOCKS[clock]();
      await run();
      times.get(name)!.push(CLOCKS[clock]() - startMs);
    }
  }
  const each = (figure: (list: readonly number[]) => number): Map<string, number> =>
    new Map(Array.from(times, ([name, list]) => [name, figure(list)]));
  return { best: each((list) => Math.min(...list)), median: each(median) };
}
