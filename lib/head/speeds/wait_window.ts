/** Who waited for whose rows in some steps, and which rank or which link is to blame. Pure. [source][destination] */

/** A rank for whose rows all others wait, or a link over which they come late. */
export type LateRows =
  | { readonly kind: 'rank'; readonly rank: number; readonly share: number }
  | { readonly kind: 'link'; readonly from: number; readonly to: number; readonly share: number };

/** Of the time of the steps: less is no news. */
const MIN_SHARE = 0.25;
/** A link is late where its destination waits so many times longer than any other for the same source, and than for any other source. */
const LINK_FACTOR = 4;

/** From the counters that ranks report, which only grow. */
export class WaitWindow {
  /** By destination, by source, as reported last. */
  private before: readonly (readonly number[] | null)[] = [];
  private last: readonly (readonly number[] | null)[] = [];
  private stepMs = 0;

  /** Those of the last step, ascending. */
  get ranks(): readonly number[] {
    return [...this.last.keys()].filter((rank) => this.last[rank] !== null);
  }

  /** What each seat reports after a step; null: it isn't taken. */
  add(waitMs: readonly (readonly number[] | null)[], stepMs: number): void {
    this.last = waitMs;
    this.stepMs += stepMs;
  }

  /** [source][destination] the share of the time of the steps since the last call that the destination waited; begins anew. */
  take(): number[][] {
    const { before, last, stepMs } = this;
    this.before = last;
    this.stepMs = 0;
    const waited = (from: number, to: number): number => {
      const [now, then] = [last[to]?.[from] ?? 0, before[to]?.[from] ?? 0];
      return now < then || stepMs === 0 ? 0 : (now - then) / stepMs; // a newcomer counts from 0
    };
    return last.map((_, from) => last.map((_row, to) => (from === to ? 0 : waited(from, to))));
  }
}

/** The worst of these ranks, where anybody waits long; null: nobody does. */
export function lateRows(shares: readonly (readonly number[])[], ranks: readonly number[]): LateRows | null {
  const worst = shares
    .map((row, from) => ({ from, to: row.indexOf(Math.max(...row)), share: Math.max(...row) }))
    .reduce<{ from: number; to: number; share: number } | null>(
      (a, b) => (a === null || b.share > a.share ? b : a),
      null,
    );
  if (worst === null || worst.share < MIN_SHARE) return null;
  const { from, to, share } = worst;
  const rest = ranks.filter((rank) => rank !== from && rank !== to);
  const others = rest.flatMap((rank) => [shares[from]![rank]!, shares[rank]![to]!]);
  const isLink = others.length > 0 && share > LINK_FACTOR * Math.max(...others);
  return isLink ? { kind: 'link', from, to, share } : { kind: 'rank', rank: from, share };
}
