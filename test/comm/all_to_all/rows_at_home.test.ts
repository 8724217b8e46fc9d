import { expect } from 'chai';
import fc from 'fast-check';
import { floatRows } from '../../../base/float_rows.js';
import { createAllToAll } from '../../../comm/all_to_all/all_to_all.js';
import { WIRE_DTYPES } from '../../../comm/codec/wire_dtype.js';
import { asRank } from '../../../base/ids.js';
import { createLocalMeshes } from '../../../comm/mesh/local_mesh.js';
import { peersOf } from '../../../comm/mesh/mesh.js';
import { isSameBits, randomFrom, randomValues } from '../../refs/random.js';

const HIDDEN = 5;
const NUM_TOPK = 3;
const SLOTS = 6;
const LAYER = 4;

const SHAPE = { hidden: HIDDEN, numTopk: NUM_TOPK, slotsPerRank: SLOTS };
/** Of so many seats. */
const tokenOf = (numSeats: number): fc.Arbitrary<number[]> => {
  const slots = Array.from({ length: numSeats * SLOTS }, (_, slot) => slot);
  return fc.shuffledSubarray([...slots, -1, -1, -1], { minLength: NUM_TOPK, maxLength: NUM_TOPK });
};
const PLACES = [
  { what: 'the only one', size: 1, rank: 0 },
  { what: 'the last that is heard among four', size: 4, rank: 2 },
];

describe('rows of a rank without peers', () => {
  for (const [reduce, { what, size, rank }] of (['rank', 'source'] as const).flatMap((each) =>
    PLACES.map((place) => [each, place] as const),
  ))
    it(`become and count as what a dispatch and a combine make of them (reduce ${reduce}, ${what})`, async () => {
      const wires = fc.record({ dispatch: fc.constantFrom(...WIRE_DTYPES), combine: fc.constantFrom(...WIRE_DTYPES) });
      await fc.assert(
        fc.asyncProperty(fc.array(tokenOf(size), { maxLength: 6 }), wires, fc.nat(), async (tokens, wire, seed) => {
          const meshes = createLocalMeshes(size);
          const make = () => {
            const made = createAllToAll(meshes[rank]!, { ...SHAPE, reduce, wire });
            for (const peer of peersOf(meshes[rank]!)) made.maskRank(peer);
            return made;
          };
          const isHere = (slot: number): boolean => slot >= rank * SLOTS && slot < (rank + 1) * SLOTS;
          const [exchanged, lone] = [make(), make()];
          const random = randomFrom(seed);
          const topkIdx = Int32Array.from(tokens.flat());
          const topkWeights = randomValues(random, topkIdx.length);
          const x = randomValues(random, tokens.length * HIDDEN);
          const tag = { step: 1, layer: LAYER, microBatch: 0, epoch: 0 };

          const recv = await exchanged.dispatch({ x, topkIdx, topkWeights, tag });
          const { alone } = lone;
          const own = alone!.dispatch(LAYER, floatRows(x, HIDDEN), topkIdx, topkWeights);
          // Rows that no expert takes are there too.
          const isTaken = (i: number): boolean => tokens[Math.floor(i / HIDDEN)]!.some(isHere);
          expect(
            isSameBits(
              own.recvX.filter((_, i) => isTaken(i)),
              recv.recvX,
            ),
          ).to.equal(true);

          const numRows = reduce === 'rank' ? tokens.length : topkIdx.filter(isHere).length;
          const rows = randomValues(random, numRows * HIDDEN);
          if (reduce === 'rank') rows.forEach((_, i) => (rows[i] = isTaken(i) ? rows[i]! : 0));
          const returned = reduce === 'rank' ? rows.filter((_, i) => isTaken(i)) : rows;
          const y = await exchanged.combine(returned, recv.handle);
          const room = floatRows(new Float32Array(x.length), HIDDEN);
          const home = alone!.combine(floatRows(rows, HIDDEN), topkIdx, topkWeights, () => room);
          expect(isSameBits(home.view(), y)).to.equal(true);
          expect(lone.stats()).to.deep.equal(exchanged.stats());
          await Promise.all(meshes.map((mesh) => mesh.close()));
        }),
        { numRuns: 100 },
      );
    });

  it('are read in place where no wire rounds them, and are y themselves where experts summed them', async () => {
    const [mesh] = createLocalMeshes(1);
    const { alone } = createAllToAll(mesh!, SHAPE);
    const x = floatRows(new Float32Array(HIDDEN), HIDDEN);
    const [topkIdx, topkWeights] = [Int32Array.of(0, 1, 2), new Float32Array(NUM_TOPK)];
    expect(alone!.dispatch(LAYER, x, topkIdx, topkWeights).inPlace).to.equal(x);
    expect(alone!.combine(x, topkIdx, topkWeights, () => expect.fail('no room is wanted'))).to.equal(x);
    await mesh!.close();
  });

  it('are at home as long as every peer is masked', async () => {
    const meshes = createLocalMeshes(3);
    const ep = createAllToAll(meshes[0]!, SHAPE);
    expect([ep.alone, ep.unweighted().alone]).to.deep.equal([null, null]);
    ep.maskRank(asRank(1));
    expect(ep.alone).to.equal(null);
    ep.maskRank(asRank(2));
    expect([ep.alone, ep.unweighted().alone]).not.to.include(null);
    ep.clearMask(asRank(1));
    expect([ep.alone, ep.unweighted().alone]).to.deep.equal([null, null]);
    await Promise.all(meshes.map((each) => each.close()));
  });
});
