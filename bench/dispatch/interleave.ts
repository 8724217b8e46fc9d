/** Repeats of several parties in turns, so that a noisy minute hits all of them alike. */
import { quantile } from '../base/machine.js';
import type { CallCounts, Samples, Task } from './base/orders.js';
import type { Parties, PartyName } from './parties/parties.js';

/** How often a setting is run. */
export interface Repeats {
  /** Timed repeats per party. */
  readonly iterations: number;
  /** Untimed ones before. */
  readonly warmUp: number;
  /** No new turn begins after this time, once there are a few repeats; a party warms up for a tenth of it at most. */
  readonly maxSeconds: number;
}

/** What a party showed: per phase the slowest rank of each repeat. */
export interface Timings {
  readonly us: Readonly<Record<string, readonly number[]>>;
  /** Per rank and repeat, by phase; null where nothing is counted. */
  readonly counts: Readonly<Record<string, CallCounts>> | null;
}

/** What a party ran. */
export interface PartyRun extends Timings {
  /** Repeats, the untimed ones too. */
  readonly numRuns: number;
}

/** A turn lasts about this long: many turns per run, and few pauses between them. */
export const TURN_MS = 150;
const MIN_ITERATIONS = 5;
/** What a clock can tell. */
const MIN_REPEAT_MS = 0.01;
const MIN_TURNS = 5;

/** The tasks of the parties named in `tasks`. */
export async function interleave<P extends PartyName>(
  parties: Parties,
  tasks: Readonly<Record<P, Task>>,
  { iterations, warmUp, maxSeconds }: Repeats,
): Promise<Record<P, PartyRun>> {
  const names = Object.keys(tasks) as P[];
  const turns = names.map((name) => ({ name, samples: [] as Samples[][], numRuns: 0 }));
  const run = async (turn: (typeof turns)[number], count: number): Promise<Samples[]> => {
    turn.numRuns += count;
    return parties.run(turn.name, tasks[turn.name], count);
  };
  let slowestMs = 0;
  for (const turn of turns) {
    slowestMs = Math.max(slowestMs, await warmUpMs((count) => run(turn, count), warmUp, 100 * maxSeconds));
  }
  const startMs = performance.now();
  const perTurn = Math.max(1, Math.min(Math.floor(TURN_MS / slowestMs), Math.ceil(iterations / MIN_TURNS)));
  const isEnough = (done: number): boolean => {
    if (done >= iterations) return true;
    return done >= Math.min(iterations, MIN_ITERATIONS) && performance.now() - startMs > 1000 * maxSeconds;
  };
  let order = turns;
  for (let done = 0; !isEnough(done); order = order.toReversed()) {
    const count = Math.min(perTurn, iterations - done);
    for (const turn of order) turn.samples.push(await run(turn, count));
    done += count;
  }
  const shown = turns.map(({ name, samples, numRuns }) => [name, { ...timingsOf(samples), numRuns }] as const);
  return Object.fromEntries(shown) as Record<P, PartyRun>;
}

/** Runs up to `count` repeats, which shouldn't take longer than `maxMs`; returns the milliseconds of one. */
async function warmUpMs(run: (count: number) => Promise<unknown>, count: number, maxMs: number): Promise<number> {
  let repeatMs = MIN_REPEAT_MS;
  let leftMs = maxMs;
  for (let left = count, batch = Math.min(1, count); batch > 0;) {
    const startMs = performance.now();
    await run(batch);
    const ms = performance.now() - startMs;
    repeatMs = Math.max(MIN_REPEAT_MS, ms / batch);
    leftMs -= ms;
    left -= batch;
    batch = Math.min(left, Math.floor(leftMs / repeatMs));
  }
  return repeatMs;
}

/** `runs`: per turn, the samples of each rank. */
export function timingsOf(runs: readonly (readonly Samples[])[]): Timings {
  const us: Record<string, number[]> = {};
  const calls: Record<string, CallCounts[]> = {};
  for (const ranks of runs) {
    // Not every rank takes every time: an echo is timed where it began.
    for (const phase of new Set(ranks.flatMap((samples) => Object.keys(samples.us)))) {
      const timed = ranks.flatMap((samples) => (samples.us[phase] === undefined ? [] : [samples.us[phase]]));
      timed[0]!.forEach((_, i) => (us[phase] ??= []).push(Math.max(...timed.map((times) => times[i]!))));
    }
    for (const samples of ranks) {
      for (const [phase, counts] of Object.entries(samples.counts ?? {})) (calls[phase] ??= []).push(...counts);
    }
  }
  const counts = Object.entries(calls).map(([phase, all]) => [phase, meanOf(all)] as const);
  return { us, counts: counts.length === 0 ? null : Object.fromEntries(counts) };
}

/** Means; of heap the lower quartile: a call in which a collection ran shows nothing, and in others V8 or another part of the process took memory too. */
function meanOf(calls: readonly CallCounts[]): CallCounts {
  const mean = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0) / counts.length;
  const told = (name: 'writes' | 'copies'): number | null => {
    const counts = calls.flatMap((call) => call[name] ?? []);
    return counts.length === 0 ? null : mean(counts);
  };
  const heap = calls.map(({ heapBytes }) => heapBytes);
  return {
    wakeUps: mean(calls.map(({ wakeUps }) => wakeUps)),
    writes: told('writes'),
    frames: mean(calls.map(({ frames }) => frames)),
    allocations: mean(calls.map(({ allocations }) => allocations)),
    copies: told('copies'),
    heapBytes: quantile(heap, 0.25),
  };
}
