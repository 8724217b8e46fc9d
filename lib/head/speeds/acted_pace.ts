/** What is acted upon of a measured pace: it changes where the measure is well off, not with every window, so that experts don't move to and fro. Pure. */

/** From here on a rank counts as slower, or by as much as faster, than the median; below the other one it doesn't any more. */
const DIFFERENT_FROM = 1.25;
const ALIKE_BELOW = 1.12;
/** A measure so far off what is acted upon replaces it. */
const OFF_BY = 1.15;
/** Paces are rounded to it. */
const GRAIN = 0.05;

/** The next pace to act upon; 1: as the median rank. `measured` null: nobody knows. */
export function actedPace(before: number, measured: number | null): number {
  if (measured === null) return before;
  const distance = Math.max(measured, 1 / measured);
  if (distance < (before === 1 ? DIFFERENT_FROM : ALIKE_BELOW)) return 1;
  if (Math.max(measured / before, before / measured) < OFF_BY) return before;
  return Math.max(Math.round(measured / GRAIN), 1) * GRAIN;
}
