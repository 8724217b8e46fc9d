import { createHash } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import { trafficMatrices, WIRE_DTYPES, type Mesh, type Reduce, type StepTag } from '../../../../comm/index.js';
import { endpointsWith, roundTripOf, runExperts, tagOf } from '../../../kit/comm/all_to_all.js';
import {
  bits,
  expectedOutput,
  expectReceived,
  optionsOf,
  randomInputs,
  withMeshes,
  type NodesCase,
} from '../../../kit/comm/nodes.js';
import { openWsMeshes } from '../../../kit/comm/ws_meshes.js';
import type { RefInput } from '../../../refs/all_to_all_ref.js';

const REDUCES = ['rank', 'source'] as const;

/** One round trip, against the reference and against the flat route, bit for bit. */
async function expectExact(
  meshes: readonly Mesh[],
  one: NodesCase,
  inputs: readonly RefInput[],
  tag = tagOf(),
): Promise<void> {
  const { shape, ranksPerNode, reduce, wire } = one;
  const { received, y } = await roundTripOf(endpointsWith(meshes, shape, optionsOf(one)), shape, inputs, tag);
  const flatTag = { ...tag, layer: tag.layer + 1 };
  const flat = await roundTripOf(endpointsWith(meshes, shape, optionsOf(one, 'flat')), shape, inputs, flatTag);
  const isSameAsFlat =
    reduce === 'source' || (wire?.combine ?? 'f32') === 'f32' || [1, shape.size].includes(ranksPerNode);
  for (const [rank, input] of inputs.entries()) {
    expectReceived(received[rank]!, inputs, one, rank);
    const { recvX, recvTopkIdx, recvTopkWeights, numRecvTokensPerExpert } = flat.received[rank]!;
    expect(received[rank]).to.deep.include({ recvX, recvTopkIdx, recvTopkWeights, numRecvTokensPerExpert });
    expect(bits(y[rank]!)).to.deep.equal(bits(expectedOutput(input, one)));
    if (isSameAsFlat) expect(bits(y[rank]!)).to.deep.equal(bits(flat.y[rank]!));
    expect(received[rank]!.degraded.numTokens).to.equal(0);
  }
}

const divisorsOf = (size: number): number[] =>
  Array.from({ length: size }, (_, i) => i + 1).filter((divisor) => size % divisor === 0);

