import { expect } from 'chai';
import fc from 'fast-check';
import { floatRows } from '../../../base/float_rows.js';
import { createAllToAll } from '../../../comm/all_to_all/all_to_all.js';
import { WIRE_DTYPES } from '../../../comm/codec/wire_dtype.js';
import { createLocalMeshes } from '../../../comm/mesh/local_mesh.js';
import { isSameBits, randomFrom, randomValues } from '../../refs/random.js';

const HIDDEN = 5;
const NUM_TOPK = 3;
const SLOTS = 6;
const LAYER = 4;

const SHAPE = { hidden: HIDDEN, numTopk: NUM_TOPK, slotsPerRank: SLOTS };
const token = fc.shuffledSubarray([0, 1, 2, 3, 4, 5, -1, -1, -1], { minLength: NUM_TOPK, maxLength: NUM_TOPK });

describe('rows of a rank without peers', () => {
  for (const reduce of ['rank', 'source'] as const)
    it(`become and count as what a dispatch and a combine make of them (reduce ${reduce})`, async () => {
      const wires = fc.record({ dispatch: fc.constantFrom(...WIRE_DTYPES), combine: fc.constantFrom(...WIRE_DTYPES) });
      await fc.assert(
        fc.asyncProperty(fc.array(token, { maxLength: 6 }), wires, fc.nat(), async (tokens, wire, seed) => {
          const [mesh] = createLocalMeshes(1);
          const make = () => createAllToAll(mesh!, { ...SHAPE, reduce, wire });
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
          const isTaken = (i: number): boolean => tokens[Math.floor(i / HIDDEN)]!.some((slot) => slot >= 0);
          expect(
            isSameBits(
              own.recvX.filter((_, i) => isTaken(i)),
              recv.recvX,
            ),
          ).to.equal(true);

          const numRows = reduce === 'rank' ? tokens.length : topkIdx.filter((slot) => slot >= 0).length;
          const rows = randomValues(random, numRows * HIDDEN);
          if (reduce === 'rank') rows.forEach((_, i) => (rows[i] = isTaken(i) ? rows[i]! : 0));
          const returned = reduce === 'rank' ? rows.filter((_, i) => isTaken(i)) : rows;
          const y = await exchanged.combine(returned, recv.handle);
          const room = floatRows(new Float32Array(x.length), HIDDEN);
          const home = alone!.combine(floatRows(rows, HIDDEN), topkIdx, topkWeights, () => room);
          expect(isSameBits(home.view(), y)).to.equal(true);
          expect(lone.stats()).to.deep.equal(exchanged.stats());
          await mesh!.close();
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

  it('have no home on a mesh of several', async () => {
    const meshes = createLocalMeshes(2);
    expect(createAllToAll(meshes[0]!, SHAPE).alone).to.equal(null);
    await Promise.all(meshes.map((each) => each.close()));
  });
});
