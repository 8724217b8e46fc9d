import { expect } from 'chai';
import fc from 'fast-check';
import {
  asRank,
  createAllToAll,
  createLocalMeshes,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  type Mesh,
} from '../../../comm/index.js';
import {
  bits,
  endpointsOf,
  randomInput,
  randomOf,
  roundTrip,
  roundTripOf,
  runExperts,
  tagOf,
  withMeshes,
} from '../../kit/comm/all_to_all.js';
import { expectReceived, expectSums, REDUCES } from '../../kit/comm/exact_all_to_all.js';
import { rejection, thrown } from '../../kit/errors.js';
import { openWsMeshes } from '../../kit/comm/ws_meshes.js';
import { refCombineRank, refDispatch, refExpert, type RefInput, type RefShape } from '../../refs/all_to_all_ref.js';

/** Everything a round trip promises, against the reference, bit for bit. */
async function expectExact(meshes: Mesh[], shape: RefShape, inputs: readonly RefInput[], step = 0): Promise<void> {
  for (const [i, reduce] of REDUCES.entries()) {
    const { received, y, endpoints } = await roundTrip(meshes, shape, inputs, reduce, tagOf(step, i));
    expectSums(y, inputs, shape, reduce);
    for (const [rank, recv] of received.entries()) {
      expectReceived(recv, inputs, shape, rank);
      const rows = refDispatch(inputs, shape, rank);
      const slots = rows.flatMap((row) => row.slots);
      const counts = Array.from({ length: shape.slotsPerRank }, (_, slot) => slots.filter((s) => s === slot).length);
      expect(recv.numRecvTokens).to.equal(rows.length);
      expect([...recv.numRecvTokensPerExpert]).to.deep.equal(counts);
      expect(endpoints[rank]!.sentBytes()).to.deep.equal(bytesFromRouting(inputs, shape, rank, reduce === 'source'));
    }
  }
}

/** Bytes that rank `own` sends in one dispatch and combine, counted from the routing with sets instead of layouts. */
function bytesFromRouting(inputs: readonly RefInput[], shape: RefShape, own: number, isSource: boolean): unknown {
  const { hidden, numTopk, slotsPerRank, size } = shape;
  const pairs = (from: number, to: number): number[] =>
    [...inputs[from]!.topkIdx.entries()]
      .filter(([, e]) => e >= 0 && Math.floor(e / slotsPerRank) === to)
      .map(([i]) => i);
  const tokens = (from: number, to: number): number =>
    new Set(pairs(from, to).map((i) => (i - (i % numTopk)) / numTopk)).size;
  const rowBytes = hidden * 4 + numTopk * 2 + (isSource ? 0 : numTopk * 4);
  const peers = Array.from({ length: size }, (_, rank) => rank);
  const toPeers = (bytesOf: (peer: number) => number): number[] => peers.map((p) => (p === own ? 0 : 40 + bytesOf(p)));
  return {
    dispatch: toPeers((peer) => tokens(own, peer) * rowBytes),
    combine: toPeers((peer) => (isSource ? pairs(peer, own).length : tokens(peer, own)) * hidden * 4),
  };
}

