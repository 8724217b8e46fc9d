import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'chai';
import { asRank, createLocalMeshes } from '../../../../comm/index.js';
import { endpointsOf, roundTripOf, runExperts, tagOf, withMeshes } from '../../../kit/comm/all_to_all.js';
import { rejection, thrown } from '../../../kit/errors.js';
import { openWsMeshes } from '../../../kit/comm/ws_meshes.js';
import { refWithout, type RefInput } from '../../../refs/all_to_all_ref.js';
import { REDUCES, inputsOf, expectReceived, expectSums, degradedOf } from '../../../kit/comm/exact_all_to_all.js';

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
