/** What nothing beats in every respect. Pure. */

/** One measured number, or the ends of its interval; null: it wasn't measured. */
export type Respect = number | readonly [low: number, high: number] | null;

/**
 * Of points with a number for each respect: those beside which no other one is better in one respect and worse in none. Intervals that overlap aren't told apart.
 * A point that lacks a number isn't on the front.
 */
export function paretoFront(
  points: readonly (readonly Respect[])[],
  better: readonly ('higher' | 'lower')[],
): readonly boolean[] {
  const gains = points.map((point) => point.map((value, i) => (value === null ? null : gainOf(value, better[i]!))));
  const isWhole = (point: readonly (Gain | null)[]): point is Gain[] => point.every((value) => value !== null);
  const isBelow = (a: Gain, b: Gain): boolean => a.high < b.low;
  const beats = (a: readonly Gain[], b: readonly Gain[]): boolean =>
    !a.some((gain, i) => isBelow(gain, b[i]!)) && b.some((gain, i) => isBelow(gain, a[i]!));
  const whole = gains.filter(isWhole);
  return gains.map((point) => isWhole(point) && !whole.some((other) => beats(other, point)));
}

interface Gain {
  readonly low: number;
  readonly high: number;
}

function gainOf(value: number | readonly [number, number], better: 'higher' | 'lower'): Gain {
  const [low, high] = typeof value === 'number' ? [value, value] : value;
  return better === 'higher' ? { low, high } : { low: -high, high: -low };
}
