/** Room for ranks that come later, and for experts that ranks take over: a placement in a wider layout. Pure. */
import { placementFrom, slotsOf, type Placement } from './placement.js';

/** How wide. A rank's number is its seat. */
export interface Seats {
  /** At least as many as the placement has ranks. */
  readonly numSeats: number;
  /** At least as many as the placement has. Default: as many. */
  readonly slotsPerRank?: number;
}

/** The same ranks with the same experts in the same slots; further seats and slots are empty. */
export function withSeats(placement: Placement, { numSeats, slotsPerRank = placement.slotsPerRank }: Seats): Placement {
  const { version, numRanks, numExperts, phy2log } = placement;
  if (numSeats === numRanks && slotsPerRank === placement.slotsPerRank) return placement;
  const seats = { numSeats, slotsPerRank };
  const widened = new Map(phy2log.map((table, moeLayer) => [table, wider(placement, moeLayer, seats)])); // layers often share one
  const tables = phy2log.map((table) => widened.get(table)!);
  return placementFrom(version, numSeats, numExperts, tables);
}

function wider(placement: Placement, moeLayer: number, { numSeats, slotsPerRank }: Required<Seats>): Int32Array {
  const table = new Int32Array(numSeats * slotsPerRank).fill(-1);
  for (let rank = 0; rank < placement.numRanks; rank++) {
    table.set(slotsOf(placement, moeLayer, rank), rank * slotsPerRank);
  }
  return table;
}
