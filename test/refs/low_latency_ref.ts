/** Low-latency dispatch by plain loops over experts, sources, tokens and choices; its combine is `refCombineSource`. */
import { refTravelled, type RefInput, type RefShape } from './all_to_all_ref.js';

/** One packed row, by names. */
export interface RefPackedRow {
  readonly source: number;
  readonly token: number;
  readonly x: readonly number[];
}

/** By local expert of rank `destination`, its rows in order. */
export function refPackedDispatch(
  inputs: readonly RefInput[],
  { hidden, numTopk, slotsPerRank, wire }: RefShape,
  destination: number,
): RefPackedRow[][] {
  const experts: RefPackedRow[][] = [];
  for (let slot = 0; slot < slotsPerRank; slot++) {
    const rows: RefPackedRow[] = [];
    for (const [source, { x, topkIdx }] of inputs.entries()) {
      for (let token = 0; token < x.length / hidden; token++) {
        for (let k = 0; k < numTopk; k++) {
          if (topkIdx[token * numTopk + k] !== destination * slotsPerRank + slot) continue;
          const row = [...x.slice(token * hidden, (token + 1) * hidden)];
          rows.push({ source, token, x: refTravelled(row, wire?.dispatch) });
        }
      }
    }
    experts.push(rows);
  }
  return experts;
}

/** By destination, the rows and the distinct tokens that one source sends. */
export function refPackedCounts(
  { topkIdx }: RefInput,
  { size, numTopk, slotsPerRank }: RefShape,
): { rows: number[]; tokens: number[] } {
  const pairs = [...topkIdx].map((expert, i) => ({
    rank: Math.floor(expert / slotsPerRank),
    token: (i - (i % numTopk)) / numTopk,
  }));
  const to = Array.from({ length: size }, (_, rank) => pairs.filter((pair) => pair.rank === rank));
  return { rows: to.map((all) => all.length), tokens: to.map((all) => new Set(all.map(({ token }) => token)).size) };
}