describe('hierarchical all-to-all', () => {
  it('equals the reference and the flat route bit for bit on 1 to 16 ranks with every number of ranks per node', async () => {
    for (let size = 1; size <= 16; size++) {
      const shape = { size, hidden: 5, numTopk: 3, slotsPerRank: 2 };
      const inputs = randomInputs(
        Array.from({ length: size }, (_, rank) => (rank * 3 + 1) % 5),
        shape,
        size,
      );
      await withMeshes(size, async (meshes) => {
        for (const [i, ranksPerNode] of divisorsOf(size).entries()) {
          for (const [j, reduce] of REDUCES.entries()) {
            await expectExact(meshes, { shape, ranksPerNode, reduce }, inputs, tagOf(i, 2 * j));
          }
        }
      });
    }
  });

  it('equals the reference and the flat route bit for bit for any shape, dtype, skew and −1', async () => {
    const world = fc
      .record({
        ranksPerNode: fc.integer({ min: 1, max: 4 }),
        numNodes: fc.integer({ min: 1, max: 4 }),
        slotsPerRank: fc.integer({ min: 1, max: 3 }),
        numTopk: fc.integer({ min: 1, max: 6 }),
        hidden: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constantFrom(128, 131, 257)),
        numTokens: fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 16, maxLength: 16 }),
        skew: fc.constantFrom(1, 2, 8),
        noneShare: fc.constantFrom(0, 0.3, 1),
        reduce: fc.constantFrom(...REDUCES),
        wire: fc.record({ dispatch: fc.constantFrom(...WIRE_DTYPES), combine: fc.constantFrom(...WIRE_DTYPES) }),
        seed: fc.integer(),
      })
      .map(({ numNodes, ...rest }) => ({ ...rest, size: numNodes * rest.ranksPerNode }));
    await fc.assert(
      fc.asyncProperty(world, async ({ ranksPerNode, reduce, wire, numTokens, skew, noneShare, seed, ...shape }) => {
        const inputs = randomInputs(numTokens.slice(0, shape.size), shape, seed);
        for (const { topkIdx } of inputs) {
          for (let i = 0; i < topkIdx.length; i++) {
            const share = (topkIdx[i]! + 1) / (shape.size * shape.slotsPerRank + 1);
            topkIdx[i] = share < noneShare ? -1 : Math.floor(share ** skew * shape.size * shape.slotsPerRank);
          }
        }
        await withMeshes(shape.size, (meshes) => expectExact(meshes, { shape, ranksPerNode, reduce, wire }, inputs));
      }),
      { numRuns: 120, seed: 20240608 },
    );
  });

  it('is exact when one expert gets every token, and when no rank has one', async () => {
    const shape = { size: 6, hidden: 4, numTopk: 2, slotsPerRank: 2 };
    const one = { shape, ranksPerNode: 2, reduce: 'rank' } as const;
    const inputs = randomInputs([3, 0, 5, 1, 2, 4], shape, 1);
    for (const { topkIdx } of inputs) topkIdx.fill(7);
    const none = randomInputs([0, 0, 0, 0, 0, 0], shape, 1);
    await withMeshes(6, async (meshes) => {
      await expectExact(meshes, one, inputs, tagOf(0));
      await expectExact(meshes, one, none, tagOf(1));
    });
  });

  it('equals the reference over WebSockets, step after step', async () => {
    const shape = { size: 4, hidden: 33, numTopk: 3, slotsPerRank: 3 };
    await withMeshes(await openWsMeshes(4), async (meshes) => {
      for (let step = 0; step < 3; step++) {
        const inputs = randomInputs([step * 4, 7, 0, 5], shape, step);
        for (const [i, reduce] of REDUCES.entries()) {
          await expectExact(meshes, { shape, ranksPerNode: 2, reduce }, inputs, tagOf(step, 2 * i));
        }
      }
    });
  });

  it('takes the routing at the start: the caller may change its own, and compute before the hook', async () => {
    const shape = { size: 4, hidden: 4, numTopk: 2, slotsPerRank: 2 };
    const one = { shape, ranksPerNode: 2, reduce: 'rank' } as const;
    const inputs = randomInputs([3, 4, 2, 5], shape, 3);
    await withMeshes(4, async (meshes) => {
      const endpoints = endpointsWith(meshes, shape, optionsOf(one));
      const pending = endpoints.map((ep, rank) => {
        const { x, topkIdx, topkWeights } = inputs[rank]!;
        const request = { x, topkIdx: topkIdx.slice(), topkWeights: topkWeights.slice(), tag: tagOf() };
        const started = ep.startDispatch(request);
        request.topkIdx.fill(-1);
        request.topkWeights.fill(NaN);
        return started;
      });
      const received = await Promise.all(pending.map((one) => one.hook()));
      for (const [rank, recv] of received.entries()) expectReceived(recv, inputs, one, rank);
    });
  });

  it('keeps layers and micro-batches in flight apart', async () => {
    const shape = { size: 4, hidden: 4, numTopk: 2, slotsPerRank: 2 };
    const one = { shape, ranksPerNode: 2, reduce: 'source' } as const;
    await withMeshes(4, async (meshes) => {
      const endpoints = endpointsWith(meshes, shape, optionsOf(one));
      const run = async (rank: number, microBatch: number): Promise<void> => {
        const input = randomInputs([5, 5, 5, 5], shape, microBatch)[rank]!;
        const recv = await endpoints[rank]!.dispatch({ ...input, tag: { ...tagOf(), microBatch } });
        const y = await endpoints[rank]!.combine(runExperts(recv, rank, shape), recv.handle);
        expect(bits(y)).to.deep.equal(bits(expectedOutput(input, one)));
      };
      await Promise.all([0, 1, 2, 3].flatMap((rank) => [run(rank, rank % 2), run(rank, 1 - (rank % 2))]));
    });
  });

  it('gives identical hashes however often it runs and in whichever order ranks begin', async () => {
    const shape = { size: 8, hidden: 16, numTopk: 4, slotsPerRank: 2 };
    const inputs = randomInputs([9, 3, 0, 8, 5, 6, 7, 2], shape, 11);
    const hashes = new Set<string>();
    await withMeshes(8, async (meshes) => {
      const endpoints = endpointsWith(meshes, shape, optionsOf({ shape, ranksPerNode: 4, reduce: 'rank' }));
      for (let step = 0; step < 6; step++) {
        const order = [...endpoints.keys()].map((i) => (i * 3 + step) % 8);
        const y = new Map<number, Float32Array>();
        const run = async (rank: number): Promise<void> => {
          const recv = await endpoints[rank]!.dispatch({ ...inputs[rank]!, tag: tagOf(step) });
          y.set(rank, await endpoints[rank]!.combine(runExperts(recv, rank, shape), recv.handle));
        };
        await Promise.all(order.map(run));
        const hash = createHash('sha256');
        for (const rank of endpoints.keys()) hash.update(new Uint8Array(y.get(rank)!.buffer));
        hashes.add(hash.digest('hex'));
      }
    });
    expect(hashes.size).to.equal(1);
  });
});

