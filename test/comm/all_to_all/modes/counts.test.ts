import { setImmediate as nextTurn, setTimeout as after } from 'node:timers/promises';
import { expect } from 'chai';
import {
  combineBytes,
  createLocalMeshes,
  dispatchBytes,
  sumOverLayers,
  trafficMatrices,
  WIRE_DTYPES,
  wireRowBytes,
  type Span,
} from '../../../../comm/index.js';
import { endpointsOf, roundTripOf, runExperts, tagOf, withMeshes } from '../../../kit/comm/all_to_all.js';
import { REDUCES, inputsOf, countsOf } from '../../../kit/comm/exact_all_to_all.js';

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
