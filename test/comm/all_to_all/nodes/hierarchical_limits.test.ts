import { expect } from 'chai';
import { asRank, createLocalMeshes, type Mesh } from '../../../../comm/index.js';
import { endpointsWith, tagOf } from '../../../kit/comm/all_to_all.js';
import { optionsOf, withMeshes } from '../../../kit/comm/nodes.js';
import { rejection, thrown } from '../../../kit/errors.js';
import type { RefInput } from '../../../refs/all_to_all_ref.js';

describe('hierarchical limits', () => {
  const shape = { size: 4, hidden: 4, numTopk: 1, slotsPerRank: 1 };
  const one = { shape, ranksPerNode: 2, reduce: 'rank' } as const;
  const rowBytes = 4 * 4 + 6;
  const tokensFor = (...experts: number[]): RefInput => ({
    x: new Float32Array(experts.length * 4),
    topkIdx: Int32Array.from(experts),
    topkWeights: new Float32Array(experts.length),
  });

  function withLimit<T>(maxFrameBytes: number, body: (meshes: readonly Mesh[]) => Promise<T>): Promise<T> {
    return withMeshes(createLocalMeshes(4, { maxFrameBytes }), body);
  }

  it('are kept before anything is sent where the source knows them', async () => {
    await withLimit(40 + 2 * rowBytes, async (meshes) => {
      const [ep] = endpointsWith(meshes, shape, optionsOf(one));
      const where = { rank: asRank(2), layer: 0, phase: 'dispatch_node' };
      await rejection(ep!.dispatch({ ...tokensFor(2, 3, 2), tag: tagOf() }), 'LIMIT', where);
      expect(meshes[0]!.stats().framesSent).to.deep.equal([0, 0, 0, 0]);
    });
  });

  it('are kept by the relay, and the ranks that wait for it are told', async () => {
    await withLimit(40 + 8 + 2 * rowBytes, async (meshes) => {
      const endpoints = endpointsWith(meshes, shape, { ...optionsOf(one), timeoutMs: 60_000 });
      // Ranks 0 and 2 have two tokens each for rank 3: relay 2 would forward four.
      const inputs = [tokensFor(3, 3), tokensFor(), tokensFor(3, 3), tokensFor()];
      const calls = endpoints.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag: tagOf() }));
      await Promise.all([
        rejection(calls[2]!, 'LIMIT', { rank: asRank(3), phase: 'dispatch' }),
        rejection(calls[3]!, 'PEER_FAILED', { rank: asRank(2), phase: 'dispatch' }),
        calls[0],
        calls[1],
      ]);
    });
  });

  it('of the way back are kept before anything is sent', async () => {
    const wire = { dispatch: 'bf16', combine: 'f32' } as const;
    await withLimit(40 + 8 + 5 * (4 * 2 + 6), async (meshes) => {
      const endpoints = endpointsWith(meshes, shape, { ...optionsOf({ ...one, wire }), timeoutMs: 5000 });
      const inputs = [tokensFor(2, 2, 2, 2, 2), tokensFor(), tokensFor(), tokensFor()];
      const received = await Promise.all(endpoints.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag: tagOf() })));
      const sent = meshes[2]!.stats().framesSent;
      const where = { rank: asRank(0), phase: 'combine_node' };
      thrown(() => endpoints[2]!.startCombine(new Float32Array(20), received[2]!.handle), 'LIMIT', where);
      expect(meshes[2]!.stats().framesSent).to.deep.equal(sent);
    });
  });

  it('of a node’s slots are those of 16 bits', async () => {
    await withMeshes(4, async (meshes) => {
      const many = { ...shape, slotsPerRank: 20_000 };
      thrown(() => endpointsWith(meshes, many, optionsOf(one)), 'INVALID_ARGUMENT');
      thrown(() => endpointsWith(meshes, shape, optionsOf({ ...one, ranksPerNode: 3 })), 'INVALID_ARGUMENT');
      endpointsWith(meshes, many, optionsOf(one, 'flat'));
      return Promise.resolve();
    });
  });
});