describe('hierarchical cached handles', () => {
  const shape = { size: 6, hidden: 5, numTopk: 3, slotsPerRank: 2 };
  for (const reduce of REDUCES) {
    for (const ranksPerNode of [1, 2, 3, 6]) {
      it(`go the same way again without routing: ${reduce}, ${ranksPerNode} ranks per node`, async () => {
        const one: NodesCase = { shape, ranksPerNode, reduce };
        const inputs = randomInputs([4, 0, 7, 3, 5, 2], shape, 5);
        const again = randomInputs([4, 0, 7, 3, 5, 2], shape, 6).map(({ x }, rank) => ({ ...inputs[rank]!, x }));
        await withMeshes(6, async (meshes) => {
          const endpoints = endpointsWith(meshes, shape, optionsOf(one));
          const first = await Promise.all(endpoints.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag: tagOf() })));
          let handles = first.map(({ handle }) => handle);
          // A handle of a cached dispatch serves as well as the first.
          for (let step = 1; step <= 2; step++) {
            const received = await Promise.all(
              endpoints.map((ep, rank) => ep.dispatch({ x: again[rank]!.x, handle: handles[rank]!, tag: tagOf(step) })),
            );
            handles = received.map(({ handle }) => handle);
            for (const [rank, recv] of received.entries()) expectReceived(recv, again, one, rank);
            const y = await Promise.all(
              endpoints.map((ep, rank) => ep.combine(runExperts(received[rank]!, rank, shape), handles[rank]!)),
            );
            for (const [rank, row] of y.entries()) {
              expect(bits(row)).to.deep.equal(bits(expectedOutput(again[rank]!, one)));
            }
          }
        });
      });
    }
  }
});

