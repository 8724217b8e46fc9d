/** Which links are worth a word: late for long, and not told of a short while ago. Pure. */
import type { LateRows } from './wait_window.js';

/** Windows in which a link must be late, one after the other. */
const LATE_WINDOWS = 5;
/** Windows without another word about the same link. */
const QUIET_WINDOWS = 256;

/** A link over which rows come late. */
export type LateLink = Extract<LateRows, { kind: 'link' }>;

/** Those of a job. */
export class LateLinks {
  private last: LateLink | null = null;
  private numLate = 0;
  private numWindows = 0;
  /** By link: the window in which it was told of. */
  private readonly told = new Map<string, number>();

  /** After a window; null: no news. */
  judge(late: LateRows | null): LateLink | null {
    this.numWindows++;
    const link = late?.kind === 'link' ? late : null;
    const isSame = link !== null && link.from === this.last?.from && link.to === this.last.to;
    this.numLate = link === null ? 0 : isSame ? this.numLate + 1 : 1;
    this.last = link;
    if (link === null || this.numLate < LATE_WINDOWS) return null;
    const name = `${link.from} ${link.to}`;
    if (this.numWindows - (this.told.get(name) ?? -Infinity) < QUIET_WINDOWS) return null;
    this.told.set(name, this.numWindows);
    return link;
  }
}
