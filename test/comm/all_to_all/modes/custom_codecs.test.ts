import { expect } from 'chai';
import fc from 'fast-check';
import {
  createLocalMeshes,
  createThreadSeats,
  floatRows,
  openThreadMesh,
  type AllToAll,
  type AllToAllOptions,
  type Mesh,
  type StepTag,
  type WireCodec,
  type WireDtype,
} from '../../../../comm/index.js';
import { KernelMemory } from '../../../../compute/wasm/memory/kernel_memory.js';
import {
  endpointsWith,
  randomOf,
  roundTripOf,
  runExperts,
  tagOf,
  withMeshes,
  type RoundTrip,
} from '../../../kit/comm/all_to_all.js';
import { bf16Codec, int8Codec } from '../../../kit/comm/custom_codecs.js';
import { inputsOf, REDUCES } from '../../../kit/comm/exact_all_to_all.js';
import { inputOf, rowsOf } from '../../../kit/comm/exact_low_latency.js';
import { openIoThreadMeshes } from '../../../kit/comm/io_thread_meshes.js';
import { KernelMemoryRows } from '../../../kit/comm/kernel_memory_rows.js';
import { packedEndpointsOf, packedRoundTrip } from '../../../kit/comm/low_latency.js';
import { openWsMeshes } from '../../../kit/comm/ws_meshes.js';
import type { RefInput, RefShape } from '../../../refs/all_to_all_ref.js';

type Wire = NonNullable<AllToAllOptions['wire']>;
type Codes = WireDtype | 'my_bf16' | 'my_int8';

const CODECS = { my_bf16: bf16Codec, my_int8: int8Codec } as const;
/** The dtype that a codec reimplements. */
const builtInOf = (code: Codes): WireDtype => (code === 'my_bf16' ? 'bf16' : code === 'my_int8' ? 'int8' : code);
const customOf = (code: Codes): WireDtype | WireCodec =>
  code in CODECS ? CODECS[code as keyof typeof CODECS] : (code as WireDtype);

const wiresOf = ({ dispatch, combine }: Readonly<Record<'dispatch' | 'combine', Codes>>) => ({
  builtIn: { dispatch: builtInOf(dispatch), combine: builtInOf(combine) },
  custom: { dispatch: customOf(dispatch), combine: customOf(combine) },
});

function expectSameBytes(a: Float32Array, b: Float32Array, what: string): void {
  const [got, expected] = [a, b].map(({ buffer, byteOffset, byteLength }) =>
    Buffer.from(buffer, byteOffset, byteLength),
  );
  expect(got!.equals(expected!), what).to.equal(true);
}

/** What both of a differential run are made with. */
interface Both {
  readonly meshes: readonly Mesh[];
  readonly shape: RefShape;
  readonly inputs: readonly RefInput[];
  readonly options: Partial<AllToAllOptions>;
  readonly builtIn: Wire;
  readonly custom: Wire;
}

/** A dispatch and a combine, and others by their handles, in `layer` of four steps: same rows, sums and bytes sent. */
async function expectSame({ meshes, shape, inputs, options, builtIn, custom }: Both, layer = 0): Promise<void> {
  const [ours, theirs] = [custom, builtIn].map((wire) => endpointsWith(meshes, shape, { ...options, wire })) as [
    AllToAll[],
    AllToAll[],
  ];
  const got = await roundTripOf(ours, shape, inputs, tagOf(0, layer));
  const expected = await roundTripOf(theirs, shape, inputs, tagOf(1, layer));
  const again = async (
    endpoints: readonly AllToAll[],
    { received }: RoundTrip,
    step: number,
  ): Promise<Float32Array[]> => {
    const recv = await Promise.all(
      endpoints.map((ep, rank) => {
        const x = inputs[rank]!.x.map((value) => value / 3);
        return ep.dispatch({ x, handle: received[rank]!.handle, tag: tagOf(step, layer) });
      }),
    );
    return Promise.all(
      endpoints.map((ep, rank) => ep.combine(runExperts(recv[rank]!, rank, shape), recv[rank]!.handle)),
    );
  };
  const [gotAgain, expectedAgain] = [await again(ours, got, 2), await again(theirs, expected, 3)];
  for (const rank of meshes.keys()) {
    expectSameBytes(got.received[rank]!.recvX, expected.received[rank]!.recvX, `rows of rank ${rank}`);
    expectSameBytes(got.y[rank]!, expected.y[rank]!, `sums of rank ${rank}`);
    expectSameBytes(gotAgain[rank]!, expectedAgain[rank]!, `sums of rank ${rank} by a cached handle`);
    expect(ours[rank]!.sentBytes()).to.deep.equal(theirs[rank]!.sentBytes());
  }
}