describe('all-to-all', () => {
  it('its unweighted form brings each choice alone home as its expert made it, beside the same mask, whatever the sum and the wire home are', async () => {
    const shape = { size: 3, hidden: 5, numTopk: 2, slotsPerRank: 2, wire: { combine: 'bf16' } } as const;
    const random = randomOf(5);
    const meshes = createLocalMeshes(shape.size);
    const own = endpointsOf(meshes, shape, 'rank');
    own[0]!.maskRank(asRank(2));
    own[1]!.maskRank(asRank(2));
    const forms = own.map((ep) => ep.unweighted());
    expect(own[0]!.unweighted()).to.equal(forms[0]);
    expect(forms[0]!.maskedRanks()).to.deep.equal([asRank(2)]);
    const experts = [0, 1, 2, 3, 4, -1];
    const x = Float32Array.from({ length: experts.length * shape.hidden }, () => random() * 4 - 2);
    const topkIdx = Int32Array.from(experts.flatMap((expert) => [expert, -1]));
    const topkWeights = new Float32Array(topkIdx.length).fill(1);
    const inputs = [0, 1].map(() => ({ x, topkIdx, topkWeights }));
    const { y } = await roundTripOf(forms.slice(0, 2), shape, inputs);
    for (const rows of y) {
      experts.forEach((expert, row) => {
        const from = x.subarray(row * shape.hidden, (row + 1) * shape.hidden);
        const expected = expert < 0 || expert > 3 ? from.map(() => 0) : refExpert(expert, [...from]);
        expect([...rows.subarray(row * shape.hidden, (row + 1) * shape.hidden)]).to.deep.equal([...expected]);
      });
    }
    await Promise.all(meshes.map((mesh) => mesh.close()));
  });

  it('equals the reference bit for bit for any T, K, experts, ranks, skew and −1', async () => {
    const world = fc.record({
      size: fc.integer({ min: 1, max: 6 }),
      slotsPerRank: fc.integer({ min: 1, max: 4 }),
      numTopk: fc.integer({ min: 1, max: 4 }),
      hidden: fc.integer({ min: 1, max: 9 }),
      numTokens: fc.array(fc.integer({ min: 0, max: 7 }), { minLength: 6, maxLength: 6 }),
      numUsed: fc.integer({ min: 1, max: 24 }),
      skew: fc.constantFrom(1, 2, 8),
      noneShare: fc.constantFrom(0, 0.3, 1),
      seed: fc.integer(),
    });
    await fc.assert(
      fc.asyncProperty(world, async ({ numTokens, numUsed, skew, noneShare, seed, ...shape }) => {
        const random = randomOf(seed);
        // Fewer experts than slots: the last ranks may have none, as when experts aren't divisible by ranks.
        const numExperts = Math.min(numUsed, shape.size * shape.slotsPerRank);
        const expertOf = (): number => (random() < noneShare ? -1 : Math.floor(random() ** skew * numExperts));
        const inputs = numTokens.slice(0, shape.size).map((count) => randomInput(count, shape, random, expertOf));
        await withMeshes(createLocalMeshes(shape.size), (meshes) => expectExact(meshes, shape, inputs));
      }),
      { numRuns: 150, seed: 20240607 },
    );
  });

  for (const size of [1, 2, 3, 4]) {
    it(`equals the reference over WebSockets on ${size} ranks, step after step`, async () => {
      const shape = { size, hidden: 33, numTopk: 3, slotsPerRank: 3 };
      const random = randomOf(size);
      await withMeshes(await openWsMeshes(size), async (meshes) => {
        for (let step = 0; step < 5; step++) {
          const expertOf = (): number => Math.floor(random() * (size * 3 + 1)) - 1;
          const inputs = meshes.map((_, rank) => randomInput((rank + step) * 5, shape, random, expertOf));
          await expectExact(meshes, shape, inputs, step);
        }
      });
    });
  }

  it('is exact when one expert gets every token', async () => {
    const shape = { size: 4, hidden: 8, numTopk: 2, slotsPerRank: 2 };
    const inputs = [0, 9, 3, 5].map((count, rank) => randomInput(count, shape, randomOf(rank), () => 5));
    await withMeshes(createLocalMeshes(4), (meshes) => expectExact(meshes, shape, inputs));
  });

  it('is exact when no rank has a token, and still sends one header per pair and phase', async () => {
    const shape = { size: 3, hidden: 8, numTopk: 2, slotsPerRank: 2 };
    const inputs = [0, 0, 0].map(() => randomInput(0, shape, randomOf(1), () => 0));
    await withMeshes(createLocalMeshes(3), async (meshes) => {
      await expectExact(meshes, shape, inputs);
      expect(meshes[0]!.stats().framesSent).to.deep.equal([0, 4, 4]);
      expect(meshes[0]!.stats().bytesSent).to.deep.equal([0, 4 * FRAME_HEADER_BYTES, 4 * FRAME_HEADER_BYTES]);
    });
  });

  it('gives every received row the name of its source: provenance', async () => {
    const shape = { size: 4, hidden: 6, numTopk: 3, slotsPerRank: 4 };
    const random = randomOf(7);
    const inputs = Array.from({ length: 4 }, (_, rank) => {
      const input = randomInput(10 + rank, shape, random, () => Math.floor(random() * 17) - 1);
      for (let i = 0; i < input.x.length; i++) input.x[i] = i % 6 === 5 ? Math.floor(i / 6) : rank;
      return input;
    });
    await withMeshes(createLocalMeshes(4), async (meshes) => {
      const { received } = await roundTrip(meshes, shape, inputs, 'rank');
      for (const [rank, { recvX, numRecvTokens, recvTopkIdx }] of received.entries()) {
        let last = -1;
        for (let n = 0; n < numRecvTokens; n++) {
          const [source, row] = [recvX[n * 6]!, recvX[n * 6 + 5]!];
          expect([...recvX.subarray(n * 6, n * 6 + 5)]).to.deep.equal(new Array(5).fill(source));
          expect(source * 1000 + row).to.be.greaterThan(last);
          last = source * 1000 + row;
          const local = [...inputs[source]!.topkIdx.subarray(row * 3, row * 3 + 3)].map((e) =>
            Math.floor(e / 4) === rank ? e % 4 : -1,
          );
          expect([...recvTopkIdx.subarray(n * 3, n * 3 + 3)]).to.deep.equal(local);
        }
      }
    });
  });

  it('gives the same bits with reduce source whatever the number of ranks', async () => {
    const [hidden, numTopk] = [16, 3];
    const random = randomOf(3);
    const whole = randomInput(24, { size: 1, hidden, numTopk, slotsPerRank: 12 }, random, () =>
      Math.floor(random() * 12),
    );
    const results: number[][] = [];
    for (const size of [1, 2, 3, 4, 6]) {
      const shape = { size, hidden, numTopk, slotsPerRank: 12 / size };
      const share = 24 / size;
      const inputs = Array.from({ length: size }, (_, rank) => ({
        x: whole.x.slice(rank * share * hidden, (rank + 1) * share * hidden),
        topkIdx: whole.topkIdx.slice(rank * share * numTopk, (rank + 1) * share * numTopk),
        topkWeights: whole.topkWeights.slice(rank * share * numTopk, (rank + 1) * share * numTopk),
      }));
      const { y } = await withMeshes(createLocalMeshes(size), (meshes) => roundTrip(meshes, shape, inputs, 'source'));
      results.push(y.flatMap(bits));
    }
    for (const result of results) expect(result).to.deep.equal(results[0]);
  });

  it('keeps layers and micro-batches in flight apart', async () => {
    const shape = { size: 3, hidden: 4, numTopk: 2, slotsPerRank: 2 };
    await withMeshes(createLocalMeshes(3, { microBatches: 2 }), async (meshes) => {
      const endpoints = endpointsOf(meshes, shape, 'rank');
      const one = async (rank: number, microBatch: number): Promise<void> => {
        const random = randomOf(rank * 10 + microBatch);
        const input = randomInput(5, shape, random, () => Math.floor(random() * 6));
        const recv = await endpoints[rank]!.dispatch({ ...input, tag: { ...tagOf(), microBatch } });
        const y = await endpoints[rank]!.combine(runExperts(recv, rank, shape), recv.handle);
        expect(bits(y)).to.deep.equal(bits(refCombineRank(input, shape)));
      };
      await Promise.all(
        [0, 1, 2].flatMap((rank) => (rank === 1 ? [one(1, 1), one(1, 0)] : [one(rank, 0), one(rank, 1)])),
      );
    });
  });
});

