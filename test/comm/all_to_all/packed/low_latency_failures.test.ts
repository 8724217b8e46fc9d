import { expect } from 'chai';
import { asRank, createLocalMeshes } from '../../../../comm/index.js';
import { bits, randomOf, tagOf, withMeshes } from '../../../kit/comm/all_to_all.js';
import { rejection } from '../../../kit/errors.js';
import { packedEndpointsOf, packedRoundTrip, runPackedExperts } from '../../../kit/comm/low_latency.js';
import { refCombineSource, refWithout } from '../../../refs/all_to_all_ref.js';
import { inputOf, expectReceived } from '../../../kit/comm/exact_low_latency.js';

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
