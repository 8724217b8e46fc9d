import { createHash } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import { createLocalMeshes, WIRE_DTYPES } from '../../../../comm/index.js';
import {
  bits,
  endpointsOf,
  randomInput,
  randomOf,
  roundTrip,
  roundTripOf,
  tagOf,
  withMeshes,
} from '../../../kit/comm/all_to_all.js';
import { openWsMeshes } from '../../../kit/comm/ws_meshes.js';
import {
  REDUCES,
  refCombine,
  inputsOf,
  expectSums,
  expectExact,
  countsOf,
} from '../../../kit/comm/exact_all_to_all.js';

describe('all-to-all in every dtype', () => {
  it('equals the reference bit for bit for any dtypes, reduce, nodes, T, K, experts, 1 to 16 ranks and −1', async () => {
    const world = fc.record({
      size: fc.integer({ min: 1, max: 16 }),
      node: fc.nat(),
      slotsPerRank: fc.integer({ min: 1, max: 3 }),
      numTopk: fc.integer({ min: 1, max: 4 }),
      hidden: fc.integer({ min: 1, max: 9 }),
      numTokens: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 16, maxLength: 16 }),
      // Fewer experts than slots: the last ranks may have none, as when experts aren't divisible by ranks.
      numUsed: fc.integer({ min: 1, max: 48 }),
      noneShare: fc.constantFrom(0, 0.3),
      dispatch: fc.constantFrom(...WIRE_DTYPES),
      combine: fc.constantFrom(...WIRE_DTYPES),
      reduce: fc.constantFrom(...REDUCES),
      seed: fc.integer(),
    });
    await fc.assert(
      fc.asyncProperty(
        world,
        async ({ node, numTokens, numUsed, noneShare, dispatch, combine, reduce, seed, ...rest }) => {
          const divisors = Array.from({ length: rest.size }, (_, i) => i + 1).filter((n) => rest.size % n === 0);
          const ranksPerNode = divisors[node % divisors.length]!;
          const shape = { ...rest, ranksPerNode, wire: { dispatch, combine } };
          const random = randomOf(seed);
          const numExperts = Math.min(numUsed, shape.size * shape.slotsPerRank);
          const expertOf = (): number => (random() < noneShare ? -1 : Math.floor(random() * numExperts));
          const inputs = numTokens.slice(0, shape.size).map((count) => randomInput(count, shape, random, expertOf));
          await withMeshes(createLocalMeshes(shape.size), (meshes) => expectExact(meshes, inputs, shape, reduce));
        },
      ),
      { numRuns: 80, seed: 20240902 },
    );
  });

  for (const dtype of WIRE_DTYPES) {
    for (const reduce of REDUCES) {
      it(`is exact over several groups of channels, the last one short: ${dtype}, reduce ${reduce}`, async () => {
        const shape = { size: 3, hidden: 300, numTopk: 3, slotsPerRank: 2, wire: { dispatch: dtype, combine: dtype } };
        const inputs = inputsOf([5, 0, 7], shape, 3);
        await withMeshes(createLocalMeshes(3), async (meshes) => {
          await expectExact(meshes, inputs, shape, reduce);
          const sent = meshes[0]!.stats().bytesSent;
          const [own, other] = [countsOf(inputs[0]!, shape), countsOf(inputs[2]!, shape)];
          const routing = reduce === 'rank' ? 3 * 6 : 3 * 2;
          const rowBytes = { f32: 1200, bf16: 600, fp8: 312, int8: 312 }[dtype];
          const returned = reduce === 'rank' ? other.tokens[0]! : other.pairs[0]!;
          expect(sent[2]).to.equal(40 + own.tokens[2]! * (rowBytes + routing) + 40 + returned * rowBytes);
        });
      });
    }
  }

  it('rounds own rows as if they had travelled', async () => {
    const wire = { dispatch: 'int8', combine: 'fp8' } as const;
    const shape = { size: 1, hidden: 5, numTopk: 2, slotsPerRank: 4, wire };
    const inputs = inputsOf([6], shape, 4);
    await withMeshes(createLocalMeshes(1), async (meshes) => {
      for (const [step, reduce] of REDUCES.entries()) {
        await expectExact(meshes, inputs, shape, reduce, step);
        const exact = refCombine(reduce, inputs[0]!, { ...shape, wire: {} });
        expect(bits(refCombine(reduce, inputs[0]!, shape))).to.not.deep.equal(bits(exact));
      }
    });
  });

  it('gives the same hash in repeated runs over WebSockets', async () => {
    const wire = { dispatch: 'fp8', combine: 'bf16' } as const;
    const shape = { size: 4, hidden: 140, numTopk: 3, slotsPerRank: 2, wire };
    const inputs = inputsOf([9, 0, 4, 6], shape, 5);
    await withMeshes(await openWsMeshes(4), async (meshes) => {
      for (const [r, reduce] of REDUCES.entries()) {
        const endpoints = endpointsOf(meshes, shape, reduce);
        const hashes = new Set<string>();
        for (let step = 0; step < 8; step++) {
          const { received, y } = await roundTripOf(endpoints, shape, inputs, tagOf(step, r));
          expectSums(y, inputs, shape, reduce);
          const hash = createHash('sha256');
          for (const values of [...received.map(({ recvX }) => recvX), ...y])
            hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
          hashes.add(hash.digest('hex'));
        }
        expect(hashes.size).to.equal(1);
      }
    });
  });

  it('sums by node where ranks share one, in an order of its own', async () => {
    const shape = { size: 6, hidden: 16, numTopk: 6, slotsPerRank: 2 };
    const inputs = inputsOf([8, 8, 8, 8, 8, 8], shape, 6);
    await withMeshes(createLocalMeshes(6), async (meshes) => {
      const results: string[] = [];
      for (const [step, ranksPerNode] of [1, 2, 3, 6].entries()) {
        const nodes = { ...shape, ranksPerNode };
        const { y } = await roundTrip(meshes, nodes, inputs, 'rank', tagOf(step));
        expectSums(y, inputs, nodes, 'rank');
        results.push(y.flatMap(bits).join());
      }
      expect(results[0]).to.equal(results[3]);
      expect(new Set(results).size).to.equal(3);
    });
  });
});