describe('hierarchical bytes', () => {
  const nodeOf = (rank: number): number => Math.floor(rank / 4);
  const shape = { size: 8, hidden: 130, numTopk: 4, slotsPerRank: 2 };

  /** Per token and choice of `from` that `isThere` accepts: how many tokens, and how many choices. */
  function count(input: RefInput, isThere: (rank: number) => boolean): { tokens: number; pairs: number } {
    const tokens = new Set<number>();
    let pairs = 0;
    for (const [i, expert] of input.topkIdx.entries()) {
      if (expert < 0 || !isThere(Math.floor(expert / shape.slotsPerRank))) continue;
      tokens.add((i - (i % shape.numTopk)) / shape.numTopk);
      pairs++;
    }
    return { tokens: tokens.size, pairs };
  }

  for (const reduce of REDUCES) {
    it(`between nodes are one row per (token, node), between equal local numbers only, and fewer than flat: ${reduce}`, async () => {
      const inputs = randomInputs([20, 31, 0, 7, 15, 22, 9, 28], shape, 9);
      const wire = { dispatch: 'bf16', combine: 'f32' } as const;
      const one = { shape, ranksPerNode: 4, reduce, wire };
      await withMeshes(8, async (meshes) => {
        const { endpoints } = await roundTripOf(endpointsWith(meshes, shape, optionsOf(one)), shape, inputs);
        const matrices = trafficMatrices(
          endpoints.map((ep) => ep.stats()),
          8,
        );
        const bytesOf = (phase: string): readonly (readonly number[])[] =>
          matrices.find((matrix) => matrix.phase === phase)!.bytes;
        const routingBytes = shape.numTopk * (reduce === 'rank' ? 6 : 2);
        const owed = (from: number, isThere: (rank: number) => boolean): number => {
          const { tokens, pairs } = count(inputs[from]!, isThere);
          return reduce === 'rank' ? tokens : pairs;
        };
        for (let from = 0; from < 8; from++) {
          for (let to = 0; to < 8; to++) {
            const isRelay = nodeOf(from) !== nodeOf(to) && from % 4 === to % 4;
            const crossing = count(inputs[from]!, (rank) => nodeOf(rank) === nodeOf(to)).tokens;
            expect(bytesOf('dispatch_node')[from]![to]).to.equal(
              isRelay ? 40 + crossing * (130 * 2 + routingBytes) : 0,
            );
            const back = owed(to, (rank) => nodeOf(rank) === nodeOf(from));
            expect(bytesOf('combine_node')[from]![to]).to.equal(isRelay ? 40 + back * 130 * 4 + 4 : 0);

            const isMate = nodeOf(from) === nodeOf(to) && from !== to;
            const group = [from % 4, (from % 4) + 4];
            const forwarded = group.reduce(
              (sum, source) => sum + count(inputs[source]!, (rank) => rank === to).tokens,
              0,
            );
            const toMate = 40 + 4 * 2 + forwarded * (130 * 2 + routingBytes);
            expect(bytesOf('dispatch')[from]![to]).to.equal(isMate ? toMate : 0);
            const home = [to % 4, (to % 4) + 4].reduce((sum, source) => sum + owed(source, (rank) => rank === from), 0);
            expect(bytesOf('combine')[from]![to]).to.equal(isMate ? 40 + home * 130 * 4 : 0);
          }
        }
        // What the counters say is what the mesh sent.
        const sent = meshes.map((mesh) => mesh.stats().bytesSent);
        for (const [rank, ep] of endpoints.entries()) {
          const { dispatch, combine } = ep.sentBytes();
          expect(sent[rank]).to.deep.equal(dispatch.map((bytes, to) => bytes + combine[to]!));
        }
        const flat = await roundTripOf(endpointsWith(meshes, shape, optionsOf(one, 'flat')), shape, inputs, tagOf(1));
        const between = (sent: readonly (readonly number[])[]): number =>
          sent.flatMap((row, from) => row.filter((_, to) => nodeOf(from) !== nodeOf(to))).reduce((a, b) => a + b, 0);
        const dispatched = between(endpoints.map((ep) => ep.sentBytes().dispatch));
        expect(dispatched).to.be.lessThan(between(flat.endpoints.map((ep) => ep.sentBytes().dispatch)) * 0.7);
        const combined = between(endpoints.map((ep) => ep.sentBytes().combine));
        const flatCombined = between(flat.endpoints.map((ep) => ep.sentBytes().combine));
        if (reduce === 'rank') expect(combined).to.be.lessThan(flatCombined * 0.7);
        else expect(combined - 8 * 44).to.equal(flatCombined - 8 * 4 * 40);
      });
    });
  }

  it('without routing are those of a cached handle', async () => {
    const inputs = randomInputs([20, 31, 0, 7, 15, 22, 9, 28], shape, 9);
    await withMeshes(8, async (meshes) => {
      const one = { shape, ranksPerNode: 4, reduce: 'rank' } as const;
      const endpoints = endpointsWith(meshes, shape, optionsOf(one));
      const first = await Promise.all(endpoints.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag: tagOf(0, 0) })));
      const tag: StepTag = tagOf(0, 1);
      await Promise.all(
        endpoints.map((ep, rank) => ep.dispatch({ x: inputs[rank]!.x, handle: first[rank]!.handle, tag })),
      );
      for (const [rank, ep] of endpoints.entries()) {
        const sent = ep.stats().traffic.find(({ layer, phase }) => layer === 1 && phase === 'dispatch_node')!;
        const relay = (rank + 4) % 8;
        const { tokens } = count(inputs[rank]!, (holder) => nodeOf(holder) === nodeOf(relay));
        expect(sent.bytes[relay]).to.equal(40 + tokens * 130 * 4);
        expect(sent.rows[relay]).to.equal(tokens);
        expect(sent.rows[rank]).to.equal(count(inputs[rank]!, (holder) => nodeOf(holder) === nodeOf(rank)).tokens);
      }
    });
  });

  it('are told to a timeline hop by hop', async () => {
    const inputs = randomInputs([2, 3, 4, 5, 2, 3, 4, 5], shape, 2);
    const spans: string[] = [];
    await withMeshes(8, async (meshes) => {
      const one = { shape, ranksPerNode: 4, reduce: 'rank' as Reduce };
      const onSpan = ({
        phase,
        part,
        startMs,
        endMs,
      }: {
        phase: string;
        part: string;
        startMs: number;
        endMs: number;
      }) => {
        expect(endMs).to.be.at.least(startMs);
        spans.push(`${phase} ${part}`);
      };
      const endpoints = meshes.map(
        (mesh, rank) => endpointsWith([mesh], shape, { ...optionsOf(one), ...(rank === 3 ? { onSpan } : {}) })[0]!,
      );
      await roundTripOf(endpoints, shape, inputs);
    });
    expect(spans).to.deep.equal([
      'dispatch_node pack',
      'dispatch_node flight',
      'dispatch pack',
      'dispatch flight',
      'dispatch unpack',
      'combine pack',
      'combine flight',
      'combine_node pack',
      'combine_node flight',
      'combine_node unpack',
    ]);
  });
});

describe('hierarchical rounding', () => {
  it('happens once inside the node and once between nodes', async () => {
    const shape = { size: 4, hidden: 8, numTopk: 2, slotsPerRank: 1 };
    const one = { shape, ranksPerNode: 2, reduce: 'rank', wire: { dispatch: 'f32', combine: 'bf16' } } as const;
    // Every token has an expert on both ranks of one node: its sum has more bits than bf16 keeps.
    const inputs = randomInputs([6, 6, 6, 6], shape, 4);
    for (const [rank, { topkIdx }] of inputs.entries()) {
      topkIdx.forEach((_, i) => (topkIdx[i] = (rank < 2 ? 2 : 0) + (i % 2)));
    }
    await withMeshes(4, async (meshes) => {
      const { y } = await roundTripOf(endpointsWith(meshes, shape, optionsOf(one)), shape, inputs);
      for (const [rank, row] of y.entries()) {
        expect(bits(row)).to.deep.equal(bits(expectedOutput(inputs[rank]!, one)));
        expect(bits(row).filter((value) => (value & 0xffff) !== 0)).to.deep.equal([]);
      }
    });
  });
});
