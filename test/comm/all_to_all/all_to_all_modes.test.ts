import { createHash } from 'node:crypto';
import { setImmediate as nextTurn, setTimeout as after } from 'node:timers/promises';
import { expect } from 'chai';
import fc from 'fast-check';
import {
  asRank,
  combineBytes,
  createAllToAll,
  createLocalMeshes,
  dispatchBytes,
  sumOverLayers,
  trafficMatrices,
  WIRE_DTYPES,
  wireRowBytes,
  type AllToAllOptions,
  type CommErrorCode,
  type DispatchResult,
  type Mesh,
  type Reduce,
  type Span,
  type WireDtype,
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
} from '../../kit/all_to_all.js';
import { rejection, thrown } from '../../kit/errors.js';
import { FaultyMesh } from '../../kit/faulty_mesh.js';
import { packedEndpointsOf } from '../../kit/low_latency.js';
import { openWsMeshes } from '../../kit/ws_meshes.js';
import {
  refCombineRank,
  refCombineSource,
  refDispatch,
  refWithout,
  type RefInput,
  type RefShape,
} from '../../refs/all_to_all_ref.js';

const REDUCES = ['rank', 'source'] as const;

const refCombine = (reduce: Reduce, input: RefInput, shape: RefShape): Float32Array =>
  reduce === 'rank' ? refCombineRank(input, shape) : refCombineSource(input, shape);

/** Random tokens for every rank, with experts of all ranks and some −1. */
function inputsOf(numTokens: readonly number[], shape: RefShape, seed: number): RefInput[] {
  const random = randomOf(seed);
  const numExperts = shape.size * shape.slotsPerRank;
  return numTokens.map((count) => randomInput(count, shape, random, () => Math.floor(random() * (numExperts + 1)) - 1));
}

function expectReceived(recv: DispatchResult, inputs: readonly RefInput[], shape: RefShape, rank: number): void {
  const rows = refDispatch(inputs, shape, rank);
  expect([...recv.recvX]).to.deep.equal(rows.flatMap((row) => row.x));
  expect([...recv.recvTopkIdx]).to.deep.equal(rows.flatMap((row) => row.slots));
  expect([...recv.recvTopkWeights]).to.deep.equal(recv.reduce === 'rank' ? rows.flatMap((row) => row.weights) : []);
}

function expectSums(y: readonly Float32Array[], inputs: readonly RefInput[], shape: RefShape, reduce: Reduce): void {
  for (const [rank, rows] of y.entries()) {
    expect(bits(rows), `rank ${rank}`).to.deep.equal(bits(refCombine(reduce, inputs[rank]!, shape)));
  }
}

async function expectExact(meshes: Mesh[], inputs: readonly RefInput[], shape: RefShape, reduce: Reduce, step = 0) {
  const { received, y } = await roundTrip(meshes, shape, inputs, reduce, tagOf(step));
  for (const [rank, recv] of received.entries()) expectReceived(recv, inputs, shape, rank);
  expectSums(y, inputs, shape, reduce);
}

/** Tokens of one source by destination, and their (token, choice) pairs, counted with sets. */
function countsOf({ topkIdx }: RefInput, { size, numTopk, slotsPerRank }: RefShape) {
  const tokens = Array.from({ length: size }, () => new Set<number>());
  const pairs = new Array<number>(size).fill(0);
  for (const [i, expert] of topkIdx.entries()) {
    if (expert < 0) continue;
    tokens[Math.floor(expert / slotsPerRank)]!.add(Math.floor(i / numTopk));
    pairs[Math.floor(expert / slotsPerRank)]! += 1;
  }
  return { tokens: tokens.map((rows) => rows.size), pairs };
}

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
        for (let step = 0; step < 8; step += 1) {
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

describe('all-to-all that gives memory back', () => {
  for (const combine of ['f32', 'bf16'] as const) {
    for (const reduce of REDUCES) {
      it(`keeps its bits round after round over WebSockets: combine ${combine}, reduce ${reduce}`, async () => {
        const shape = {
          size: 3,
          hidden: 300,
          numTopk: 2,
          slotsPerRank: 2,
          wire: { dispatch: 'f32', combine },
        } as const;
        await withMeshes(await openWsMeshes(3), async (meshes) => {
          const endpoints = endpointsOf(meshes, shape, reduce);
          const buffers = new Set<ArrayBufferLike>();
          for (let round = 0; round < 15; round += 1) {
            const inputs = inputsOf([40 + round, 3 * round, 25], shape, round);
            const sums = await Promise.all(
              endpoints.map(async (ep, rank) => {
                const recv = await ep.dispatch({ ...inputs[rank]!, tag: { ...tagOf(), step: round } });
                expectReceived(recv, inputs, shape, rank);
                buffers.add(recv.recvX.buffer);
                const expertOut = runExperts(recv, rank, shape);
                recv.release();
                recv.release();
                return ep.combine(expertOut, recv.handle);
              }),
            );
            expectSums(sums, inputs, shape, reduce);
          }
          expect(buffers.size).to.be.lessThan(3 * 15);
        });
      });
    }
  }

  it('keeps what is combined in place also where the combine fails when some of it has left', async () => {
    const shape = { size: 3, hidden: 4096, numTopk: 1, slotsPerRank: 1 };
    await withMeshes(await openWsMeshes(3), async (meshes) => {
      const endpoints = endpointsOf(meshes, shape, 'rank');
      const received = await Promise.all(
        endpoints.map((ep) => {
          const routing = { topkIdx: new Int32Array(64), topkWeights: new Float32Array(64).fill(1) };
          return ep.dispatch({ x: new Float32Array(64 * shape.hidden).fill(1), ...routing, tag: tagOf() });
        }),
      );
      await meshes[2]!.close();
      await meshes[0]!.closed;
      const { recvX, handle, release } = received[0]!;
      thrown(() => endpoints[0]!.startCombine(recvX, handle), 'PEER_LOST', { rank: asRank(2) });
      thrown(() => endpoints[0]!.startCombine(recvX.slice(), handle), 'PEER_LOST', { rank: asRank(2) });
      release();
      expect(meshes[0]!.memory.allocate(recvX.byteLength).buffer).to.not.equal(recvX.buffer);
    });
  });

  it('keeps what is combined in place until it has left', async () => {
    const shape = { size: 2, hidden: 64, numTopk: 1, slotsPerRank: 1 };
    const inputs = inputsOf([50, 50], shape, 1);
    await withMeshes(createLocalMeshes(2), async (meshes) => {
      const endpoints = endpointsOf(meshes, shape, 'rank');
      const received = await Promise.all(endpoints.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag: tagOf() })));
      const combined = endpoints.map((ep, rank) => ep.combine(received[rank]!.recvX, received[rank]!.handle));
      for (const [rank, { recvX, release }] of received.entries()) {
        release();
        expect(meshes[rank]!.memory.allocate(recvX.byteLength).buffer).to.not.equal(recvX.buffer);
      }
      for (const [rank, y] of (await Promise.all(combined)).entries()) {
        const { x, topkIdx } = inputs[rank]!;
        expect([...y]).to.deep.equal([...x].map((value, i) => (topkIdx[Math.floor(i / 64)] === -1 ? 0 : value)));
      }
    });
  });
});

