import { createHash } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import {
  asRank,
  combineBytes,
  createAllToAll,
  createLocalMeshes,
  createLowLatencyAllToAll,
  FRAME_FLAGS,
  lowLatencyDispatchBytes,
  WIRE_DTYPES,
  type FrameHeader,
  type LowLatencyResult,
  type Mesh,
  type Span,
  type WireDtype,
} from '../../../../comm/index.js';
import { bits, randomOf, runExperts, tagOf, withMeshes } from '../../../kit/all_to_all.js';
import { rejection, thrown } from '../../../kit/errors.js';
import {
  distinctExperts,
  packedEndpointsOf,
  packedRoundTrip,
  runPackedExperts,
  type PackedShape,
} from '../../../kit/low_latency.js';
import { openWsMeshes } from '../../../kit/ws_meshes.js';
import { refCombineSource, refWithout, type RefInput } from '../../../refs/all_to_all_ref.js';
import { refPackedCounts, refPackedDispatch } from '../../../refs/low_latency_ref.js';
import { randomValues } from '../../../refs/random.js';

/** Random tokens whose choices name different experts among the first `numExperts`. */
function inputOf(
  numTokens: number,
  { hidden, numTopk }: PackedShape,
  random: () => number,
  numExperts: number,
  noneShare = 0,
): RefInput {
  return {
    x: randomValues(random, numTokens * hidden, 2),
    topkIdx: distinctExperts(random, numTokens, numTopk, numExperts, noneShare),
    topkWeights: Float32Array.from({ length: numTokens * numTopk }, random),
  };
}

/** The rows that arrived, per local expert. */
function rowsOf({ recvX, recvCount }: LowLatencyResult, { hidden, size, maxTokensPerRank }: PackedShape): number[][][] {
  const stride = size * maxTokensPerRank * hidden;
  return [...recvCount].map((count, slot) =>
    Array.from({ length: count }, (_, n) => {
      const at = slot * stride + n * hidden;
      return [...recvX.subarray(at, at + hidden)];
    }),
  );
}

function expectReceived(recv: LowLatencyResult, shape: PackedShape, inputs: readonly RefInput[], rank: number): void {
  const expected = refPackedDispatch(inputs, shape, rank);
  expect([...recv.recvCount]).to.deep.equal(expected.map((rows) => rows.length));
  expect(rowsOf(recv, shape)).to.deep.equal(expected.map((rows) => rows.map((row) => row.x)));
  const sources = [...recv.recvCount].map((_, slot) => {
    const width = shape.size + 1;
    const range = recv.recvLayoutRange.subarray(slot * width, (slot + 1) * width);
    return inputs.flatMap((_input, source) => new Array<number>(range[source + 1]! - range[source]!).fill(source));
  });
  expect(sources).to.deep.equal(expected.map((rows) => rows.map((row) => row.source)));
}

/** Everything a round trip promises, against the reference, bit for bit. */
async function expectExact(meshes: Mesh[], shape: PackedShape, inputs: readonly RefInput[], step = 0): Promise<void> {
  const endpoints = packedEndpointsOf(meshes, shape);
  const { received, y } = await packedRoundTrip(endpoints, shape, inputs, tagOf(step));
  const { dispatch = 'f32', combine = 'f32' } = shape.wire ?? {};
  const counts = inputs.map((input) => refPackedCounts(input, shape));
  for (const [rank, recv] of received.entries()) {
    expectReceived(recv, shape, inputs, rank);
    expect(bits(y[rank]!)).to.deep.equal(bits(refCombineSource(inputs[rank]!, shape)));
    const owed = counts.map((count) => count.rows[rank]!);
    const sent = (frameBytes: (peer: number) => number): number[] =>
      meshes.map((_, peer) => (peer === rank ? 0 : frameBytes(peer)));
    const rowBytes = (dtype: WireDtype): number => {
      const scales = dtype === 'fp8' || dtype === 'int8' ? 4 * Math.ceil(shape.hidden / 128) : 0;
      return shape.hidden * { f32: 4, bf16: 2, fp8: 1, int8: 1 }[dtype] + scales;
    };
    expect(endpoints[rank]!.sentBytes()).to.deep.equal({
      dispatch: sent((peer) => 40 + counts[rank]!.rows[peer]! * (rowBytes(dispatch) + 2)),
      combine: sent((peer) => 40 + owed[peer]! * rowBytes(combine)),
    });
    const [first, second] = endpoints[rank]!.stats().traffic;
    expect(first).to.deep.include({ phase: 'dispatch', tokens: counts[rank]!.tokens, rows: counts[rank]!.rows });
    expect(second).to.deep.include({ phase: 'combine', tokens: owed, rows: owed });
  }
}