describe('a codec of the caller that does what a dtype does', () => {
  it('gives its bits and bytes on any ranks, nodes, route, reduce, tokens and widths, one way or both', async () => {
    const code = fc.constantFrom<Codes>('my_bf16', 'my_int8', 'f32', 'fp8');
    const world = fc.record({
      ranksPerNode: fc.integer({ min: 1, max: 3 }),
      numNodes: fc.integer({ min: 1, max: 3 }),
      route: fc.constantFrom('flat' as const, 'hierarchical' as const),
      slotsPerRank: fc.integer({ min: 1, max: 3 }),
      numTopk: fc.integer({ min: 1, max: 4 }),
      hidden: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constantFrom(128, 131, 257)),
      numTokens: fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 9, maxLength: 9 }),
      reduce: fc.constantFrom(...REDUCES),
      codes: fc.record({ dispatch: code, combine: code }),
      seed: fc.nat(),
    });
    await fc.assert(
      fc.asyncProperty(world, async ({ ranksPerNode, numNodes, route, numTokens, reduce, codes, seed, ...rest }) => {
        const shape = { ...rest, size: ranksPerNode * numNodes };
        const inputs = inputsOf(numTokens.slice(0, shape.size), shape, seed);
        const options = { reduce, topology: { ranksPerNode, route } };
        await withMeshes(createLocalMeshes(shape.size), (meshes) =>
          expectSame({ meshes, shape, inputs, options, ...wiresOf(codes) }),
        );
      }),
      { numRuns: 80, seed: 19 },
    );
  });

  for (const [where, open] of [
    ['over WebSockets', (): Promise<Mesh[]> => openWsMeshes(4)],
    ['with sockets in a thread', (): Promise<Mesh[]> => openIoThreadMeshes(4)],
    ['between threads', (): Promise<Mesh[]> => Promise.resolve(createThreadSeats(4).map(openThreadMesh))],
  ] as const) {
    it(`gives its bits ${where}, those of NaN and infinities too`, async () => {
      const shape = { size: 4, hidden: 130, numTopk: 2, slotsPerRank: 2 };
      const inputs = inputsOf([9, 0, 30, 4], shape, 8);
      inputs[0]!.x.set([NaN, Infinity, -Infinity, -0, 1e-40, 3.4e38, -3.4e38]);
      const wires = wiresOf({ dispatch: 'my_bf16', combine: 'my_bf16' });
      await withMeshes(await open(), async (meshes) => {
        let layer = 0;
        for (const reduce of REDUCES) {
          for (const route of ['flat', 'hierarchical'] as const) {
            const options = { reduce, topology: { ranksPerNode: 2, route } };
            await expectSame({ meshes, shape, inputs, options, ...wires }, layer++);
          }
        }
      });
    });
  }

  for (const code of ['my_bf16', 'my_int8'] as const) {
    it(`gives its bits in the low-latency mode: ${code}`, async () => {
      const shape = { size: 3, hidden: 257, numTopk: 3, slotsPerRank: 2, maxTokensPerRank: 9 };
      const random = randomOf(4);
      const inputs = [9, 0, 5].map((count) => inputOf(count, shape, random, 6, 0.2));
      const { builtIn, custom } = wiresOf({ dispatch: code, combine: code });
      await withMeshes(createLocalMeshes(3), async (meshes) => {
        const [ours, theirs] = [custom, builtIn].map((wire) => packedEndpointsOf(meshes, shape, { wire }));
        const got = await packedRoundTrip(ours!, shape, inputs, tagOf(0));
        const expected = await packedRoundTrip(theirs!, shape, inputs, tagOf(1));
        for (const rank of meshes.keys()) {
          expect(rowsOf(got.received[rank]!, shape)).to.deep.equal(rowsOf(expected.received[rank]!, shape));
          expectSameBytes(got.y[rank]!, expected.y[rank]!, `sums of rank ${rank}`);
          expect(ours![rank]!.sentBytes()).to.deep.equal(theirs![rank]!.sentBytes());
        }
      });
    });

    it(`gives its bits on a rank without peers: ${code}`, async () => {
      const shape = { size: 1, hidden: 131, numTopk: 2, slotsPerRank: 4 };
      const inputs = inputsOf([11], shape, 6);
      const { x, topkIdx, topkWeights } = inputs[0]!;
      await withMeshes(createLocalMeshes(1), (meshes) => {
        for (const reduce of REDUCES) {
          const [got, expected] = [customOf(code), builtInOf(code)].map((form) => {
            const options = { reduce, wire: { dispatch: form, combine: form } };
            const alone = endpointsWith(meshes, shape, options)[0]!.alone!;
            const rows = alone.dispatch(0, floatRows(x, 131), topkIdx, topkWeights).recvX;
            const numOwed = reduce === 'rank' ? 11 : topkIdx.filter((expert) => expert >= 0).length;
            const out = Float32Array.from({ length: 131 * numOwed }, (_, i) => rows[i % rows.length]! / (1 + (i % 7)));
            return { rows, y: alone.combine(out, topkIdx, topkWeights, () => floatRows(x.slice(), 131)).view() };
          });
          expectSameBytes(got!.rows, expected!.rows, 'rows');
          expectSameBytes(got!.y, expected!.y, `sums, reduce ${reduce}`);
        }
      });
    });

    for (const reduce of REDUCES) {
      it(`gives its bits of rows in the kernels' memory, as many as leave in pieces: ${code}, reduce ${reduce}`, async () => {
        const shape = { size: 2, hidden: 1024, numTopk: 2, slotsPerRank: 2 };
        const inputs = inputsOf([1300, 20], shape, 7);
        const run = async (meshes: readonly Mesh[], wire: Wire, step: number): Promise<Float32Array[]> => {
          const endpoints = endpointsWith(meshes, shape, { reduce, wire });
          return Promise.all(endpoints.map((ep, rank) => inKernelMemory(ep, inputs[rank]!, tagOf(step))));
        };
        const { builtIn, custom } = wiresOf({ dispatch: code, combine: code });
        await withMeshes(await openWsMeshes(2), async (meshes) => {
          const [got, expected] = [await run(meshes, custom, 0), await run(meshes, builtIn, 1)];
          for (const [rank, y] of got.entries()) expectSameBytes(y, expected[rank]!, `sums of rank ${rank}`);
        });
      });
    }
  }

  it('gives its bits of rows that are wider than what is summed at once', async () => {
    const shape = { size: 4, hidden: 20_005, numTopk: 2, slotsPerRank: 2 };
    const inputs = inputsOf([3, 0, 2, 1], shape, 9);
    const wires = wiresOf({ dispatch: 'my_int8', combine: 'my_bf16' });
    await withMeshes(createLocalMeshes(4), async (meshes) => {
      let layer = 0;
      for (const reduce of REDUCES) {
        for (const route of ['flat', 'hierarchical'] as const) {
          const options = { reduce, topology: { ranksPerNode: 2, route } };
          await expectSame({ meshes, shape, inputs, options, ...wires }, layer++);
        }
      }
    });
  });

  it('gives its bits of two micro-batches in flight, with compute between start and hook', async () => {
    const shape = { size: 3, hidden: 20, numTopk: 2, slotsPerRank: 2 };
    const inputs = [1, 2].map((seed) => inputsOf([6, 3, 4], shape, seed));
    const run = async (meshes: readonly Mesh[], wire: Wire, step: number): Promise<Float32Array[]> => {
      const endpoints = endpointsWith(meshes, shape, { wire });
      const sums = await Promise.all(
        endpoints.map(async (ep, rank) => {
          const tagged = (microBatch: number): StepTag => ({ ...tagOf(step), microBatch });
          const dispatches = inputs.map((of, batch) => ep.startDispatch({ ...of[rank]!, tag: tagged(batch) }));
          const received = [await dispatches[1]!.hook(), await dispatches[0]!.hook()].reverse();
          const combines = received.map((recv) => ep.startCombine(runExperts(recv, rank, shape), recv.handle));
          return Promise.all(combines.map((pending) => pending.hook()));
        }),
      );
      return sums.flat();
    };
    const { builtIn, custom } = wiresOf({ dispatch: 'my_int8', combine: 'my_bf16' });
    await withMeshes(createLocalMeshes(3, { microBatches: 2 }), async (meshes) => {
      const [got, expected] = [await run(meshes, custom, 0), await run(meshes, builtIn, 1)];
      for (const [i, y] of got.entries()) expectSameBytes(y, expected[i]!, `sums ${i}`);
    });
  });
});

/** One rank's dispatch and combine with all rows in one kernel memory; its experts copy. */
async function inKernelMemory(ep: AllToAll, { x, ...routing }: RefInput, tag: StepTag): Promise<Float32Array> {
  const memory = new KernelMemory();
  const rowsOf = (numRows: number): KernelMemoryRows => new KernelMemoryRows(numRows, 1024, 1024, memory);
  const rows = rowsOf(x.length / 1024).set(x);
  const recv = await ep.dispatch({ x: rows, ...routing, tag, isLent: true });
  const received = rowsOf(recv.numRecvTokens);
  recv.copyRowsTo(received);
  recv.release();
  const numChoices = recv.recvTopkIdx.filter((slot) => slot >= 0).length;
  const out = rowsOf(recv.reduce === 'rank' ? recv.numRecvTokens : numChoices);
  const values = received.values();
  out.set(Float32Array.from({ length: out.numRows * 1024 }, (_, i) => values[i % values.length]! / 3));
  const y = rowsOf(rows.numRows);
  await ep.startCombine(out, recv.handle, y).hook();
  expect(y.isClean(rows.numRows)).to.equal(true);
  return y.values();
}
