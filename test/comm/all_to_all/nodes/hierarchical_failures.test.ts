import { expect } from 'chai';
import { asRank } from '../../../../comm/index.js';
import { endpointsWith, roundTripOf, runExperts, tagOf } from '../../../kit/comm/all_to_all.js';
import { bits, expectedOutput, optionsOf, randomInputs, withMeshes } from '../../../kit/comm/nodes.js';
import { rejection } from '../../../kit/errors.js';

describe('hierarchical failures', () => {
  const shape = { size: 6, hidden: 4, numTopk: 2, slotsPerRank: 2 };
  const one = { shape, ranksPerNode: 2, reduce: 'rank' } as const;
  const inputs = randomInputs([4, 4, 4, 4, 4, 4], shape, 8);

  // Rank 5 exchanges frames with 4 on its node and with 1 and 3; 0 and 2 hear of it from their relays.
  const whoSees = (rank: number): 'PEER_LOST' | 'PEER_FAILED' => ([0, 2].includes(rank) ? 'PEER_FAILED' : 'PEER_LOST');

  it('reach every rank at once when one is lost before dispatch, by its name', async () => {
    await withMeshes(6, async (meshes) => {
      const endpoints = endpointsWith(meshes, shape, { ...optionsOf(one), timeoutMs: 60_000 });
      await meshes[5]!.close();
      await Promise.all(
        [0, 1, 2, 3, 4].map(async (rank) => {
          const call = endpoints[rank]!.dispatch({ ...inputs[rank]!, tag: tagOf(1, 4) });
          const error = await rejection(call, whoSees(rank), { rank: asRank(5), layer: 4 });
          expect(error.phase).to.match(/^dispatch/);
          expect(error.blames).to.deep.equal([5]);
        }),
      );
    });
  });

  it('reach every rank at once when one is lost before combine, by its name', async () => {
    await withMeshes(6, async (meshes) => {
      const endpoints = endpointsWith(meshes, shape, { ...optionsOf(one), timeoutMs: 60_000 });
      const received = await Promise.all(
        endpoints.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag: tagOf(1, 4) })),
      );
      await meshes[5]!.close();
      await Promise.all(
        [0, 1, 2, 3, 4].map(async (rank) => {
          const call = endpoints[rank]!.combine(runExperts(received[rank]!, rank, shape), received[rank]!.handle);
          const error = await rejection(call, whoSees(rank), { rank: asRank(5), layer: 4 });
          expect(error.phase).to.match(/^combine/);
          expect(error.blames).to.deep.equal([5]);
        }),
      );
    });
  });

  it('name a rank that never calls', async () => {
    await withMeshes(4, async (meshes) => {
      const endpoints = endpointsWith(meshes, { ...shape, size: 4 }, { ...optionsOf(one), timeoutMs: 60 });
      const few = randomInputs([1, 1, 1, 1], { ...shape, size: 4 }, 8);
      const calls = [0, 1, 2].map((rank) => endpoints[rank]!.dispatch({ ...few[rank]!, tag: tagOf() }));
      await Promise.all([
        rejection(calls[0]!, 'PEER_FAILED', { rank: asRank(3), phase: 'dispatch' }),
        rejection(calls[1]!, 'TIMEOUT', { rank: asRank(3), phase: 'dispatch_node', waitedMs: 60 }),
        rejection(calls[2]!, 'TIMEOUT', { rank: asRank(3), phase: 'dispatch', waitedMs: 120 }),
      ]);
    });
  });

  it('end by the signal, and the step runs again in a new epoch', async () => {
    await withMeshes(6, async (meshes) => {
      const endpoints = endpointsWith(meshes, shape, { ...optionsOf(one), timeoutMs: 5000 });
      const abort = new AbortController();
      const calls = [0, 1, 2, 3].map((rank) =>
        rejection(endpoints[rank]!.dispatch({ ...inputs[rank]!, tag: tagOf(1, 4), signal: abort.signal }), 'ABORTED'),
      );
      abort.abort();
      await Promise.all(calls);
      for (const mesh of meshes) mesh.advanceEpoch(1);
      const { y } = await roundTripOf(endpoints, shape, inputs, tagOf(1, 4, 1));
      for (const [rank, row] of y.entries()) expect(bits(row)).to.deep.equal(bits(expectedOutput(inputs[rank]!, one)));
    });
  });
});
