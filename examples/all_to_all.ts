/**
 * An all-to-all by hand: three ranks in one process, six experts, two choices for each token. What comes back is compared with experts that were called directly.
 * In a folder where expertwire and tsx are installed: npx tsx all_to_all.ts
 */
import { createAllToAll, createLocalMeshes, trafficMatrices } from 'expertwire/comm';

const [numRanks, slotsPerRank, hidden, numTopk, numTokens] = [3, 2, 8, 2, 5];

/** Expert e multiplies by e + 1. */
const expert = (e: number, row: Float32Array): Float32Array => row.map((value) => (e + 1) * value);

/** Tokens of a rank, the two experts of each, and their weights. */
function batchOf(rank: number): { x: Float32Array; topkIdx: Int32Array; topkWeights: Float32Array } {
  const x = Float32Array.from({ length: numTokens * hidden }, (_, i) => rank + i / 8);
  const first = (t: number): number => (rank + t) % (numRanks * slotsPerRank);
  const second = (t: number): number => (first(t) + 1 + (t % 4)) % (numRanks * slotsPerRank);
  const topkIdx = Int32Array.from({ length: numTokens * numTopk }, (_, i) => (i % 2 === 0 ? first : second)(i >> 1));
  return { x, topkIdx, topkWeights: Float32Array.from(topkIdx, (_, i) => (i % 2 === 0 ? 0.75 : 0.25)) };
}

const meshes = createLocalMeshes(numRanks);
const sides = meshes.map((mesh) => createAllToAll(mesh, { hidden, numTopk, slotsPerRank }));
const errors = await Promise.all(
  sides.map(async (side, rank) => {
    const { x, topkIdx, topkWeights } = batchOf(rank);
    const received = await side.dispatch({
      x,
      topkIdx,
      topkWeights,
      tag: { step: 0, layer: 0, microBatch: 0, epoch: 0 },
    });
    const sums = new Float32Array(received.recvX.length);
    for (const [i, slot] of received.recvTopkIdx.entries()) {
      if (slot < 0) continue; // that choice is an expert of another rank
      const at = hidden * Math.floor(i / numTopk);
      const made = expert(rank * slotsPerRank + slot, received.recvX.subarray(at, at + hidden));
      for (const [h, value] of made.entries()) sums[at + h]! += received.recvTopkWeights[i]! * value;
    }
    const y = await side.combine(sums, received.handle);
    const direct = (i: number): number =>
      [0, 1].reduce((sum, k) => {
        const choice = numTopk * Math.floor(i / hidden) + k;
        return sum + topkWeights[choice]! * (topkIdx[choice]! + 1) * x[i]!;
      }, 0);
    return y.reduce((most, value, i) => Math.max(most, Math.abs(value - direct(i))), 0);
  }),
);
console.log(`largest error: ${Math.max(...errors).toExponential(0)}`);
for (const { phase, rows } of trafficMatrices(
  sides.map((side) => side.stats()),
  numRanks,
)) {
  console.log(`${phase}, rows from rank to rank: ${rows.map((row) => row.join(' ')).join(' | ')}`);
}
await Promise.all(meshes.map((mesh) => mesh.close()));
