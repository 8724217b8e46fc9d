/** A rank falls silent in the middle of a phase, so that some of its peers wait for it and the others for them. */
import { expect } from 'chai';
import { Deadline } from '../../../comm/base/deadline.js';
import type { Phase } from '../../../comm/mesh/frame.js';
import { asRank } from '../../../base/ids.js';
import { createLocalMeshes } from '../../../comm/mesh/local_mesh.js';
import type { Mesh } from '../../../comm/mesh/mesh.js';
import { endpointsOf, randomInput, randomOf, runExperts, tagOf, withMeshes } from '../../kit/comm/all_to_all.js';
import { rejection } from '../../kit/errors.js';
import { FaultyMesh } from '../../kit/comm/faulty_mesh.js';
import { distinctExperts, packedEndpointsOf, runPackedExperts } from '../../kit/comm/low_latency.js';
import type { RefInput } from '../../refs/all_to_all_ref.js';

const TIMEOUT_MS = 800;
const NUM_LAYERS = 3;
const NUM_RANKS = 4;
const DEAD = 3;
const shape = { size: NUM_RANKS, hidden: 4, numTopk: 2, slotsPerRank: 2, maxTokensPerRank: 3 };
const inputs = Array.from({ length: NUM_RANKS }, (_, rank) => {
  const random = randomOf(rank);
  const topkIdx = distinctExperts(random, 3, 2, NUM_RANKS * 2);
  return { ...randomInput(3, shape, random, () => 0), topkIdx };
});

/** By the clock of the timeouts: it stands still where the event loop does. */
const compute = (ms: number): Promise<void> => new Promise((resolve) => new Deadline(ms, resolve));

/** Rank DEAD sends its frame of this phase of layer 0 to `numHeard` peers and nothing more. */
const meshesOf = (phase: Phase, numHeard: number): Mesh[] =>
  createLocalMeshes(NUM_RANKS).map((mesh, rank) => {
    const faulty: FaultyMesh = new FaultyMesh(mesh, (at) => {
      if (rank === DEAD && at.layer === 0 && at.phase === phase && at.numSent === numHeard) faulty.isSilent = true;
    });
    return faulty;
  });

type Layer = (rank: number, input: RefInput, layer: number, computeMs: number) => Promise<unknown>;

const modes: [string, (meshes: readonly Mesh[]) => { layer: Layer; masks: () => (readonly number[])[] }][] = [
  [
    'normal',
    (meshes) => {
      const endpoints = endpointsOf(meshes, shape, 'rank', TIMEOUT_MS, { onPeerLoss: 'mask' });
      return {
        layer: async (rank, input, layer, computeMs) => {
          const recv = await endpoints[rank]!.dispatch({ ...input, tag: tagOf(0, layer) });
          await compute(computeMs);
          return endpoints[rank]!.combine(runExperts(recv, rank, shape), recv.handle);
        },
        masks: () => endpoints.map((ep) => ep.maskedRanks()),
      };
    },
  ],
  [
    'low-latency',
    (meshes) => {
      const endpoints = packedEndpointsOf(meshes, shape, { onPeerLoss: 'mask', timeoutMs: TIMEOUT_MS });
      return {
        layer: async (rank, input, layer, computeMs) => {
          const recv = await endpoints[rank]!.dispatch({ ...input, tag: tagOf(0, layer) });
          await compute(computeMs);
          return endpoints[rank]!.combine(runPackedExperts(recv, rank, shape), recv.handle, input.topkWeights);
        },
        masks: () => endpoints.map((ep) => ep.maskedRanks()),
      };
    },
  ],
];

describe('ranks that go on without a silent one', function () {
  this.timeout(30_000);
  for (const [name, modeOf] of modes) {
    it(`keep each other, whoever of them heard it last and whoever computes longer: ${name}`, async () => {
      const stories = (['dispatch', 'combine'] as const).flatMap((phase) =>
        [1, 2].flatMap((numHeard) => [0, 1, 2].map((slow) => ({ phase, numHeard, slow }))),
      );
      await Promise.all(
        stories.map(({ phase, numHeard, slow }) =>
          withMeshes(meshesOf(phase, numHeard), async (meshes) => {
            const { layer, masks } = modeOf(meshes);
            const run = async (rank: number): Promise<void> => {
              const computeMs = rank === slow ? TIMEOUT_MS / 5 : 1;
              for (let i = 0; i < NUM_LAYERS; i++) await layer(rank, inputs[rank]!, i, computeMs);
            };
            const dead = layer(DEAD, inputs[DEAD]!, 0, 1).catch(() => undefined); // it lives, and hears nobody
            await Promise.all([0, 1, 2].map(run));
            expect(masks().slice(0, DEAD), JSON.stringify({ phase, numHeard, slow })).to.deep.equal([
              [DEAD],
              [DEAD],
              [DEAD],
            ]);
            await meshes[DEAD]!.close();
            await dead;
          }),
        ),
      );
    });
  }

  it('are left alone by an epoch that ends the call: it rejects, and nobody is masked', async () => {
    await withMeshes(createLocalMeshes(NUM_RANKS), async (meshes) => {
      const [ep] = endpointsOf(meshes, shape, 'rank', TIMEOUT_MS, { onPeerLoss: 'mask' });
      const call = rejection(ep!.dispatch({ ...inputs[0]!, tag: tagOf(0, 0) }), 'ABORTED');
      await compute(1.3 * TIMEOUT_MS);
      meshes[0]!.advanceEpoch(1);
      await call;
      expect(ep!.maskedRanks()).to.deep.equal([]);
    });
  });

  it('wait for each other, also after one of those that were silent was given up', async () => {
    await Promise.all(
      [0.5, 1.3].map((share) =>
        withMeshes(createLocalMeshes(NUM_RANKS), async (meshes) => {
          const endpoints = endpointsOf(meshes, shape, 'rank', TIMEOUT_MS, { onPeerLoss: 'mask' });
          const call = (rank: number) => endpoints[rank]!.dispatch({ ...inputs[rank]!, tag: tagOf(0, 0) });
          const first = call(0);
          await compute(share * TIMEOUT_MS);
          await meshes[DEAD]!.close();
          await compute(TIMEOUT_MS * (share < 1 ? 0.6 : 0.1)); // into the grace
          const second = call(1);
          await compute(TIMEOUT_MS / 20);
          await Promise.all([first, second, call(2)]);
          expect(endpoints.slice(0, DEAD).map((ep) => ep.maskedRanks())).to.deep.equal([[DEAD], [DEAD], [DEAD]]);
        }),
      ),
    );
  });

  it('wait for a relay that waited for several: hierarchical', async () => {
    await withMeshes(createLocalMeshes(6), async (meshes) => {
      const nodes = { size: 6, hidden: 4, numTopk: 1, slotsPerRank: 1 };
      const topology = { ranksPerNode: 2, route: 'hierarchical' } as const;
      const endpoints = endpointsOf(meshes, nodes, 'rank', TIMEOUT_MS, { onPeerLoss: 'mask', topology });
      const silent = [2, 4]; // rank 0 waits for both, rank 1 for rank 0
      const input = randomInput(2, nodes, randomOf(1), () => 0);
      await Promise.all([0, 1].map((rank) => endpoints[rank]!.dispatch({ ...input, tag: tagOf(0, 0) })));
      expect([0, 1].map((rank) => endpoints[rank]!.maskedRanks().includes(asRank(1 - rank)))).to.deep.equal([
        false,
        false,
      ]);
      expect(endpoints[0]!.maskedRanks()).to.include.members(silent);
    });
  });
});