describe('all-to-all with hooks', () => {
  const shape = { size: 3, hidden: 6, numTopk: 2, slotsPerRank: 2, wire: { dispatch: 'bf16' } as const };
  const inputs = inputsOf([4, 0, 5], shape, 8);

  for (const reduce of REDUCES) {
    it(`sends at the start and receives at the hook; the routing may change between: reduce ${reduce}`, async () => {
      await withMeshes(createLocalMeshes(3), async (meshes) => {
        const endpoints = endpointsOf(meshes, shape, reduce);
        const started = endpoints.map((ep, rank) => {
          const { x, topkIdx, topkWeights } = inputs[rank]!;
          const request = { x, topkIdx: topkIdx.slice(), topkWeights: topkWeights.slice(), tag: tagOf() };
          const pending = ep.startDispatch(request);
          request.topkIdx.fill(0);
          request.topkWeights.fill(NaN);
          return pending;
        });
        expect(meshes.map((mesh) => mesh.stats().framesSent.reduce((a, b) => a + b))).to.deep.equal([2, 2, 2]);
        await nextTurn();
        const received = await Promise.all(started.map((pending) => pending.hook()));
        for (const [rank, recv] of received.entries()) expectReceived(recv, inputs, shape, rank);
        const combines = endpoints.map((ep, rank) =>
          ep.startCombine(runExperts(received[rank]!, rank, shape), received[rank]!.handle),
        );
        expect(meshes.map((mesh) => mesh.stats().framesSent.reduce((a, b) => a + b))).to.deep.equal([4, 4, 4]);
        await nextTurn();
        expectSums(await Promise.all(combines.map((pending) => pending.hook())), inputs, shape, reduce);
      });
    });
  }

  it('lets small frames go before it returns, so that compute may follow at once', async () => {
    const log: string[] = [];
    class Logged extends FaultyMesh {
      override flush(): void {
        log.push('flush');
        super.flush();
      }
    }
    const ranks = { size: 4, hidden: 6, numTopk: 2, slotsPerRank: 2, maxTokensPerRank: 4 };
    const input = inputsOf([4, 4, 4, 4], ranks, 8)[0]!;
    const starts: ((mesh: Mesh) => unknown)[] = [
      (mesh) => endpointsOf([mesh], ranks, 'rank')[0]!.startDispatch({ ...input, tag: tagOf() }),
      (mesh) => {
        const topology = { ranksPerNode: 2, route: 'hierarchical' } as const;
        return endpointsOf([mesh], ranks, 'rank', 5000, { topology })[0]!.startDispatch({ ...input, tag: tagOf() });
      },
      (mesh) => {
        const topkIdx = Int32Array.of(0, 3, 1, 5, 2, 7, 4, 6);
        return packedEndpointsOf([mesh], ranks)[0]!.startDispatch({ x: input.x, topkIdx, tag: tagOf() });
      },
    ];
    for (const start of starts) {
      await withMeshes(createLocalMeshes(4), ([mesh]) => {
        log.length = 0;
        start(new Logged(mesh!, () => log.push('send')));
        expect(log.filter((what) => what === 'send').length).to.be.at.least(1);
        expect(log.at(-1)).to.equal('flush');
        return Promise.resolve();
      });
    }
  });

  it('refuses a second call of a hook, and says so', async () => {
    await withMeshes(createLocalMeshes(1), async (meshes) => {
      const [ep] = endpointsOf(meshes, { ...shape, size: 1 }, 'rank');
      const topkIdx = inputs[0]!.topkIdx.map(() => 0);
      const pending = ep!.startDispatch({ ...inputs[0]!, topkIdx, tag: tagOf() });
      const { recvX, handle } = await pending.hook();
      expect((await rejection(pending.hook(), 'INVALID_ARGUMENT')).message).to.contain(
        'hook of a dispatch was called twice',
      );
      const combining = ep!.startCombine(recvX, handle);
      await combining.hook();
      await rejection(combining.hook(), 'INVALID_ARGUMENT', { phase: 'combine' });
    });
  });

  it('interleaves two micro-batches', async () => {
    await withMeshes(createLocalMeshes(3, { microBatches: 2 }), async (meshes) => {
      const endpoints = endpointsOf(meshes, shape, 'rank');
      const batches = [inputs, inputsOf([1, 6, 2], shape, 9)];
      const run = async (rank: number): Promise<Float32Array[]> => {
        const ep = endpoints[rank]!;
        const order = rank === 1 ? [1, 0] : [0, 1];
        const dispatches = order.map((microBatch) =>
          ep.startDispatch({ ...batches[microBatch]![rank]!, tag: { ...tagOf(), microBatch } }),
        );
        const combines = [];
        for (const pending of dispatches) {
          const recv = await pending.hook();
          combines.push(ep.startCombine(runExperts(recv, rank, shape), recv.handle));
        }
        const y = await Promise.all(combines.map((pending) => pending.hook()));
        return rank === 1 ? y.reverse() : y;
      };
      const y = await Promise.all([0, 1, 2].map(run));
      for (const [b, batch] of batches.entries())
        expectSums(
          y.map((both) => both[b]!),
          batch,
          shape,
          'rank',
        );
    });
  });

  it('waits for more than ten peers without a warning of Node’s', async () => {
    const warnings: Error[] = [];
    const note = (warning: Error): void => void warnings.push(warning);
    process.on('warning', note);
    try {
      const many = { ...shape, size: 13 };
      const none = inputsOf(new Array<number>(13).fill(0), many, 1);
      await withMeshes(createLocalMeshes(13), (meshes) => roundTrip(meshes, many, none, 'rank'));
      await nextTurn();
      expect(warnings).to.deep.equal([]);
    } finally {
      process.off('warning', note);
    }
  });

  it('throws at once what is wrong at once, and leaves no rejection behind where a hook is never called', async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', note);
    try {
      await withMeshes(createLocalMeshes(3), async (meshes) => {
        const [ep] = endpointsOf(meshes, shape, 'rank');
        const request = { ...inputs[0]!, tag: tagOf() };
        thrown(() => ep!.startDispatch({ ...request, x: new Float32Array(5) }), 'INVALID_ARGUMENT');
        thrown(() => ep!.startCombine(new Float32Array(0), { tag: tagOf() }), 'INVALID_ARGUMENT', { phase: 'combine' });
        const abort = new AbortController();
        ep!.startDispatch({ ...request, signal: abort.signal });
        abort.abort();
        await meshes[2]!.close();
        const where = { rank: asRank(2), layer: 0, phase: 'dispatch' };
        thrown(() => ep!.startDispatch({ ...request, tag: tagOf(1) }), 'PEER_LOST', where);
      });
      for (let turn = 0; turn < 5; turn += 1) await nextTurn();
      expect(unhandled).to.deep.equal([]);
    } finally {
      process.off('unhandledRejection', note);
    }
  });
});

