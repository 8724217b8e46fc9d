import { createHash } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import {
  combineBytes,
  createAllToAll,
  createLocalMeshes,
  lowLatencyDispatchBytes,
  WIRE_DTYPES,
  type Span,
} from '../../../../comm/index.js';
import { bits, randomOf, runExperts, tagOf, withMeshes } from '../../../kit/comm/all_to_all.js';
import { packedEndpointsOf, packedRoundTrip, runPackedExperts } from '../../../kit/comm/low_latency.js';
import { openWsMeshes } from '../../../kit/comm/ws_meshes.js';
import { refCombineSource } from '../../../refs/all_to_all_ref.js';
import { inputOf, rowsOf, expectReceived, expectExact, sum, calcDiff } from '../../../kit/comm/exact_low_latency.js';

describe('low-latency all-to-all', () => {
  it('equals the reference bit for bit for any T, K, experts, 1 to 16 ranks, skew, −1 and dtypes', async () => {
    const world = fc.record({
      size: fc.integer({ min: 1, max: 16 }),
      slotsPerRank: fc.integer({ min: 1, max: 4 }),
      numTopk: fc.integer({ min: 1, max: 4 }),
      hidden: fc.integer({ min: 1, max: 9 }),
      numTokens: fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 16, maxLength: 16 }),
      // Few experts: all tokens to one rank, or to one expert, or experts that aren't divisible by ranks.
      numUsed: fc.integer({ min: 1, max: 64 }),
      noneShare: fc.constantFrom(0, 0.3, 1),
      dispatch: fc.constantFrom(...WIRE_DTYPES),
      combine: fc.constantFrom(...WIRE_DTYPES),
      seed: fc.integer(),
    });
    await fc.assert(
      fc.asyncProperty(world, async ({ numTokens, numUsed, noneShare, dispatch, combine, seed, ...rest }) => {
        const shape = { ...rest, maxTokensPerRank: 5, wire: { dispatch, combine } };
        const random = randomOf(seed);
        const numExperts = Math.min(numUsed, shape.size * shape.slotsPerRank);
        const inputs = numTokens
          .slice(0, shape.size)
          .map((count) => inputOf(count, shape, random, numExperts, noneShare));
        await withMeshes(createLocalMeshes(shape.size), (meshes) => expectExact(meshes, shape, inputs));
      }),
      { numRuns: 80, seed: 20240901 },
    );
  });

  for (const dtype of WIRE_DTYPES) {
    it(`keeps groups of channels apart where experts have several rows: ${dtype}, 200 channels`, async () => {
      const wire = { dispatch: dtype, combine: dtype };
      const shape = { size: 3, hidden: 200, numTopk: 2, slotsPerRank: 2, maxTokensPerRank: 6, wire };
      const random = randomOf(5);
      const inputs = [6, 1, 4].map((count) => inputOf(count, shape, random, 5));
      await withMeshes(createLocalMeshes(3), (meshes) => expectExact(meshes, shape, inputs));
    });

    it(`gives the bits of the normal mode with reduce source: ${dtype}`, async () => {
      const wire = { dispatch: dtype, combine: dtype };
      const shape = { size: 4, hidden: 130, numTopk: 3, slotsPerRank: 3, maxTokensPerRank: 8, wire };
      const random = randomOf(11);
      const inputs = [8, 0, 5, 3].map((count) => inputOf(count, shape, random, 12, 0.1));
      await withMeshes(createLocalMeshes(4), async (meshes) => {
        const { hidden, numTopk, slotsPerRank } = shape;
        const { y } = await packedRoundTrip(packedEndpointsOf(meshes, shape), shape, inputs, tagOf(1));
        const normal = meshes.map((mesh) =>
          createAllToAll(mesh, { hidden, numTopk, slotsPerRank, wire, reduce: 'source' }),
        );
        const tag = tagOf(2);
        const recv = await Promise.all(normal.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag })));
        const yNormal = await Promise.all(
          normal.map((ep, rank) => ep.combine(runExperts(recv[rank]!, rank, shape), recv[rank]!.handle)),
        );
        expect(y.map(bits)).to.deep.equal(yNormal.map(bits));
      });
    });

    it(`stays within DeepEP's bound on the loss of ${dtype}`, async () => {
      const wire = { dispatch: dtype, combine: dtype };
      const shape = { size: 2, hidden: 256, numTopk: 4, slotsPerRank: 8, maxTokensPerRank: 16, wire };
      const random = randomOf(13);
      const inputs = [16, 9].map((count) => inputOf(count, shape, random, 16));
      await withMeshes(createLocalMeshes(2), async (meshes) => {
        const endpoints = packedEndpointsOf(meshes, shape);
        const recv = await Promise.all(endpoints.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag: tagOf() })));
        const y = await Promise.all(
          endpoints.map((ep, rank) => ep.combine(recv[rank]!.recvX, recv[rank]!.handle, inputs[rank]!.topkWeights)),
        );
        const bound = { f32: 1e-9, bf16: 5e-6, fp8: 5e-4, int8: 5e-4 }[dtype];
        for (const [rank, { x, topkWeights }] of inputs.entries()) {
          const exact = Array.from(x, (value, i) => {
            const token = Math.floor(i / 256);
            return value * sum([...topkWeights.subarray(token * 4, token * 4 + 4)]);
          });
          expect(calcDiff(y[rank]!, exact)).to.be.lessThan(bound);
          if (dtype !== 'f32') expect(calcDiff(y[rank]!, exact)).to.be.greaterThan(1e-9);
        }
      });
    });
  }

  it('names the source of every row: provenance', async () => {
    const shape = { size: 4, hidden: 6, numTopk: 3, slotsPerRank: 4, maxTokensPerRank: 13 };
    const random = randomOf(7);
    const inputs = Array.from({ length: 4 }, (_, rank) => {
      const input = inputOf(10 + rank, shape, random, 16, 0.05);
      input.x.forEach((_value, i) => (input.x[i] = i % 6 === 5 ? Math.floor(i / 6) : rank));
      return input;
    });
    await withMeshes(createLocalMeshes(4), async (meshes) => {
      const { received } = await packedRoundTrip(packedEndpointsOf(meshes, shape), shape, inputs);
      for (const [rank, recv] of received.entries()) {
        for (const [slot, rows] of rowsOf(recv, shape).entries()) {
          const range = recv.recvLayoutRange.subarray(slot * 5, slot * 5 + 5);
          expect([range[0], range[4]]).to.deep.equal([0, rows.length]);
          let last = -1;
          for (const [n, row] of rows.entries()) {
            const [source, token] = [row[0]!, row[5]!];
            expect(row.slice(0, 5)).to.deep.equal(new Array(5).fill(source));
            expect(n)
              .to.be.at.least(range[source]!)
              .and.below(range[source + 1]!);
            expect(source * 1000 + token).to.be.greaterThan(last);
            last = source * 1000 + token;
            const choices = [...inputs[source]!.topkIdx.subarray(token * 3, token * 3 + 3)];
            expect(choices).to.include(rank * 4 + slot);
          }
        }
      }
    });
  });

  it('is exact when one expert gets every token of every rank, and when no rank has a token', async () => {
    const shape = { size: 3, hidden: 8, numTopk: 1, slotsPerRank: 2, maxTokensPerRank: 4 };
    const toOne = [4, 4, 4].map((count, rank) => ({
      ...inputOf(count, shape, randomOf(rank), 1),
      topkIdx: new Int32Array(count).fill(5),
    }));
    const none = [0, 0, 0].map(() => inputOf(0, shape, randomOf(1), 1));
    await withMeshes(createLocalMeshes(3), async (meshes) => {
      await expectExact(meshes, shape, toOne, 0);
      await expectExact(meshes, shape, none, 1);
    });
  });

  it('is exact over WebSockets, and repeated runs give the same hash', async () => {
    const wire = { dispatch: 'fp8', combine: 'bf16' } as const;
    const shape = { size: 3, hidden: 140, numTopk: 3, slotsPerRank: 3, maxTokensPerRank: 12, wire };
    const random = randomOf(17);
    const inputs = [12, 3, 7].map((count) => inputOf(count, shape, random, 9, 0.1));
    await withMeshes(await openWsMeshes(3), async (meshes) => {
      await expectExact(meshes, shape, inputs);
      const endpoints = packedEndpointsOf(meshes, shape);
      const hashes = new Set<string>();
      for (let step = 1; step <= 10; step++) {
        const { received, y } = await packedRoundTrip(endpoints, shape, inputs, tagOf(step));
        const hash = createHash('sha256');
        for (const recv of received) hash.update(JSON.stringify([rowsOf(recv, shape), [...recv.recvLayoutRange]]));
        for (const rows of y) hash.update(new Uint8Array(rows.buffer));
        hashes.add(hash.digest('hex'));
      }
      expect(hashes.size).to.equal(1);
    });
  });

  it('states the bytes of its frames', () => {
    expect(lowLatencyDispatchBytes(3, 200)).to.equal(40 + 3 * (800 + 2));
    expect(lowLatencyDispatchBytes(3, 200, 'fp8')).to.equal(40 + 3 * (200 + 2 * 4 + 2));
    expect(combineBytes(3, 200, 'bf16')).to.equal(40 + 3 * 400);
  });

  it('has two micro-batches in flight, with compute between start and hook, and arrays that change after the start', async () => {
    const shape = { size: 3, hidden: 5, numTopk: 2, slotsPerRank: 2, maxTokensPerRank: 4 };
    const random = randomOf(23);
    const inputs = [0, 1].map(() => [4, 2, 3].map((count) => inputOf(count, shape, random, 6)));
    await withMeshes(createLocalMeshes(3, { microBatches: 2 }), async (meshes) => {
      const endpoints = packedEndpointsOf(meshes, shape);
      const run = async (rank: number): Promise<void> => {
        const ep = endpoints[rank]!;
        const dispatches = [0, 1].map((microBatch) => {
          const x = inputs[microBatch]![rank]!.x.slice();
          const topkIdx = inputs[microBatch]![rank]!.topkIdx.slice();
          const pending = ep.startDispatch({ x, topkIdx, tag: { ...tagOf(), microBatch } });
          x.fill(NaN);
          topkIdx.fill(0);
          return pending;
        });
        const first = await dispatches[0]!.hook();
        const second = await dispatches[1]!.hook();
        // The first result outlives the second dispatch.
        expectReceived(first, shape, inputs[0]!, rank);
        expectReceived(second, shape, inputs[1]!, rank);
        const combines = [first, second].map((recv, microBatch) => {
          recv.recvX.set(runPackedExperts(recv, rank, shape));
          const weights = inputs[microBatch]![rank]!.topkWeights.slice();
          const pending = ep.startCombine(recv.recvX, recv.handle, weights);
          recv.recvX.fill(NaN);
          weights.fill(NaN);
          return pending;
        });
        for (const [microBatch, pending] of combines.entries()) {
          const expected = refCombineSource(inputs[microBatch]![rank]!, shape);
          expect(bits(await pending.hook())).to.deep.equal(bits(expected));
        }
      };
      await Promise.all([2, 0, 1].map(run));
    });
  });

  it('tells of pack, flight and unpack of both phases, in this order and without gaps backwards', async () => {
    const shape = { size: 2, hidden: 4, numTopk: 1, slotsPerRank: 1, maxTokensPerRank: 2 };
    const spans: Span[] = [];
    await withMeshes(createLocalMeshes(2), async (meshes) => {
      const onSpan = (span: Span): void => void spans.push(span);
      const [one] = packedEndpointsOf([meshes[0]!], shape, { onSpan });
      const [other] = packedEndpointsOf([meshes[1]!], shape);
      const inputs = [2, 1].map((count) => inputOf(count, shape, randomOf(1), 2));
      await packedRoundTrip([one!, other!], shape, inputs, tagOf(3, 9));
    });
    const parts = ['pack', 'flight', 'unpack'];
    const expected = ['dispatch', 'combine'].flatMap((phase) => parts.map((part) => `${phase} ${part}`));
    expect(spans.map(({ phase, part }) => `${phase} ${part}`)).to.deep.equal(expected);
    let last = 0;
    for (const { tag, startMs, endMs } of spans) {
      expect(tag).to.deep.equal(tagOf(3, 9));
      expect(startMs).to.be.at.least(last);
      expect(endMs).to.be.at.least(startMs);
      last = endMs;
    }
  });
});