const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);

/** DeepEP's measure of what an inexact dtype costs. */
function calcDiff(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const [x, y] = [Array.from(a, (v) => v + 1), Array.from(b, (v) => v + 1)];
  return 1 - (2 * sum(x.map((v, i) => v * y[i]!))) / sum(x.map((v, i) => v * v + y[i]! * y[i]!));
}

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
      for (let step = 1; step <= 10; step += 1) {
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

describe('low-latency all-to-all refuses', () => {
  const shape = { size: 2, hidden: 4, numTopk: 2, slotsPerRank: 3, maxTokensPerRank: 2 };
  const good = { x: new Float32Array(8), topkIdx: Int32Array.of(0, 5, -1, 3), tag: tagOf() };

  it('impossible options, naming both numbers', async () => {
    await withMeshes(createLocalMeshes(2), ([mesh]) => {
      const options = { hidden: 4, numTopk: 2, slotsPerRank: 3, maxTokensPerRank: 2 };
      for (const wrong of [
        { hidden: 0 },
        { maxTokensPerRank: 0 },
        { maxTokensPerRank: 1.5 },
        { numTopk: 70000 },
        { timeoutMs: -1 },
        { onPeerLoss: 'ignore' as 'mask' },
        { wire: { combine: 'fp4' as WireDtype } },
      ]) {
        thrown(() => createLowLatencyAllToAll(mesh!, { ...options, ...wrong }), 'INVALID_ARGUMENT');
      }
      const huge = { ...options, slotsPerRank: 32, hidden: 7168, maxTokensPerRank: 4096 };
      const error = thrown(() => createLowLatencyAllToAll(mesh!, huge), 'INVALID_ARGUMENT');
      expect(error.message)
        .to.contain(String(32 * 2 * 4096 * 7168 * 4))
        .and.contain(String(2 ** 32 - 1));
    });
  });

  for (const [what, wrong, numbers] of [
    ['x that is no multiple of hidden', { x: new Float32Array(7) }, ['7', '4']],
    ['more tokens than maxTokensPerRank', { x: new Float32Array(12), topkIdx: new Int32Array(6) }, ['3', '2']],
    ['too few choices', { topkIdx: new Int32Array(3) }, ['3', '4']],
    ['an expert that no rank has', { topkIdx: Int32Array.of(0, 6, 0, 1) }, ['6', '5']],
    ['an expert below −1', { topkIdx: Int32Array.of(0, -2, 0, 1) }, ['-2']],
    ['a token that names an expert twice', { topkIdx: Int32Array.of(0, 1, 4, 4) }, ['row 1', 'expert 4']],
    ['a step that fits no header', { tag: tagOf(-1) }, ['-1']],
  ] as const) {
    it(`${what}, before anything is sent`, async () => {
      await withMeshes(createLocalMeshes(2), (meshes) => {
        const [ep] = packedEndpointsOf(meshes, shape);
        const error = thrown(() => ep!.startDispatch({ ...good, ...wrong }), 'INVALID_ARGUMENT');
        for (const number of numbers) expect(error.message).to.contain(number);
        expect(meshes[0]!.stats().framesSent).to.deep.equal([0, 0]);
      });
    });
  }

  it('expertOut and weights of the wrong length, a spent handle and foreign ones', async () => {
    await withMeshes(createLocalMeshes(1), async (meshes) => {
      const one = { ...shape, size: 1 };
      const [ep, other] = packedEndpointsOf([meshes[0]!, meshes[0]!], one);
      const normal = createAllToAll(meshes[0]!, { hidden: 4, numTopk: 2, slotsPerRank: 3 });
      const topkWeights = new Float32Array(4);
      const { handle, recvX } = await ep!.dispatch({ ...good, topkIdx: Int32Array.of(0, 1, -1, 2) });
      const short = thrown(() => ep!.startCombine(recvX.subarray(4), handle, topkWeights), 'INVALID_ARGUMENT');
      expect(short.message).to.contain('20').and.contain('6 packed rows');
      const few = thrown(() => ep!.startCombine(recvX, handle, topkWeights.subarray(1)), 'INVALID_ARGUMENT');
      expect(few.message).to.contain('3').and.contain('4');
      await rejection(other!.combine(recvX, handle, topkWeights), 'INVALID_ARGUMENT');
      await rejection(normal.combine(new Float32Array(8), handle), 'INVALID_ARGUMENT');
      await ep!.combine(recvX, handle, topkWeights);
      await rejection(ep!.combine(recvX, handle, topkWeights), 'INVALID_ARGUMENT', { phase: 'combine' });
    });
  });

  it('a batch above the frame limit before anything is sent', async () => {
    await withMeshes(createLocalMeshes(3, { maxFrameBytes: 60 }), async (meshes) => {
      const [ep] = packedEndpointsOf(meshes, { ...shape, size: 3 });
      const where = { rank: asRank(1), layer: 0, phase: 'dispatch' };
      await rejection(ep!.dispatch({ ...good, topkIdx: Int32Array.of(0, 3, -1, 4) }), 'LIMIT', where);
      expect(meshes[0]!.stats().framesSent).to.deep.equal([0, 0, 0]);
    });
  });

  it('a normal-mode peer, on both sides, naming the modes', async () => {
    await withMeshes(createLocalMeshes(2), async (meshes) => {
      const [ep] = packedEndpointsOf(meshes, shape);
      const normal = createAllToAll(meshes[1]!, { hidden: 4, numTopk: 2, slotsPerRank: 3 });
      const request = { ...good, topkWeights: new Float32Array(4) };
      const errors = await Promise.all([
        rejection(ep!.dispatch(good), 'PROTOCOL', { rank: asRank(1), phase: 'dispatch' }),
        rejection(normal.dispatch(request), 'PROTOCOL', { rank: asRank(0), phase: 'dispatch' }),
      ]);
      expect(errors[0].message).to.contain('mode plain, lowLatency here');
      expect(errors[1].message).to.contain('mode lowLatency, plain here');
    });
  });

  const headerOf = (fields: Partial<FrameHeader>): FrameHeader => ({
    ...{ phase: 'dispatch', source: asRank(1), destination: asRank(0), ...tagOf(), hidden: 4, numTopk: 1 },
    ...{ dtype: 'f32', flags: FRAME_FLAGS.lowLatency, numRows: 3, payloadBytes: 3 * 18 },
    ...fields,
  });
  for (const [what, fields, slots] of [
    ['another hidden', { hidden: 5 }, [0, 1, 2]],
    ['another dtype', { dtype: 'bf16' }, [0, 1, 2]],
    ['fewer bytes than rows', { numRows: 4 }, [0, 1, 2]],
    ['rows without end', { numRows: 0xffffffff }, [0, 1, 2]],
    ['a slot that this rank has not', {}, [0, 1, 3]],
    ['a slot below 0', {}, [-1, 0, 1]],
    ['slots out of order', {}, [0, 2, 1]],
    ['more rows for a slot than maxTokensPerRank', {}, [1, 1, 1]],
  ] as const) {
    it(`a frame with ${what}: PROTOCOL with rank, layer and phase`, async () => {
      await withMeshes(createLocalMeshes(2), async (meshes) => {
        const payload = new Uint8Array(3 * 18);
        new Int16Array(payload.buffer, 3 * 16).set(slots);
        meshes[1]!.send(asRank(0), headerOf(fields), [payload]);
        const [ep] = packedEndpointsOf(meshes, shape);
        await rejection(ep!.dispatch(good), 'PROTOCOL', { rank: asRank(1), layer: 0, phase: 'dispatch' });
      });
    });
  }

  it('a combine frame of another number of rows: PROTOCOL', async () => {
    await withMeshes(createLocalMeshes(2), async (meshes) => {
      const endpoints = packedEndpointsOf(meshes, shape);
      const [recv] = await Promise.all(endpoints.map((ep) => ep.dispatch(good)));
      meshes[1]!.send(asRank(0), headerOf({ phase: 'combine', numRows: 1, payloadBytes: 16 }), [new Uint8Array(16)]);
      const combine = endpoints[0]!.combine(recv!.recvX, recv!.handle, new Float32Array(4));
      const error = await rejection(combine, 'PROTOCOL', { rank: asRank(1), layer: 0, phase: 'combine' });
      expect(error.message).to.contain('1 rows, 2 expected');
    });
  });
});

describe('low-latency all-to-all with a failing peer', () => {
  const shape = { size: 3, hidden: 4, numTopk: 2, slotsPerRank: 2, maxTokensPerRank: 4 };
  const inputs = [4, 3, 2].map((count, rank) => inputOf(count, shape, randomOf(rank), 6));
  const tag = tagOf(1, 4);

  /** Own tokens with a choice on rank 2. */
  const degradedOf = (rank: number): number[] =>
    Array.from({ length: inputs[rank]!.topkIdx.length / 2 }, (_, token) => token).filter((token) =>
      [...inputs[rank]!.topkIdx.subarray(token * 2, token * 2 + 2)].some((expert) => expert >= 4),
    );

  for (const when of ['before dispatch', 'during dispatch', 'before combine', 'during combine'] as const) {
    const phase = when.split(' ')[1]!;

    it(`names a rank that closes ${when}`, async () => {
      await withMeshes(createLocalMeshes(3), async (meshes) => {
        const endpoints = packedEndpointsOf(meshes, shape);
        const told = async (call: (rank: number) => Promise<unknown>): Promise<void> => {
          if (when.startsWith('before')) await meshes[2]!.close();
          const errors = [0, 1].map((rank) => rejection(call(rank), 'PEER_LOST', { rank: asRank(2), layer: 4, phase }));
          await meshes[2]!.close();
          await Promise.all(errors);
        };
        if (phase === 'dispatch') return told((rank) => endpoints[rank]!.dispatch({ ...inputs[rank]!, tag }));
        const recv = await Promise.all(endpoints.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag })));
        await told((rank) => {
          const out = runPackedExperts(recv[rank]!, rank, shape);
          return endpoints[rank]!.combine(out, recv[rank]!.handle, inputs[rank]!.topkWeights);
        });
      });
    });

    it(`masks a rank that closes ${when}; survivors go on, exact, and report degraded tokens`, async () => {
      await withMeshes(createLocalMeshes(3), async (meshes) => {
        const endpoints = packedEndpointsOf(meshes, shape, { onPeerLoss: 'mask' });
        const survivors = endpoints.slice(0, 2);
        const alive = inputs.map((input, rank) => (rank === 2 ? inputOf(0, shape, randomOf(0), 1) : input));
        if (when === 'before dispatch') await meshes[2]!.close();
        const calls = (phase === 'dispatch' ? survivors : endpoints).map((ep, rank) =>
          ep.dispatch({ ...inputs[rank]!, tag }),
        );
        if (when === 'during dispatch') await meshes[2]!.close();
        const recv = await Promise.all(calls);
        if (when === 'before combine') await meshes[2]!.close();
        const combines = survivors.map((ep, rank) => {
          const out = runPackedExperts(recv[rank]!, rank, shape);
          return ep.combine(out, recv[rank]!.handle, inputs[rank]!.topkWeights);
        });
        if (when === 'during combine') await meshes[2]!.close();
        const y = await Promise.all(combines);
        for (const [rank, ep] of survivors.entries()) {
          expectReceived(recv[rank]!, shape, phase === 'dispatch' ? alive : inputs, rank);
          const expected = refCombineSource(refWithout(inputs[rank]!, shape, [2]), shape);
          expect(bits(y[rank]!)).to.deep.equal(bits(expected));
          expect([...recv[rank]!.degraded.rows()]).to.deep.equal(degradedOf(rank));
          expect(ep.stats().numDegradedTokens).to.equal(degradedOf(rank).length);
          expect(ep.maskedRanks()).to.deep.equal([2]);
        }
        // The next call leaves the rank out from the start.
        const next = await packedRoundTrip(survivors, shape, inputs, tagOf(2, 4));
        for (const [rank, rows] of next.y.entries()) {
          const expected = refCombineSource(refWithout(inputs[rank]!, shape, [2]), shape);
          expect(bits(rows)).to.deep.equal(bits(expected));
          expect([...next.received[rank]!.degraded.rows()]).to.deep.equal(degradedOf(rank));
        }
      });
    });
  }

  it('leaves out a rank that the caller masks, and takes it in again in a new epoch', async () => {
    await withMeshes(createLocalMeshes(3), async (meshes) => {
      const endpoints = packedEndpointsOf(meshes, shape);
      const survivors = endpoints.slice(0, 2);
      for (const ep of survivors) ep.maskRank(asRank(2));
      const { y } = await packedRoundTrip(survivors, shape, inputs, tag);
      for (const [rank, rows] of y.entries()) {
        expect(bits(rows)).to.deep.equal(bits(refCombineSource(refWithout(inputs[rank]!, shape, [2]), shape)));
      }
      for (const ep of survivors) ep.clearMask(asRank(2));
      for (const mesh of meshes) mesh.advanceEpoch(1);
      const again = await packedRoundTrip(endpoints, shape, inputs, tagOf(1, 4, 1));
      for (const [rank, rows] of again.y.entries()) {
        expect(bits(rows)).to.deep.equal(bits(refCombineSource(inputs[rank]!, shape)));
      }
    });
  });

  it('doesn’t await in combine a rank that was masked in dispatch, though its mask was cleared between', async () => {
    await withMeshes(createLocalMeshes(3), async (meshes) => {
      const survivors = packedEndpointsOf(meshes, shape).slice(0, 2);
      for (const ep of survivors) ep.maskRank(asRank(2));
      const recv = await Promise.all(survivors.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag })));
      for (const ep of survivors) ep.clearMask();
      const y = await Promise.all(
        survivors.map((ep, rank) => {
          const out = runPackedExperts(recv[rank]!, rank, shape);
          return ep.combine(out, recv[rank]!.handle, inputs[rank]!.topkWeights);
        }),
      );
      for (const [rank, rows] of y.entries()) {
        expect(bits(rows)).to.deep.equal(bits(refCombineSource(refWithout(inputs[rank]!, shape, [2]), shape)));
      }
      expect(meshes[0]!.stats().framesSent).to.deep.equal([0, 2, 0]);
    });
  });

  it('ends by its signal in dispatch and in combine', async () => {
    await withMeshes(createLocalMeshes(3), async (meshes) => {
      const endpoints = packedEndpointsOf(meshes, shape);
      const first = new AbortController();
      const dispatch = endpoints[0]!.dispatch({ ...inputs[0]!, tag, signal: first.signal });
      first.abort();
      await rejection(dispatch, 'ABORTED', { layer: 4, phase: 'dispatch' });

      for (const mesh of meshes) mesh.advanceEpoch(1);
      const second = new AbortController();
      const request = { tag: tagOf(1, 4, 1), signal: second.signal };
      const recv = await Promise.all(endpoints.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, ...request })));
      const combine = endpoints[0]!.combine(recv[0]!.recvX, recv[0]!.handle, inputs[0]!.topkWeights);
      second.abort();
      await rejection(combine, 'ABORTED', { layer: 4, phase: 'combine' });
    });
  });

  it('names all silent ranks: TIMEOUT with layer, phase and waited ms', async () => {
    await withMeshes(createLocalMeshes(3), async (meshes) => {
      const [ep] = packedEndpointsOf(meshes, shape, { timeoutMs: 40 });
      const where = { layer: 4, phase: 'dispatch', waitedMs: 40 };
      const error = await rejection(ep!.dispatch({ ...inputs[0]!, tag }), 'TIMEOUT', where);
      expect(error.message).to.contain('rank 1 sent nothing').and.contain('silent too: rank 2');
    });
  });
});