describe('all-to-all with a cached handle', () => {
  const shape = {
    size: 3,
    hidden: 130,
    numTopk: 3,
    slotsPerRank: 2,
    wire: { dispatch: 'fp8', combine: 'bf16' } as const,
  };
  const inputs = inputsOf([5, 0, 6], shape, 10);
  /** The same routing with other rows. */
  const again = inputs.map((input, rank) => ({ ...inputsOf([5, 0, 6], shape, 11)[rank]!, ...routingOf(input) }));

  function routingOf({ topkIdx, topkWeights }: RefInput): Pick<RefInput, 'topkIdx' | 'topkWeights'> {
    return { topkIdx, topkWeights };
  }

  for (const reduce of REDUCES) {
    it(`goes the same way with other rows, again and again, and no routing travels: reduce ${reduce}`, async () => {
      await withMeshes(createLocalMeshes(3), async (meshes) => {
        const endpoints = endpointsOf(meshes, shape, reduce);
        let { received } = await roundTripOf(endpoints, shape, inputs);
        for (let step = 1; step <= 3; step += 1) {
          const before = endpoints.map((ep) => ep.sentBytes().dispatch);
          const rows = step === 2 ? inputs : again;
          received = await Promise.all(
            endpoints.map((ep, rank) =>
              ep.dispatch({ x: rows[rank]!.x, handle: received[rank]!.handle, tag: tagOf(step) }),
            ),
          );
          const y = await Promise.all(
            endpoints.map((ep, rank) => ep.combine(runExperts(received[rank]!, rank, shape), received[rank]!.handle)),
          );
          for (const [rank, recv] of received.entries()) {
            expectReceived(recv, rows, shape, rank);
            const { tokens } = countsOf(inputs[rank]!, shape);
            const bytes = endpoints[rank]!.sentBytes().dispatch.map((sum, peer) => sum - before[rank]![peer]!);
            const expected = tokens.map((n, peer) => (peer === rank ? 0 : 40 + n * (130 + 2 * 4)));
            expect(bytes).to.deep.equal(expected);
            const size = { hidden: 130, numTopk: 3, reduce, dtype: 'fp8', isCached: true } as const;
            expect(dispatchBytes(7, size)).to.equal(40 + 7 * (130 + 2 * 4));
          }
          expectSums(y, rows, shape, reduce);
        }
      });
    });
  }

  it('is refused by a peer that routes: PROTOCOL on both', async () => {
    await withMeshes(createLocalMeshes(2), async (meshes) => {
      const two = { ...shape, size: 2 };
      const endpoints = endpointsOf(meshes, two, 'rank');
      const [a, b] = inputsOf([3, 3], two, 12);
      const { received } = await roundTripOf(endpoints, two, [a!, b!]);
      const tag = tagOf(1);
      const errors = await Promise.all([
        rejection(endpoints[0]!.dispatch({ x: a!.x, handle: received[0]!.handle, tag }), 'PROTOCOL', {
          rank: asRank(1),
          phase: 'dispatch',
        }),
        rejection(endpoints[1]!.dispatch({ ...b!, tag }), 'PROTOCOL', { rank: asRank(0), phase: 'dispatch' }),
      ]);
      expect(errors[0].message).to.contain('mode plain, cached here');
      expect(errors[1].message).to.contain('mode cached, plain here');
    });
  });

  it('is refused where the peer passes the handle of another dispatch: PROTOCOL with both numbers', async () => {
    await withMeshes(createLocalMeshes(2), async (meshes) => {
      const two = { ...shape, size: 2 };
      const endpoints = endpointsOf(meshes, two, 'rank');
      const toPeer = (count: number): RefInput => randomInput(count, two, randomOf(1), () => 0);
      const first = await roundTripOf(endpoints, two, [toPeer(0), toPeer(3)], tagOf(0));
      const second = await roundTripOf(endpoints, two, [toPeer(0), toPeer(2)], tagOf(1));
      const tag = tagOf(2);
      const call = endpoints[0]!.dispatch({ x: new Float32Array(0), handle: first.received[0]!.handle, tag });
      const { handle } = second.received[1]!;
      const [error] = await Promise.all([
        rejection(call, 'PROTOCOL', { rank: asRank(1), layer: 0, phase: 'dispatch' }),
        endpoints[1]!.dispatch({ x: toPeer(2).x, handle, tag }),
      ]);
      expect(error.message).to.contain('2 rows for a cached handle of 3');
    });
  });

  it('is refused where it is foreign, of another T, or made while a rank was masked', async () => {
    await withMeshes(createLocalMeshes(3), async (meshes) => {
      const endpoints = endpointsOf(meshes, shape, 'rank');
      const others = endpointsOf(meshes, shape, 'rank');
      const { received } = await roundTripOf(endpoints, shape, inputs);
      const { handle } = received[0]!;
      const { x } = inputs[0]!;
      thrown(() => others[0]!.startDispatch({ x, handle, tag: tagOf(1) }), 'INVALID_ARGUMENT');
      const wrong = thrown(
        () => endpoints[0]!.startDispatch({ x: x.slice(130), handle, tag: tagOf(1) }),
        'INVALID_ARGUMENT',
      );
      expect(wrong.message).to.contain('520').and.contain('5 tokens');
      const survivors = endpoints.slice(0, 2);
      for (const ep of survivors) ep.maskRank(asRank(2));
      const masked = await roundTripOf(survivors, shape, inputs, tagOf(2));
      for (const ep of survivors) ep.clearMask();
      const request = { x, handle: masked.received[0]!.handle, tag: tagOf(3) };
      const refused = thrown(() => endpoints[0]!.startDispatch(request), 'INVALID_ARGUMENT');
      expect(refused.message).to.contain('rank 2 was masked');
    });
  });

  it('reports tokens as degraded that its routing had lost, and those of a rank masked since', async () => {
    await withMeshes(createLocalMeshes(3), async (meshes) => {
      const endpoints = endpointsOf(meshes, shape, 'rank');
      const cached = async (
        ranks: readonly number[],
        from: readonly DispatchResult[],
        step: number,
        lost: number[],
      ) => {
        const recv = await Promise.all(
          ranks.map((rank) =>
            endpoints[rank]!.dispatch({ x: again[rank]!.x, handle: from[rank]!.handle, tag: tagOf(step) }),
          ),
        );
        const y = await Promise.all(
          recv.map((one, rank) => endpoints[rank]!.combine(runExperts(one, rank, shape), one.handle)),
        );
        expectSums(
          y,
          again.map((input) => refWithout(input, shape, lost)),
          shape,
          'rank',
        );
        for (const [rank, { degraded }] of recv.entries()) {
          expect([...degraded.rows()]).to.deep.equal(degradedOf(again[rank]!, shape, lost));
        }
      };
      const whole = await roundTripOf(endpoints, shape, inputs, tagOf(0));
      for (const rank of [0, 1]) endpoints[rank]!.maskRank(asRank(2));
      await cached([0, 1], whole.received, 1, [2]);
      const routed = await roundTripOf(endpoints.slice(0, 2), shape, inputs, tagOf(2));
      await cached([0, 1], routed.received, 3, [2]);
    });
  });
});

