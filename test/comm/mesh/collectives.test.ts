import { expect } from 'chai';
import { asRank, createCollectives, createLocalMeshes, type Collectives, type Mesh } from '../../../comm/index.js';
import { rejection } from '../../kit/errors.js';
import { openWsMeshes } from '../../kit/comm/ws_meshes.js';

describe('collectives', () => {
  let meshes: Mesh[] = [];
  const start = (size: number, timeoutMs = 5000): Collectives[] => {
    meshes = createLocalMeshes(size);
    return meshes.map((mesh) => createCollectives(mesh, { timeoutMs }));
  };
  afterEach(() => Promise.all(meshes.map((mesh) => mesh.close())));

  for (const size of [1, 2, 5]) {
    it(`a barrier of ${size} ranks returns only after all called it`, async () => {
      const all = start(size);
      let numCalled = 0;
      const calls = all.map(async (one, rank) => {
        for (let turn = 0; turn < rank; turn++) await new Promise((resolve) => setImmediate(resolve));
        numCalled++;
        await one.barrier();
        expect(numCalled).to.equal(size);
      });
      await Promise.all(calls);
    });

    it(`all-gather on ${size} ranks gives every rank's bytes by rank, of any length`, async () => {
      const gathered = await Promise.all(
        start(size).map((one, rank) => one.allGather(new Uint8Array(rank).fill(rank))),
      );
      const expected = Array.from({ length: size }, (_, rank) => new Uint8Array(rank).fill(rank));
      for (const all of gathered) expect(all).to.deep.equal(expected);
    });

    it(`a broadcast on ${size} ranks gives all the root's bytes, call after call`, async () => {
      const all = start(size);
      for (let root = 0; root < size; root++) {
        const bytes = Uint8Array.of(root, 7);
        const got = await Promise.all(
          all.map((one, rank) => one.broadcast(asRank(root), rank === root ? bytes : undefined)),
        );
        for (const each of got) expect([...each]).to.deep.equal([root, 7]);
      }
    });
  }

  it('name a rank that never calls, and one that left', async () => {
    const all = start(3, 60);
    await rejection(all[0]!.barrier(), 'TIMEOUT', { rank: asRank(1), phase: 'barrier' });
    await meshes[2]!.close();
    await rejection(all[0]!.broadcast(asRank(2)), 'PEER_LOST', { rank: asRank(2), phase: 'broadcast' });
  });

  it('neither send to absent ranks nor wait for them, also not to lost ones', async () => {
    meshes = createLocalMeshes(3);
    await meshes[1]!.close();
    const absent = [asRank(1)];
    const left = [meshes[0]!, meshes[2]!].map((mesh) => createCollectives(mesh, { timeoutMs: 5000, epoch: 1, absent }));
    const gathered = await Promise.all(left.map((one, i) => one.allGather(Uint8Array.of(i))));
    const expected = [Uint8Array.of(0), new Uint8Array(0), Uint8Array.of(1)];
    for (const all of gathered) expect(all).to.deep.equal(expected);
  });

  it('refuse a root that is no rank and a root without bytes', async () => {
    const [one] = start(2);
    await rejection(one!.broadcast(asRank(2)), 'INVALID_ARGUMENT');
    await rejection(one!.broadcast(asRank(0)), 'INVALID_ARGUMENT');
  });

  it('send the bytes of the moment of the call, whatever the caller does with its own afterwards', async () => {
    meshes = await openWsMeshes(2);
    const [root, other] = meshes.map((mesh) => createCollectives(mesh, { timeoutMs: 15_000 }));
    for (const call of ['broadcast', 'allGather'] as const) {
      const bytes = new Uint8Array(16 * 1024 * 1024).fill(7);
      const received = call === 'broadcast' ? other!.broadcast(asRank(0)) : other!.allGather(new Uint8Array(0));
      await (call === 'broadcast' ? root!.broadcast(asRank(0), bytes) : root!.allGather(bytes));
      bytes.fill(9);
      const got = await received;
      const theirs = got instanceof Uint8Array ? got : got[0]!;
      expect(Buffer.from(theirs).equals(Buffer.alloc(bytes.length, 7)), call).to.equal(true);
    }
  });
});
