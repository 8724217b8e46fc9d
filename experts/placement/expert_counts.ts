/** How many experts MoE layers have: usually all as many (Rajbhandari et al. 2022 give later layers more). Pure. */

/** One number where all layers have as many experts, otherwise that of each MoE layer. */
export type ExpertCounts = number | readonly number[];

/** [L] of each of so many layers. */
export const countsOf = (numExperts: ExpertCounts, numLayers: number): readonly number[] =>
  typeof numExperts === 'number' ? new Array<number>(numLayers).fill(numExperts) : numExperts;

/** The most that a layer has; 0 without layers. */
export const mostOf = (numExperts: ExpertCounts): number =>
  typeof numExperts === 'number' ? numExperts : numExperts.reduce((most, count) => Math.max(most, count), 0);

/** One number where all layers have as many, which is how it is written down; else one for each. */
export const shortCounts = (numExperts: readonly number[]): ExpertCounts =>
  numExperts.length > 0 && numExperts.every((count) => count === numExperts[0]) ? numExperts[0]! : numExperts;

/** For people: `32`, or `4, 4, 8 and 8`. */
export function countsText(numExperts: ExpertCounts): string {
  const short = typeof numExperts === 'number' ? numExperts : shortCounts(numExperts);
  if (typeof short === 'number') return String(short);
  return `${short.slice(0, -1).join(', ')} and ${short.at(-1)}`;
}
