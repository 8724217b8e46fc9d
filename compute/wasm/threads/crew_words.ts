/**
 * Words that the threads of a crew share beside their memories: how they hear of work. Pure, but for the waiting itself.
 *
 * Helpers all look at one word, whatever the memory in which there is work: REGION counts up, and MEMORY says in which one to look. A thread that looks late may find
 * another region there than the one it was called for, or none, which does no harm.
 */

/** Indices of words; those that threads wait for have lines of the cache of their own. */
export const CREW_WORDS = {
  /** Regions so far; helpers wait for the next. */
  region: 0,
  /** Number of the memory in which the last one is. */
  memory: 1,
  /** Helpers that sleep. */
  numSleeping: 16,
  /** How often a helper was woken, so far. */
  numWakes: 17,
  /** Chunks that helpers did, so far. */
  numChunks: 18,
  /** Place + 1 of the first thread that failed; 0 = none. */
  failed: 32,
  /** Calls that the stand-in was given so far; it waits for the next. */
  call: 48,
  /** What it is to call: number of a memory, of a kernel, how many arguments, then these. */
  callMemory: 49,
  callKernel: 50,
  callNumArgs: 51,
  callArgs: 52,
  /** Calls that it is done with; the caller waits for it. */
  called: 80,
  /** What the last one returned. */
  result: 81,
} as const;

/** Threads that may compute together; more is a slip. */
export const MAX_THREADS = 64;

/** Arguments that there is room for. */
export const MAX_CALL_ARGS = 16;

/** What a crew shares. */
export type CrewWords = Int32Array<SharedArrayBuffer>;

/** Zeros. */
export const crewWords = (): CrewWords => new Int32Array(new SharedArrayBuffer(4 * 96));

/** Tells up to `numHelpers` helpers that sleep, and all that look, of a region. */
export function ringFor(words: CrewWords, memory: number, numHelpers: number): void {
  const { region, memory: at, numSleeping } = CREW_WORDS;
  Atomics.store(words, at, memory);
  Atomics.add(words, region, 1);
  // Who is woken counts as awake at once: it may take long to come, and each further notification would cost a call of the system.
  if (Atomics.load(words, numSleeping) > 0) Atomics.sub(words, numSleeping, Atomics.notify(words, region, numHelpers));
}

/** Looks at a clock once in so many looks at the word. */
const LOOKS = 256;

/** The number of a region behind `seen`. Looks for `lookMs` before the thread sleeps. */
export function nextRegion(words: CrewWords, seen: number, lookMs: number): number {
  const { region, numSleeping, numWakes } = CREW_WORDS;
  const untilMs = performance.now() + lookMs;
  do {
    for (let i = 0; i < LOOKS; i++) {
      const found = Atomics.load(words, region);
      if (found !== seen) return found;
    }
  } while (performance.now() < untilMs);
  Atomics.add(words, numSleeping, 1);
  if (Atomics.wait(words, region, seen) !== 'ok') Atomics.sub(words, numSleeping, 1);
  Atomics.add(words, numWakes, 1);
  return Atomics.load(words, region);
}
