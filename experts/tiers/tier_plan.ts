/** How many experts of each type a rank keeps resident at once, before any is read. Pure. */
import { ExpertError } from '../../compute/base/errors.js';
import type { WeightDtype } from '../../compute/base/weight_matrix.js';

/** Experts of one type. */
export interface ExpertKind {
  readonly dtype: WeightDtype;
  /** Of one expert in a kernel memory. */
  readonly eachBytes: number;
  /** In the model. */
  readonly numExperts: number;
  /** On one rank: of a type that few experts have, all may come to lie on the same. */
  readonly mostHeld: number;
}

/** What copies of experts that aren't resident may take, and their type. */
export interface WarmWish {
  readonly dtype: WeightDtype;
  readonly maxBytes: number;
}

/** Places for experts of one type. */
export interface SlotCount {
  readonly dtype: WeightDtype;
  readonly numSlots: number;
}

/**
 * Places that fit into `maxBytes`: one of each type at least, since experts of any may move here, and otherwise as the types are mixed in the model; never more of
 * one than the rank may hold.
 * @throws ExpertError INVALID_ARGUMENT for fewer bytes than one expert of each type takes
 */
export function planSlots(maxBytes: number, kinds: readonly ExpertKind[]): SlotCount[] {
  const least = kinds.reduce((sum, { eachBytes }) => sum + eachBytes, 0);
  if (maxBytes < least) {
    const what = kinds.length === 1 ? 'an expert takes' : `an expert of each of ${kinds.length} types takes`;
    const message = `experts.max_resident_bytes is ${maxBytes}, ${what} ${least} bytes; give at least as many`;
    throw new ExpertError('INVALID_ARGUMENT', message);
  }
  const counts = kinds.map(() => 1);
  let left = maxBytes - least;
  for (let next = mostWanted(kinds, counts, left); next !== null; next = mostWanted(kinds, counts, left)) {
    counts[next]!++;
    left -= kinds[next]!.eachBytes;
  }
  return kinds.map(({ dtype }, i) => ({ dtype, numSlots: counts[i]! }));
}

/**
 * Places for copies that fit, as many as the rank may hold experts at most. `eachBytes`: of a copy.
 * @throws ExpertError INVALID_ARGUMENT for copies that save nothing, and for fewer bytes than one takes
 */
export function planWarm(
  { dtype, maxBytes }: WarmWish,
  eachBytes: number,
  kinds: readonly ExpertKind[],
  mostHeld: number,
): number {
  const largest = kinds.reduce((a, b) => (b.eachBytes > a.eachBytes ? b : a));
  if (eachBytes >= largest.eachBytes) {
    const message = `experts.warm.dtype is ${dtype}, of which an expert takes ${eachBytes} bytes, and experts as ${largest.dtype} take ${largest.eachBytes}; choose a type of fewer bits, or leave experts.warm.bytes out`;
    throw new ExpertError('INVALID_ARGUMENT', message);
  }
  if (maxBytes >= eachBytes) return Math.min(mostHeld, Math.floor(maxBytes / eachBytes));
  const message = `experts.warm.bytes is ${maxBytes}, a copy of an expert as ${dtype} takes ${eachBytes} bytes; give at least as many`;
  throw new ExpertError('INVALID_ARGUMENT', message);
}

/** The type of which the smallest share is resident, if there are more and one fits. */
function mostWanted(kinds: readonly ExpertKind[], counts: readonly number[], left: number): number | null {
  let best: number | null = null;
  for (const [i, { eachBytes, numExperts, mostHeld }] of kinds.entries()) {
    if (eachBytes > left || counts[i]! >= mostHeld) continue;
    if (best === null || counts[i]! / numExperts < counts[best]! / kinds[best]!.numExperts) best = i;
  }
  return best;
}

/** Bytes of so many places. */
export const slotBytes = (slots: readonly SlotCount[], kinds: readonly ExpertKind[]): number =>
  slots.reduce((sum, { numSlots }, i) => sum + numSlots * kinds[i]!.eachBytes, 0);
