import { expect } from 'chai';
import { asRank, createLocalMeshes } from '../../../../comm/index.js';
import { endpointsOf, runExperts, tagOf, withMeshes } from '../../../kit/comm/all_to_all.js';
import { thrown } from '../../../kit/errors.js';
import { openWsMeshes } from '../../../kit/comm/ws_meshes.js';
import { REDUCES, inputsOf, expectReceived, expectSums } from '../../../kit/comm/exact_all_to_all.js';

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
          for (let round = 0; round < 15; round++) {
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
