import { expect } from 'chai';
import {
  asRank,
  createAllToAll,
  createLocalMeshes,
  createLowLatencyAllToAll,
  FRAME_FLAGS,
  type FrameHeader,
  type WireDtype,
} from '../../../../comm/index.js';
import { tagOf, withMeshes } from '../../../kit/comm/all_to_all.js';
import { rejection, thrown } from '../../../kit/errors.js';
import { packedEndpointsOf } from '../../../kit/comm/low_latency.js';

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
