/** Numbers in pictures. Pure. */

/** Four digits that count, and thousands apart: '12,340', '0.8462'. */
export function figure(value: number): string {
  const rounded = Number(value.toPrecision(4));
  return Math.abs(rounded) >= 10_000 ? rounded.toLocaleString('en-US') : String(rounded);
}
