/** Who a fault befalls. Pure. */
import type { Fault } from './fault.js';

/**
 * Of the ranks that are there: none where somebody comes, two different ones for a link (from, to), else one. Null where too few are there: a fault that may take a rank
 * must leave one.
 */
export function victimsOf(
  { kind, draws }: Pick<Fault, 'kind' | 'draws'>,
  members: readonly number[],
): readonly number[] | null {
  if (kind === 'join' || kind === 'abort') return [];
  const isAlone = members.length < 2;
  if (members.length === 0 || (isAlone && kind !== 'slow')) return null;
  const first = members[Math.floor(draws[0] * members.length)]!;
  if (kind !== 'cut' && kind !== 'silence') return [first];
  const others = members.filter((rank) => rank !== first);
  return [first, others[Math.floor(draws[1] * others.length)]!];
}