describe('all-to-all refuses', () => {
  const shape = { size: 2, hidden: 4, numTopk: 2, slotsPerRank: 3 };
  const good = {
    x: new Float32Array(8),
    topkIdx: Int32Array.of(0, 5, -1, 3),
    topkWeights: new Float32Array(4),
    tag: tagOf(),
  };

  it('impossible options', async () => {
    await withMeshes(createLocalMeshes(1), ([mesh]) => {
      const options = { hidden: 4, numTopk: 2, slotsPerRank: 3 };
      for (const wrong of [
        { hidden: 0 },
        { hidden: 1.5 },
        { numTopk: 0 },
        { slotsPerRank: 40000 },
        { timeoutMs: Infinity },
      ]) {
        thrown(() => createAllToAll(mesh!, { ...options, ...wrong }), 'INVALID_ARGUMENT');
      }
      return Promise.resolve();
    });
  });

  for (const [what, wrong, numbers] of [
    ['x that is no multiple of hidden', { x: new Float32Array(7) }, ['7', '4']],
    ['too few choices', { topkIdx: new Int32Array(3) }, ['3', '4']],
    ['too many weights', { topkWeights: new Float32Array(5) }, ['5', '4']],
    ['an expert that no rank has', { topkIdx: Int32Array.of(0, 6, 0, 0) }, ['6', '5']],
    ['an expert below −1', { topkIdx: Int32Array.of(0, -2, 0, 0) }, ['-2']],
    ['a step that fits no header', { tag: tagOf(-1) }, ['-1']],
  ] as const) {
    it(what, async () => {
      await withMeshes(createLocalMeshes(2), async (meshes) => {
        const [ep] = endpointsOf(meshes, shape, 'rank');
        const error = await rejection(ep!.dispatch({ ...good, ...wrong }), 'INVALID_ARGUMENT');
        for (const number of numbers) expect(error.message).to.contain(number);
        expect(meshes[0]!.stats().framesSent).to.deep.equal([0, 0]);
      });
    });
  }

  it('expertOut of the wrong length, a spent handle and a foreign one', async () => {
    await withMeshes(createLocalMeshes(1), async (meshes) => {
      const [ep] = endpointsOf(meshes, { ...shape, size: 1 }, 'rank');
      const [other] = endpointsOf(meshes, { ...shape, size: 1 }, 'rank');
      const recv = await ep!.dispatch({ ...good, topkIdx: Int32Array.of(0, 1, -1, 2) });
      const error = await rejection(ep!.combine(new Float32Array(7), recv.handle), 'INVALID_ARGUMENT');
      expect(error.message).to.contain('7').and.contain('2 received rows');
      await rejection(other!.combine(new Float32Array(8), recv.handle), 'INVALID_ARGUMENT');
      await ep!.combine(new Float32Array(8), recv.handle);
      await rejection(ep!.combine(new Float32Array(8), recv.handle), 'INVALID_ARGUMENT');
    });
  });

  it('a batch above the frame limit before anything is sent', async () => {
    await withMeshes(createLocalMeshes(3, { maxFrameBytes: 60 }), async (meshes) => {
      const [ep] = endpointsOf(meshes, { ...shape, size: 3 }, 'rank');
      const where = { rank: asRank(1), layer: 0, phase: 'dispatch' };
      await rejection(ep!.dispatch({ ...good, topkIdx: Int32Array.of(0, 0, 0, 3) }), 'LIMIT', where);
      expect(meshes[0]!.stats().framesSent).to.deep.equal([0, 0, 0]);
    });
  });

  const headerOf = (fields: Partial<FrameHeader>): FrameHeader => ({
    ...{ phase: 'dispatch', source: asRank(1), destination: asRank(0), ...tagOf() },
    ...{ numRows: 1, hidden: 4, numTopk: 2, dtype: 'f32', flags: 0, payloadBytes: 28 },
    ...fields,
  });
  for (const [what, fields, slot] of [
    ['another hidden', { hidden: 5 }, 0],
    ['another top-k', { numTopk: 3 }, 0],
    ['another reduce', { dtype: 'bf16', flags: 1 }, 0],
    ['a payload that is no multiple of its rows', { numRows: 2 }, 0],
    ['a slot that this rank has not', {}, 3],
    ['a slot below −1', {}, -2],
  ] as const) {
    it(`a frame with ${what}: PROTOCOL with rank, layer and phase`, async () => {
      await withMeshes(createLocalMeshes(2), async (meshes) => {
        const payload = new Uint8Array(28);
        new Int16Array(payload.buffer, 24).fill(slot);
        meshes[1]!.send(asRank(0), headerOf(fields), [payload]);
        const [ep] = endpointsOf(meshes, shape, 'rank');
        await rejection(ep!.dispatch(good), 'PROTOCOL', { rank: asRank(1), layer: 0, phase: 'dispatch' });
      });
    });
  }
});