/** Own tokens with a choice on one of the ranks, ascending. */
function degradedOf({ topkIdx }: RefInput, { numTopk, slotsPerRank }: RefShape, ranks: readonly number[]): number[] {
  const rows = [...topkIdx].flatMap((expert, i) =>
    ranks.includes(Math.floor(expert / slotsPerRank)) ? [Math.floor(i / numTopk)] : [],
  );
  return [...new Set(rows)];
}

describe('all-to-all counts', () => {
  it('experts’ tokens, rounded up to expertAlignment', async () => {
    const shape = { size: 2, hidden: 4, numTopk: 2, slotsPerRank: 3 };
    const inputs = [
      { ...inputsOf([4], shape, 1)[0]!, topkIdx: Int32Array.of(0, 1, 0, 5, 0, 3, 0, -1) },
      { ...inputsOf([2], shape, 2)[0]!, topkIdx: Int32Array.of(0, 3, 3, 3) },
    ];
    await withMeshes(createLocalMeshes(2), async (meshes) => {
      const counts: number[][][] = [];
      for (const [step, expertAlignment] of [1, 4].entries()) {
        const endpoints = endpointsOf(meshes, shape, 'rank', 5000, { expertAlignment });
        const { received } = await roundTripOf(endpoints, shape, inputs, tagOf(step));
        counts.push(received.map(({ numRecvTokensPerExpert }) => [...numRecvTokensPerExpert]));
      }
      expect(counts).to.deep.equal([
        [
          [5, 1, 0],
          [4, 0, 1],
        ],
        [
          [8, 4, 0],
          [4, 0, 4],
        ],
      ]);
    });
  });

  for (const reduce of REDUCES) {
    it(`tokens, rows and bytes per layer, phase, source and destination: reduce ${reduce}`, async () => {
      const wire = { dispatch: 'int8', combine: 'bf16' } as const;
      const shape = { size: 4, hidden: 150, numTopk: 3, slotsPerRank: 2, wire };
      const calls = [
        { layer: 3, inputs: inputsOf([4, 0, 2, 5], shape, 1) },
        { layer: 0, inputs: inputsOf([1, 3, 3, 0], shape, 2) },
        { layer: 3, inputs: inputsOf([2, 2, 0, 1], shape, 3) },
      ];
      await withMeshes(createLocalMeshes(4), async (meshes) => {
        const endpoints = endpointsOf(meshes, shape, reduce);
        for (const [step, { layer, inputs }] of calls.entries())
          await roundTripOf(endpoints, shape, inputs, tagOf(step, layer));
        const matrices = trafficMatrices(
          endpoints.map((ep) => ep.stats()),
          4,
        );
        const which = matrices.map(({ layer, phase }) => `${layer} ${phase}`);
        expect(which).to.deep.equal(['0 dispatch', '0 combine', '3 dispatch', '3 combine']);

        const square = (cell: (source: number, to: number) => number): number[][] =>
          [0, 1, 2, 3].map((source) => [0, 1, 2, 3].map((to) => cell(source, to)));
        for (const { layer, phase, tokens, rows, bytes, waitMs } of matrices) {
          const counted = calls
            .filter((call) => call.layer === layer)
            .map(({ inputs }) => inputs.map((input) => countsOf(input, shape)));
          const isDispatch = phase === 'dispatch';
          const total = (what: 'tokens' | 'pairs', source: number, to: number): number =>
            counted.reduce((all, one) => all + (isDispatch ? one[source]![what][to]! : one[to]![what][source]!), 0);
          const rowsOf = (source: number, to: number): number =>
            total(!isDispatch && reduce === 'source' ? 'pairs' : 'tokens', source, to);
          const rowBytes = isDispatch ? 150 + 2 * 4 + 3 * (reduce === 'rank' ? 6 : 2) : 300;
          expect(tokens).to.deep.equal(square((source, to) => total('tokens', source, to)));
          expect(rows).to.deep.equal(square(rowsOf));
          expect(bytes).to.deep.equal(
            square((source, to) => (source === to ? 0 : counted.length * 40 + rowsOf(source, to) * rowBytes)),
          );
          for (const [source, row] of waitMs.entries()) {
            expect(row[source]).to.equal(0);
            for (const ms of row) expect(ms).to.be.at.least(0);
          }
        }
        for (const phase of ['dispatch', 'combine'] as const) {
          const sent = endpoints.map((ep) => ep.sentBytes()[phase]);
          expect(sumOverLayers(matrices, [phase], 'bytes')).to.deep.equal(sent);
        }
        expect(sumOverLayers(matrices, ['dispatch', 'combine'], 'bytes')).to.deep.equal(
          meshes.map((mesh) => mesh.stats().bytesSent),
        );
      });
    });
  }

  it('who waited for whom', async () => {
    const shape = { size: 3, hidden: 4, numTopk: 2, slotsPerRank: 2 };
    const inputs = inputsOf([1, 1, 1], shape, 1);
    await withMeshes(createLocalMeshes(3), async (meshes) => {
      const endpoints = endpointsOf(meshes, shape, 'rank');
      await Promise.all(
        endpoints.map(async (ep, rank) => {
          if (rank === 1) await after(30);
          await ep.dispatch({ ...inputs[rank]!, tag: tagOf() });
        }),
      );
      const stats = endpoints.map((ep) => ep.stats());
      const { waitMs } = trafficMatrices(stats, 3)[0]!;
      // Timers may be a little early, never much.
      expect(waitMs[1]![0]).to.be.at.least(20);
      expect(waitMs[1]![2]).to.be.at.least(20);
    });
  });

  it('the bytes that its formulas state', () => {
    for (const dtype of WIRE_DTYPES) {
      const rowBytes = { f32: 800, bf16: 400, fp8: 208, int8: 208 }[dtype];
      expect(wireRowBytes(dtype, 200)).to.equal(rowBytes);
      expect(combineBytes(5, 200, dtype)).to.equal(40 + 5 * rowBytes);
      const size = { hidden: 200, numTopk: 8, dtype } as const;
      expect(dispatchBytes(5, { ...size, reduce: 'rank' })).to.equal(40 + 5 * (rowBytes + 48));
      expect(dispatchBytes(5, { ...size, reduce: 'source' })).to.equal(40 + 5 * (rowBytes + 16));
      expect(dispatchBytes(5, { ...size, reduce: 'rank', isCached: true })).to.equal(40 + 5 * rowBytes);
    }
  });

  it('time: pack, flight and unpack of each call, in order, also where a faster peer’s rows were here first', async () => {
    const shape = { size: 2, hidden: 4, numTopk: 2, slotsPerRank: 2 };
    const inputs = inputsOf([3, 2], shape, 2);
    const spans: Span[][] = [[], []];
    await withMeshes(createLocalMeshes(2), async (meshes) => {
      const [slow, fast] = meshes.map(
        (mesh, rank) =>
          endpointsOf([mesh], shape, 'rank', 5000, { onSpan: (span) => void spans[rank]!.push(span) })[0]!,
      );
      const requests = inputs.map((input) => ({ ...input, tag: tagOf(7, 5) }));
      const early = fast!.startDispatch(requests[1]!);
      await nextTurn();
      await nextTurn();
      const late = slow!.startDispatch(requests[0]!);
      const recv = await Promise.all([late.hook(), early.hook()]);
      const first = fast!.startCombine(runExperts(recv[1], 1, shape), recv[1].handle);
      await nextTurn();
      await nextTurn();
      const second = slow!.startCombine(runExperts(recv[0], 0, shape), recv[0].handle);
      await Promise.all([first.hook(), second.hook()]);
    });
    for (const told of spans) {
      const expected = ['dispatch', 'combine'].flatMap((phase) =>
        ['pack', 'flight', 'unpack'].map((part) => ({ phase, part, tag: tagOf(7, 5) })),
      );
      expect(told.map(({ phase, part, tag }) => ({ phase, part, tag }))).to.deep.equal(expected);
      let last = 0;
      for (const { startMs, endMs } of told) {
        expect(startMs).to.be.at.least(last);
        expect(endMs).to.be.at.least(startMs);
        last = endMs;
      }
    }
  });
});

