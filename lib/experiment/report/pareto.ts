/** What nothing beats in every respect. Pure. */

/** Of points with a number for each respect, null where it wasn't measured: those that no other one equals or betters in all and betters in one. A point that lacks a number isn't on the front. */
export function paretoFront(
  points: readonly (readonly (number | null)[])[],
  better: readonly ('higher' | 'lower')[],
): readonly boolean[] {
  const gains = points.map((point) =>
    point.map((value, i) => (value === null ? null : better[i] === 'higher' ? value : -value)),
  );
  const isWhole = (point: readonly (number | null)[]): point is number[] => point.every((value) => value !== null);
  const beats = (a: readonly number[], b: readonly number[]): boolean =>
    a.every((value, i) => value >= b[i]!) && a.some((value, i) => value > b[i]!);
  const whole = gains.filter(isWhole);
  return gains.map((point) => isWhole(point) && !whole.some((other) => beats(other, point)));
}
