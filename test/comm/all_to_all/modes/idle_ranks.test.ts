import { expect } from 'chai';
import { asRank, type Rank } from '../../../../base/ids.js';
import { createAllToAll, type AllToAll, type Reduce } from '../../../../comm/all_to_all/all_to_all.js';
import { createLocalMeshes } from '../../../../comm/mesh/local_mesh.js';
import { rejection, thrown } from '../../../kit/errors.js';
import { isSameBits, randomFrom, randomValues } from '../../../refs/random.js';

const HIDDEN = 6;
const NUM_TOPK = 2;
const SLOTS = 2;
const NUM_RANKS = 4;
/** By rank: how many tokens it has. */
const TOKENS = [3, 0, 2, 0];
const IDLE: ReadonlySet<Rank> = new Set([asRank(1), asRank(3)]);

/** Each rank's y, and what it sent: the experts double their rows. */
async function exchanged(
  endpoints: readonly AllToAll[],
  reduce: Reduce,
  idle: ReadonlySet<Rank> | undefined,
): Promise<Float32Array[]> {
  return Promise.all(
    endpoints.map(async (ep, rank) => {
      const random = randomFrom(rank);
      const numTokens = TOKENS[rank]!;
      const x = randomValues(random, numTokens * HIDDEN);
      const topkIdx = Int32Array.from({ length: numTokens * NUM_TOPK }, (_, i) => (3 * i + rank) % (SLOTS * NUM_RANKS));
      const topkWeights = randomValues(random, topkIdx.length);
      const tag = { step: 1, layer: 0, microBatch: 0, epoch: 0 };
      const recv = await ep.dispatch({ x, topkIdx, topkWeights, tag, idle });
      const rows: number[] = [];
      for (let n = 0; n < recv.numRecvTokens; n++) {
        const row = recv.recvX.subarray(n * HIDDEN, (n + 1) * HIDDEN).map((value) => 2 * value);
        const choices = recv.recvTopkIdx.subarray(n * NUM_TOPK, (n + 1) * NUM_TOPK).filter((slot) => slot >= 0);
        for (let i = 0; i < (reduce === 'rank' ? 1 : choices.length); i++) rows.push(...row);
      }
      return ep.combine(Float32Array.from(rows), recv.handle);
    }),
  );
}

const SHAPE = { hidden: HIDDEN, numTopk: NUM_TOPK, slotsPerRank: SLOTS };

describe('ranks that are known to be idle', () => {
  for (const reduce of ['rank', 'source'] as const)
    it(`send no dispatch and wait for no combine, and the bits are the same (reduce ${reduce})`, async () => {
      const results: Float32Array[][] = [];
      const frames: number[] = [];
      for (const idle of [undefined, IDLE]) {
        const meshes = createLocalMeshes(NUM_RANKS);
        const endpoints = meshes.map((mesh) => createAllToAll(mesh, { ...SHAPE, reduce }));
        results.push(await exchanged(endpoints, reduce, idle));
        frames.push(meshes.reduce((sum, mesh) => sum + mesh.stats().framesSent.reduce((a, b) => a + b, 0), 0));
        await Promise.all(meshes.map((mesh) => mesh.close()));
      }
      const [plain, known] = results;
      known!.forEach((y, rank) => expect(isSameBits(y, plain![rank]!), `rank ${rank}`).to.equal(true));
      // Both ways between all pairs; with idle ranks, to and from the two that have tokens.
      expect(frames).to.deep.equal([2 * NUM_RANKS * (NUM_RANKS - 1), 2 * 2 * (NUM_RANKS - 1)]);
    });

  it('send and wait as all others where losses are masked, so that all judge who is silent in the same layer', async () => {
    const meshes = createLocalMeshes(NUM_RANKS);
    const endpoints = meshes.map((mesh) => createAllToAll(mesh, { ...SHAPE, onPeerLoss: 'mask' }));
    await exchanged(endpoints, 'rank', IDLE);
    const frames = meshes.map((mesh) => mesh.stats().framesSent.reduce((a, b) => a + b, 0));
    expect(frames).to.deep.equal(new Array(NUM_RANKS).fill(2 * (NUM_RANKS - 1)));
    await Promise.all(meshes.map((mesh) => mesh.close()));
  });

  it('wait two deadlines for rows: who has them may still wait for those of the layer before', async () => {
    const meshes = createLocalMeshes(2);
    const endpoints = meshes.map((mesh) => createAllToAll(mesh, { ...SHAPE, timeoutMs: 50 }));
    const tag = { step: 1, layer: 1, microBatch: 0, epoch: 0 };
    const none = { x: new Float32Array(0), topkIdx: new Int32Array(0), topkWeights: new Float32Array(0), tag };
    const waits = [];
    for (const idle of [undefined, new Set([asRank(1)])]) {
      const waiting = endpoints[1]!.dispatch({ ...none, tag: { ...tag, step: waits.length }, idle });
      waits.push((await rejection(waiting, 'TIMEOUT', { rank: asRank(0), layer: 1, phase: 'dispatch' })).waitedMs);
    }
    expect(waits).to.deep.equal([50, 100]);
    await Promise.all(meshes.map((mesh) => mesh.close()));
  });

  it('must have no tokens', async () => {
    const meshes = createLocalMeshes(2);
    const ep = createAllToAll(meshes[0]!, SHAPE);
    const topkIdx = Int32Array.of(0, 1);
    const tag = { step: 1, layer: 0, microBatch: 0, epoch: 0 };
    const request = { x: new Float32Array(HIDDEN), topkIdx, topkWeights: new Float32Array(NUM_TOPK), tag };
    thrown(() => ep.startDispatch({ ...request, idle: new Set([asRank(0)]) }), 'INVALID_ARGUMENT');
    await Promise.all(meshes.map((mesh) => mesh.close()));
  });

  it('that are lost are missed where their rows should come home', async () => {
    const meshes = createLocalMeshes(2);
    const ep = createAllToAll(meshes[0]!, { ...SHAPE, timeoutMs: 60_000 });
    const tag = { step: 1, layer: 5, microBatch: 0, epoch: 0 };
    const x = new Float32Array(HIDDEN);
    const request = { x, topkIdx: Int32Array.of(0, 2), topkWeights: new Float32Array(NUM_TOPK), tag };
    const recv = await ep.dispatch({ ...request, idle: new Set([asRank(1)]) });
    const home = ep.combine(x, recv.handle);
    await meshes[1]!.close();
    await rejection(home, 'PEER_LOST', { rank: asRank(1), layer: 5, phase: 'combine' });
    await meshes[0]!.close();
  });
});
