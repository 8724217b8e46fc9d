import { expect } from 'chai';
import {
  asRank,
  createLocalMeshes,
  decodeRows,
  encodeRows,
  floatRows,
  WIRE_DTYPES,
  wireRowBytes,
  type FloatRows,
  type Mesh,
  type WireDtype,
} from '../../../../comm/index.js';
import { KernelMemory } from '../../../../compute/wasm/memory/kernel_memory.js';
import { bits, endpointsOf, endpointsWith, runExperts, tagOf, withMeshes } from '../../../kit/comm/all_to_all.js';
import { expectSums, inputsOf, REDUCES, refCombine } from '../../../kit/comm/exact_all_to_all.js';
import { KernelMemoryRows } from '../../../kit/comm/kernel_memory_rows.js';
import { MovingRows } from '../../../kit/comm/moving_rows.js';
import { openWsMeshes } from '../../../kit/comm/ws_meshes.js';
import { rejection, thrown } from '../../../kit/errors.js';
import { refDispatch } from '../../../refs/all_to_all_ref.js';

const SHAPE = { size: 4, hidden: 130, numTopk: 2, slotsPerRank: 2 };
const INPUTS = inputsOf([7, 0, 20, 3], SHAPE, 5);
/** Rows of whole vectors, and a width of which the codec has several pieces. */
const WHOLE = { ...SHAPE, hidden: 144 };
const WHOLE_INPUTS = inputsOf([7, 0, 120, 3], WHOLE, 6);

type NewRows = (numRows: number, hidden: number, stride: number) => MovingRows | KernelMemoryRows;
const inMovingMemory: NewRows = (...shape) => new MovingRows(...shape);
const inOneMemory = (): NewRows => {
  const memory = new KernelMemory();
  return (...shape) => new KernelMemoryRows(...shape, memory);
};

/** One rank's dispatch, experts and combine, with all rows in memory that moves whenever something is waited for. */
async function inPlace(
  mesh: Mesh,
  endpoint: ReturnType<typeof endpointsOf>[number],
  shape: typeof SHAPE,
  pad: number,
  inputs = INPUTS,
  newRows = inMovingMemory,
  step = 0,
): Promise<{ received: Float32Array; y: Float32Array }> {
  const { hidden } = shape;
  const stride = hidden + pad;
  const { x, ...routing } = inputs[mesh.rank]!;
  const rows = newRows(x.length / hidden, hidden, stride).set(x);
  const dispatching = endpoint.startDispatch({ x: rows, ...routing, tag: tagOf(step) });
  rows.move();
  const recv = await dispatching.hook();
  rows.move();
  const target = newRows(recv.numRecvTokens + 1, hidden, stride);
  recv.copyRowsTo(target);
  expect(target.isClean(recv.numRecvTokens)).to.equal(true);
  const computed = runExperts(recv, mesh.rank, shape);
  recv.release();
  const out = newRows(computed.length / hidden, hidden, stride).set(computed);
  const y = newRows(rows.numRows + 2, hidden, stride);
  const combining = endpoint.startCombine(out, recv.handle, y);
  out.move();
  y.move();
  await combining.hook();
  expect(y.isClean(rows.numRows)).to.equal(true);
  return { received: target.values(recv.numRecvTokens), y: y.values(rows.numRows) };
}

/** Rows of 1024 channels after one way. */
function travelled(dtype: WireDtype, x: Float32Array): Float32Array {
  const numRows = x.length / 1024;
  const bytes = new Uint8Array(numRows * wireRowBytes(dtype, 1024));
  encodeRows(dtype, x, null, numRows, 1024, bytes);
  const out = new Float32Array(x.length);
  decodeRows(dtype, bytes, numRows, 1024, out, 0);
  return out;
}