describe('all-to-all with masks', () => {
  const shape = { size: 4, hidden: 5, numTopk: 3, slotsPerRank: 2 };
  const inputs = inputsOf([5, 4, 3, 2], shape, 20);
  const tag = tagOf(1, 4);
  const survivorsOf = <T>(all: readonly T[]): T[] => all.slice(0, 3);
  const without = (lost: readonly number[]): RefInput[] => inputs.map((input) => refWithout(input, shape, lost));

  for (const reduce of REDUCES) {
    for (const when of ['before dispatch', 'during dispatch', 'before combine', 'during combine'] as const) {
      it(`goes on without a rank that closes ${when}, and names the degraded tokens: reduce ${reduce}`, async () => {
        await withMeshes(createLocalMeshes(4), async (meshes) => {
          const endpoints = endpointsOf(meshes, shape, reduce, 5000, { onPeerLoss: 'mask' });
          const survivors = survivorsOf(endpoints);
          if (when === 'before dispatch') await meshes[3]!.close();
          const isHeard = when.endsWith('combine');
          const calls = (isHeard ? endpoints : survivors).map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag }));
          if (when === 'during dispatch') await meshes[3]!.close();
          const recv = await Promise.all(calls);
          if (when === 'before combine') await meshes[3]!.close();
          const combines = survivors.map((ep, rank) =>
            ep.combine(runExperts(recv[rank]!, rank, shape), recv[rank]!.handle),
          );
          if (when === 'during combine') await meshes[3]!.close();
          const y = await Promise.all(combines);
          const heard = isHeard ? inputs : survivorsOf(inputs);
          for (const [rank, ep] of survivors.entries()) {
            expectReceived(recv[rank]!, heard, shape, rank);
            expect([...recv[rank]!.degraded.rows()]).to.deep.equal(degradedOf(inputs[rank]!, shape, [3]));
            expect(ep.stats().numDegradedTokens).to.equal(degradedOf(inputs[rank]!, shape, [3]).length);
            expect(ep.maskedRanks()).to.deep.equal([3]);
          }
          expectSums(y, without([3]), shape, reduce);

          const next = await roundTripOf(survivors, shape, inputs, tagOf(2, 4));
          for (const [rank, { degraded }] of next.received.entries()) {
            expect([...degraded.rows()]).to.deep.equal(degradedOf(inputs[rank]!, shape, [3]));
          }
          expectSums(next.y, without([3]), shape, reduce);
        });
      });
    }
  }

  it('goes on over WebSockets without a rank that closes during dispatch', async () => {
    await withMeshes(await openWsMeshes(4), async (meshes) => {
      const survivors = survivorsOf(endpointsOf(meshes, shape, 'rank', 5000, { onPeerLoss: 'mask' }));
      const running = roundTripOf(survivors, shape, inputs, tag);
      await meshes[3]!.close();
      expectSums((await running).y, without([3]), shape, 'rank');
    });
  });

  it('leaves out ranks that the caller masks, and takes them in again in a new epoch', async () => {
    await withMeshes(createLocalMeshes(4), async (meshes) => {
      const endpoints = endpointsOf(meshes, shape, 'source');
      const survivors = endpoints.slice(0, 2);
      for (const ep of survivors) [3, 2].forEach((rank) => ep.maskRank(asRank(rank)));
      for (const ep of survivors) expect(ep.maskedRanks()).to.deep.equal([2, 3]);
      const { received, y } = await roundTripOf(survivors, shape, inputs, tag);
      expectSums(y, without([2, 3]), shape, 'source');
      for (const [rank, { degraded }] of received.entries()) {
        expect([...degraded.rows()]).to.deep.equal(degradedOf(inputs[rank]!, shape, [2, 3]));
      }
      expect(meshes[0]!.stats().framesSent).to.deep.equal([0, 2, 0, 0]);
      for (const ep of survivors) {
        ep.clearMask(asRank(3));
        expect(ep.maskedRanks()).to.deep.equal([2]);
        ep.clearMask();
        expect(ep.maskedRanks()).to.deep.equal([]);
      }
      for (const mesh of meshes) mesh.advanceEpoch(1);
      const again = await roundTripOf(endpoints, shape, inputs, tagOf(1, 4, 1));
      expectSums(again.y, inputs, shape, 'source');
      for (const { degraded } of again.received) expect(degraded.numTokens).to.equal(0);
    });
  });

  it('masks again a rank whose mask was cleared though its link is lost', async () => {
    await withMeshes(createLocalMeshes(4), async (meshes) => {
      const survivors = survivorsOf(endpointsOf(meshes, shape, 'rank', 5000, { onPeerLoss: 'mask' }));
      await meshes[3]!.close();
      await roundTripOf(survivors, shape, inputs, tagOf(0));
      for (const ep of survivors) ep.clearMask();
      const { y } = await roundTripOf(survivors, shape, inputs, tagOf(1));
      expectSums(y, without([3]), shape, 'rank');
      for (const ep of survivors) expect(ep.maskedRanks()).to.deep.equal([3]);
    });
  });

  it('masks a silent rank at its deadline; its late frames count as stale and are not mixed in', async () => {
    await withMeshes(createLocalMeshes(4), async (meshes) => {
      const endpoints = endpointsOf(meshes, shape, 'rank', 40, { onPeerLoss: 'mask' });
      const survivors = survivorsOf(endpoints);
      const recv = await Promise.all(survivors.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag })));
      endpoints[3]!.startDispatch({ ...inputs[3]!, tag });
      await nextTurn();
      const y = await Promise.all(
        survivors.map((ep, rank) => ep.combine(runExperts(recv[rank]!, rank, shape), recv[rank]!.handle)),
      );
      for (const [rank, result] of recv.entries()) expectReceived(result, survivorsOf(inputs), shape, rank);
      expectSums(y, without([3]), shape, 'rank');
      await nextTurn();
      for (const mesh of survivorsOf(meshes)) expect(mesh.stats().stale).to.equal(1);

      for (const ep of survivors) ep.clearMask();
      for (const mesh of meshes) mesh.advanceEpoch(1);
      const again = await roundTripOf(endpointsOf(meshes, shape, 'rank'), shape, inputs, tagOf(1, 4, 1));
      for (const [rank, result] of again.received.entries()) expectReceived(result, inputs, shape, rank);
      expectSums(again.y, inputs, shape, 'rank');
    });
  });

  it('ends the wait for a rank that the caller masks meanwhile', async () => {
    await withMeshes(createLocalMeshes(4), async (meshes) => {
      const survivors = survivorsOf(endpointsOf(meshes, shape, 'rank'));
      const running = roundTripOf(survivors, shape, inputs, tag);
      await nextTurn();
      for (const ep of survivors) ep.maskRank(asRank(3));
      const { y, received } = await running;
      expectSums(y, without([3]), shape, 'rank');
      for (const [rank, { degraded }] of received.entries()) {
        expect([...degraded.rows()]).to.deep.equal(degradedOf(inputs[rank]!, shape, [3]));
      }
    });
  });

  it('doesn’t await in combine a rank that was masked in dispatch, though its mask was cleared between', async () => {
    await withMeshes(createLocalMeshes(4), async (meshes) => {
      const survivors = survivorsOf(endpointsOf(meshes, shape, 'rank'));
      for (const ep of survivors) ep.maskRank(asRank(3));
      const recv = await Promise.all(survivors.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag })));
      for (const ep of survivors) ep.clearMask();
      const y = await Promise.all(
        survivors.map((ep, rank) => ep.combine(runExperts(recv[rank]!, rank, shape), recv[rank]!.handle)),
      );
      expectSums(y, without([3]), shape, 'rank');
      expect(meshes[0]!.stats().framesSent).to.deep.equal([0, 2, 2, 0]);
    });
  });

  it('names every silent rank where losses fail: TIMEOUT', async () => {
    await withMeshes(createLocalMeshes(4), async (meshes) => {
      const [first, , third] = endpointsOf(meshes, shape, 'rank', 40);
      const told = [first!, third!].map((ep, i) =>
        rejection(ep.dispatch({ ...inputs[2 * i]!, tag }), 'TIMEOUT', {
          rank: asRank(1),
          layer: 4,
          phase: 'dispatch',
          waitedMs: 40,
        }),
      );
      for (const { message } of await Promise.all(told)) {
        expect(message).to.contain('rank 1 sent nothing').and.contain('silent too: rank 3');
        expect(message).to.contain('40 ms');
      }
    });
  });

  it('masks neither the caller’s own end nor a peer that breaks the protocol', async () => {
    await withMeshes(createLocalMeshes(4), async (meshes) => {
      const [ep] = endpointsOf(meshes, shape, 'rank', 5000, { onPeerLoss: 'mask' });
      const abort = new AbortController();
      const told = rejection(ep!.dispatch({ ...inputs[0]!, tag, signal: abort.signal }), 'ABORTED');
      abort.abort();
      await told;
      const [, ...others] = endpointsOf(meshes, { ...shape, hidden: 6 }, 'rank');
      for (const other of others) {
        const none = { x: new Float32Array(0), topkIdx: new Int32Array(0), topkWeights: new Float32Array(0) };
        other.startDispatch({ ...none, tag: tagOf(2, 4) });
      }
      await rejection(ep!.dispatch({ ...inputs[0]!, tag: tagOf(2, 4) }), 'PROTOCOL', { layer: 4, phase: 'dispatch' });
      expect(ep!.maskedRanks()).to.deep.equal([]);
    });
  });

  it('refuses to mask itself or a rank that doesn’t exist', async () => {
    await withMeshes(createLocalMeshes(4), ([mesh]) => {
      const [ep] = endpointsOf([mesh!], shape, 'rank');
      for (const rank of [0, 4, -1, 1.5])
        thrown(() => ep!.maskRank(rank as ReturnType<typeof asRank>), 'INVALID_ARGUMENT');
      expect(ep!.maskedRanks()).to.deep.equal([]);
    });
  });
});