describe('all-to-all with a failing peer', () => {
  const shape = { size: 3, hidden: 4, numTopk: 2, slotsPerRank: 2 };
  const inputs = [0, 1, 2].map((rank) => randomInput(4, shape, randomOf(rank), () => (rank * 2 + 3) % 6));

  for (const [name, open] of [
    ['local', (): Promise<Mesh[]> => Promise.resolve(createLocalMeshes(3))],
    ['WebSocket', (): Promise<Mesh[]> => openWsMeshes(3)],
  ] as const) {
    it(`names a rank that dies during dispatch (${name} mesh)`, async () => {
      await withMeshes(await open(), async (meshes) => {
        const endpoints = endpointsOf(meshes, shape, 'rank');
        const calls = [0, 1].map((rank) => endpoints[rank]!.dispatch({ ...inputs[rank]!, tag: tagOf(1, 4) }));
        const where = { rank: asRank(2), layer: 4, phase: 'dispatch' };
        const told = calls.map((call) => rejection(call, 'PEER_LOST', where));
        await meshes[2]!.close();
        await Promise.all(told);
      });
    });

    it(`names a rank that dies during combine (${name} mesh)`, async () => {
      await withMeshes(await open(), async (meshes) => {
        const endpoints = endpointsOf(meshes, shape, 'rank');
        const recv = await Promise.all(
          endpoints.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag: tagOf(1, 4) })),
        );
        const where = { rank: asRank(2), layer: 4, phase: 'combine' };
        const told = [0, 1].map((rank) =>
          rejection(
            endpoints[rank]!.combine(runExperts(recv[rank]!, rank, shape), recv[rank]!.handle),
            'PEER_LOST',
            where,
          ),
        );
        await meshes[2]!.close();
        await Promise.all(told);
      });
    });
  }

  it('names a rank that never calls: TIMEOUT with rank, layer, phase and what to do', async () => {
    await withMeshes(createLocalMeshes(3), async (meshes) => {
      const endpoints = endpointsOf(meshes, shape, 'rank', 60);
      const where = { rank: asRank(1), layer: 4, phase: 'dispatch', waitedMs: 60 };
      const told = [0, 2].map((rank) =>
        rejection(endpoints[rank]!.dispatch({ ...inputs[rank]!, tag: tagOf(1, 4) }), 'TIMEOUT', where),
      );
      for (const error of await Promise.all(told)) expect(error.message).to.contain('comm.timeout_ms');
    });
  });

  it('ends by its signal in dispatch and in combine, and runs again in a new epoch', async () => {
    await withMeshes(createLocalMeshes(3), async (meshes) => {
      const endpoints = endpointsOf(meshes, shape, 'rank');
      const abort = new AbortController();
      const request = { ...inputs[0]!, tag: tagOf(1, 4), signal: abort.signal };
      const told = rejection(endpoints[0]!.dispatch(request), 'ABORTED', { layer: 4, phase: 'dispatch' });
      abort.abort();
      await told;
      for (const mesh of meshes) mesh.advanceEpoch(1);
      const { y } = await roundTrip(meshes, shape, inputs, 'rank', tagOf(1, 4, 1));
      for (const [rank, row] of y.entries())
        expect(bits(row)).to.deep.equal(bits(refCombineRank(inputs[rank]!, shape)));
      expect(meshes[1]!.stats().stale).to.equal(1);
    });
  });
});