describe('all-to-all of rows in the memory of others', () => {
  for (const dtype of WIRE_DTYPES) {
    for (const pad of [0, 6]) {
      it(`takes and gives the reference's rows and sums: ${dtype}, rows ${pad} floats apart`, async () => {
        const shape = { ...SHAPE, wire: { dispatch: dtype, combine: dtype } };
        for (const reduce of REDUCES) {
          await withMeshes(await openWsMeshes(4), async (meshes) => {
            const endpoints = endpointsOf(meshes, shape, reduce);
            const got = await Promise.all(meshes.map((mesh, rank) => inPlace(mesh, endpoints[rank]!, shape, pad)));
            for (const [rank, { received }] of got.entries()) {
              const expected = refDispatch(INPUTS, shape, rank).flatMap((row) => row.x);
              expect([...received]).to.deep.equal(expected);
            }
            expectSums(
              got.map(({ y }) => y),
              INPUTS,
              shape,
              reduce,
            );
          });
        }
      });
    }
  }

  for (const { where, newRows } of [
    { where: 'one kernel memory', newRows: inOneMemory },
    {
      where: 'a kernel memory each',
      newRows:
        (): NewRows =>
        (...rows) =>
          new KernelMemoryRows(...rows),
    },
  ]) {
    for (const dtype of WIRE_DTYPES) {
      it(`works on rows where they lie in ${where}, with the same bits: ${dtype}`, async () => {
        const shape = { ...WHOLE, wire: { dispatch: dtype, combine: dtype } };
        for (const [reduce, pad] of [...REDUCES].flatMap((reduce) => [0, 8].map((pad) => [reduce, pad] as const))) {
          await withMeshes(createLocalMeshes(4), async (meshes) => {
            const runs = [inMovingMemory, newRows()].map(async (rowsOf, step) => {
              const endpoints = endpointsOf(meshes, shape, reduce);
              return Promise.all(
                meshes.map((mesh, rank) => inPlace(mesh, endpoints[rank]!, shape, pad, WHOLE_INPUTS, rowsOf, step)),
              );
            });
            const [expected, got] = await Promise.all(runs);
            for (const [rank, { received, y }] of got!.entries()) {
              expect(bits(received)).to.deep.equal(bits(expected![rank]!.received));
              expect(bits(y)).to.deep.equal(bits(expected![rank]!.y));
            }
          });
        }
      });
    }
  }

  it('does so between nodes, with the sums of the flat route', async () => {
    for (const reduce of REDUCES) {
      const shape = { ...SHAPE, ranksPerNode: 2 };
      await withMeshes(createLocalMeshes(4, { microBatches: 2 }), async (meshes) => {
        const topology = { ranksPerNode: 2, route: 'hierarchical' } as const;
        const endpoints = endpointsWith(meshes, shape, { reduce, topology });
        const got = await Promise.all(meshes.map((mesh, rank) => inPlace(mesh, endpoints[rank]!, shape, 6)));
        for (const [rank, { received, y }] of got.entries()) {
          expect([...received]).to.deep.equal(refDispatch(INPUTS, shape, rank).flatMap((row) => row.x));
          expect(bits(y)).to.deep.equal(bits(refCombine(reduce, INPUTS[rank]!, shape)));
        }
      });
    }
  });

  // Many rows go from rank 0 to rank 1, which has few for rank 0, and the other way home.
  const crowded = [4000, 3].map((count, rank) => ({
    x: new Float32Array(count * 1024).map((_, i) => ((i * 7919) % 65_521) / 65_521 - 0.5),
    topkIdx: new Int32Array(count).fill(1 - rank),
    topkWeights: new Float32Array(count).fill(1),
  }));
  for (const dtype of WIRE_DTYPES) {
    it(`lets x and the experts' rows change when the result is there, though not all of them has left: ${dtype}`, async () => {
      const shape = { size: 2, hidden: 1024, numTopk: 1, slotsPerRank: 1, wire: { dispatch: dtype, combine: dtype } };
      await withMeshes(await openWsMeshes(2), async (meshes) => {
        const endpoints = endpointsOf(meshes, shape, 'rank');
        const sums = await Promise.all(
          endpoints.map(async (endpoint, rank) => {
            const { x, ...routing } = crowded[rank]!;
            const rows = rank === 0 ? x.slice() : floatRows(x.slice(), 1024);
            const recv = await endpoint.dispatch({ x: rows, ...routing, tag: tagOf() });
            const got = new Float32Array(recv.numRecvTokens * 1024);
            recv.copyRowsTo(floatRows(got, 1024));
            recv.release();
            (rows instanceof Float32Array ? rows : rows.view()).fill(NaN);
            const y = new MovingRows(x.length / 1024, 1024);
            await endpoint.startCombine(floatRows(got, 1024), recv.handle, y).hook();
            got.fill(NaN);
            return y.values();
          }),
        );
        for (const [rank, y] of sums.entries()) {
          const twice = travelled(dtype, travelled(dtype, crowded[rank]!.x));
          expect(Buffer.compare(Buffer.from(y.buffer), Buffer.from(twice.buffer)), `rank ${rank}`).to.equal(0);
        }
      });
    });
  }

  describe('when a call fails while rows are leaving', () => {
    const shape = { size: 3, hidden: 1024, numTopk: 1, slotsPerRank: 1 };
    const numRows = 6000;
    const routing = { topkIdx: new Int32Array(numRows).fill(1), topkWeights: new Float32Array(numRows) };

    /** What rank 1 gets of a dispatch of ones. */
    async function expectOnes(mesh: Mesh, step: number): Promise<void> {
      const key = { phase: 'dispatch', ...tagOf(step) } as const;
      const { payload } = await mesh.receive(asRank(0), key, { timeoutMs: 20_000 });
      const rows = new Float32Array(payload.buffer, payload.byteOffset + 4 * numRows, numRows * shape.hidden);
      expect(rows.findIndex((value) => value !== 1)).to.equal(-1);
    }

    it('at its start, x may change, and its rows go as they were', async () => {
      await withMeshes(await openWsMeshes(3), async (meshes) => {
        const [endpoint] = endpointsOf(meshes, shape, 'rank');
        await meshes[2]!.close();
        await meshes[0]!.closed;
        const x = new Float32Array(numRows * shape.hidden).fill(1);
        thrown(() => endpoint!.startDispatch({ x, ...routing, tag: tagOf() }), 'PEER_LOST', { rank: asRank(2) });
        x.fill(2);
        await expectOnes(meshes[1]!, 0);
      });
    });

    it('in its hook, so may that of calls whose hooks are never called', async () => {
      await withMeshes(await openWsMeshes(3, { microBatches: 3 }), async (meshes) => {
        const [endpoint] = endpointsOf(meshes, shape, 'rank');
        const x = new Float32Array(numRows * shape.hidden).fill(1);
        const controller = new AbortController();
        const { signal } = controller;
        const first = endpoint!.startDispatch({ x, ...routing, tag: tagOf(0), signal });
        endpoint!.startDispatch({ x, ...routing, tag: tagOf(1), signal });
        controller.abort();
        await rejection(first.hook(), 'ABORTED');
        x.fill(2);
        for (const step of [0, 1]) await expectOnes(meshes[1]!, step);
      });
    });
  });

  for (const { what, pad, isSent } of [
    { what: 'one behind the other', pad: 0, isSent: () => true },
    { what: 'scattered', pad: 0, isSent: (row: number) => row % 3 !== 1 },
    { what: 'in few runs', pad: 0, isSent: (row: number) => row % 500 < 400 },
    { what: 'apart', pad: 6, isSent: () => true },
  ]) {
    it(`brings many rows that lie ${what} as they are, and their routing`, async () => {
      const shape = { size: 2, hidden: 1024, numTopk: 2, slotsPerRank: 2 };
      const numRows = 1200;
      const values = Float32Array.from({ length: numRows * 1024 }, (_, i) => ((i * 7919) % 65_521) - 32_000);
      const x = new MovingRows(numRows, 1024, 1024 + pad).set(values);
      const sent = Array.from({ length: numRows }, (_, row) => row).filter(isSent);
      const topkIdx = Int32Array.from({ length: 2 * numRows }, (_, i) =>
        isSent(Math.floor(i / 2)) ? 2 + (i % 2) : (i % 2) - 1,
      );
      const topkWeights = Float32Array.from(topkIdx, (_, i) => i / 7);
      await withMeshes(await openWsMeshes(2), async (meshes) => {
        const [from, to] = endpointsOf(meshes, shape, 'rank');
        const none = { x: new Float32Array(0), topkIdx: new Int32Array(0), topkWeights: new Float32Array(0) };
        const [, recv] = await Promise.all([
          from!.dispatch({ x, isLent: true, topkIdx, topkWeights, tag: tagOf() }),
          to!.dispatch({ ...none, tag: tagOf() }),
        ]);
        const expected = new Float32Array(sent.length * 1024);
        for (const [n, row] of sent.entries()) expected.set(values.subarray(row * 1024, (row + 1) * 1024), n * 1024);
        expect(recv.recvX.length).to.equal(expected.length);
        expect(recv.recvX.findIndex((value, i) => value !== expected[i])).to.equal(-1);
        expect([...recv.recvTopkIdx]).to.deep.equal(sent.flatMap(() => [0, 1]));
        const weights = sent.flatMap((row) => [topkWeights[2 * row]!, topkWeights[2 * row + 1]!]);
        expect([...recv.recvTopkWeights]).to.deep.equal(weights);
      });
    });
  }

  it('refuses rows of another width, too few of them, and rows that were released, and names both numbers', async () => {
    await withMeshes(createLocalMeshes(1), async (meshes) => {
      const shape = { size: 1, hidden: 4, numTopk: 1, slotsPerRank: 1 };
      const [endpoint] = endpointsOf(meshes, shape, 'rank');
      const routing = { topkIdx: new Int32Array(2), topkWeights: new Float32Array(2).fill(1), tag: tagOf() };
      const rowsOf = (numRows: number, hidden = 4): FloatRows => new MovingRows(numRows, hidden);
      thrown(() => endpoint!.startDispatch({ ...routing, x: rowsOf(2, 3) }), 'INVALID_ARGUMENT');
      thrown(() => endpoint!.startDispatch({ ...routing, x: rowsOf(3) }), 'INVALID_ARGUMENT');
      const recv = await endpoint!.dispatch({ ...routing, x: new MovingRows(2, 4, 5).set([1, 2, 3, 4, 5, 6, 7, 8]) });
      const { handle } = recv;
      expect(thrown(() => recv.copyRowsTo(rowsOf(1)), 'INVALID_ARGUMENT').message).to.match(/has 1 rows.*room for 2/);
      thrown(() => endpoint!.startCombine(rowsOf(1), handle), 'INVALID_ARGUMENT');
      thrown(() => endpoint!.startCombine(rowsOf(2), handle, rowsOf(1)), 'INVALID_ARGUMENT');
      thrown(() => endpoint!.startDispatch({ x: rowsOf(3), handle, tag: tagOf(1) }), 'INVALID_ARGUMENT');
      recv.release();
      thrown(() => recv.copyRowsTo(rowsOf(2)), 'INVALID_ARGUMENT');
    });
  });
});
