/** When an instance that ended is started anew. Pure. */

/** Of the first pause; each further one is twice as long. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
/** Who served for so long has begun anew: its next failure is its first. */
const SOUND_MS = 60_000;

/** Failures in a row, this one included. `servedMs`: how long it served; 0: it never did. */
export const failuresInARow = (before: number, servedMs: number): number => (servedMs >= SOUND_MS ? 1 : before + 1);

/** Before it is started again. `numFailures`: in a row, from 1. */
export const pauseMs = (numFailures: number): number =>
  Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(numFailures - 1, 30));
