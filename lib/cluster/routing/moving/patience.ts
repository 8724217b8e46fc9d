/** Whoever decides on what takes a while waits until it has been wanted for some time, and then lets it take effect. */

/** What was wanted, and since when; what was done last, and when. */
export interface Patience<T extends string> {
  readonly wanted: T | null;
  readonly sinceMs: number;
  /** Null: nothing was done yet. */
  readonly doneMs: number | null;
}

/** Nothing was wanted yet. */
export const PATIENT: Patience<never> = { wanted: null, sinceMs: 0, doneMs: null };

/** Both last so long before anything is done. */
export function due<T extends string>(
  before: Patience<T>,
  wanted: T | null,
  nowMs: number,
  coolDownMs: number,
): { readonly isDue: boolean; readonly after: Patience<T> } {
  const sinceMs = wanted === before.wanted ? before.sinceMs : nowMs;
  const { doneMs } = before;
  const isDue = wanted !== null && nowMs - sinceMs >= coolDownMs && (doneMs === null || nowMs - doneMs >= coolDownMs);
  return { isDue, after: isDue ? { wanted: null, sinceMs: nowMs, doneMs: nowMs } : { wanted, sinceMs, doneMs } };
}