describe('all-to-all refuses modes', () => {
  const options = { hidden: 4, numTopk: 2, slotsPerRank: 3 };
  const cases: [string, Partial<AllToAllOptions>, string[]][] = [
    ['onPeerLoss', { onPeerLoss: 'ignore' as 'mask' }, ['ignore', 'fail, mask']],
    ['wire.dispatch', { wire: { dispatch: 'fp4' as WireDtype } }, ['fp4', 'bf16']],
    ['wire.combine', { wire: { combine: 'f16' as WireDtype } }, ['f16', 'int8']],
    ['reduce', { reduce: 'mean' as Reduce }, ['mean', 'rank, source']],
    ['expertAlignment', { expertAlignment: 0 }, ['0', '1']],
    ['topology.ranksPerNode', { topology: { ranksPerNode: 4, route: 'flat' } }, ['4', '6']],
    ['topology.ranksPerNode', { topology: { ranksPerNode: 0, route: 'flat' } }, ['0', '6']],
    ['topology.ranksPerNode', { topology: { ranksPerNode: 7, route: 'flat' } }, ['7', '6']],
    ['topology.route', { topology: { ranksPerNode: 2, route: 'ring' as 'flat' } }, ['ring', 'flat, hierarchical']],
  ];
  for (const [name, wrong, words] of cases) {
    it(`${name} ${JSON.stringify(wrong)}, naming what is allowed`, async () => {
      await withMeshes(createLocalMeshes(6), ([mesh]) => {
        const code: CommErrorCode = 'INVALID_ARGUMENT';
        const { message } = thrown(() => createAllToAll(mesh!, { ...options, ...wrong }), code);
        for (const word of [name, ...words]) expect(message).to.contain(word);
      });
    });
  }
});
