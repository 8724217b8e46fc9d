import { expect } from 'chai';
import { asRank, CommError, createCollectives, createLocalMeshes, type Mesh } from '../../../comm/index.js';
import { CountGather } from '../../../experts/placement/count_gather.js';
import { errorOf } from '../../kit/rejects.js';

describe('gathering expert counts', () => {
  let meshes: Mesh[] = [];
  beforeEach(() => {
    meshes = createLocalMeshes(3);
  });
  afterEach(() => Promise.all(meshes.map((mesh) => mesh.close())));

  it('gives every rank the counts of all, call after call', async () => {
    const gathers = meshes.map((mesh) => new CountGather(mesh, 5000));
    for (const layer of [0, 1]) {
      const counts = meshes.map((_, rank) => Int32Array.of(rank, layer, 1000 * rank));
      const all = await Promise.all(gathers.map((one, rank) => one.gather(counts[rank]!)));
      for (const gathered of all) expect(gathered).to.deep.equal(counts);
    }
  });

  it('in a new epoch, whatever round each rank was in, lost ranks are left out and count nothing', async () => {
    const gathers = meshes.map((mesh) => new CountGather(mesh, 5000));
    const abandoned = new AbortController();
    const first = gathers[0]!.gather(Int32Array.of(1), abandoned.signal); // the others never call it
    abandoned.abort();
    await errorOf(Error, () => first);
    await meshes[1]!.close();
    const left = [0, 2].map((rank) => {
      meshes[rank]!.advanceEpoch(1);
      gathers[rank]!.enterEpoch(1, [asRank(1)]);
      return gathers[rank]!.gather(Int32Array.of(10 + rank));
    });
    for (const gathered of await Promise.all(left)) {
      expect(gathered).to.deep.equal([Int32Array.of(10), new Int32Array(0), Int32Array.of(12)]);
    }
  });

  it('names a rank whose counts are of another number of experts', async () => {
    const own = new CountGather(meshes[0]!, 5000).gather(Int32Array.of(1, 2));
    const others = [1, 2].map((rank) => createCollectives(meshes[rank]!).allGather(new Uint8Array(4 * rank)));
    const error = await errorOf(CommError, () => own);
    expect(error).to.include({ code: 'PROTOCOL', rank: 1 });
    expect(error.message).to.contain('rank 1 sent 4 bytes of expert counts, expected 8');
    await Promise.all(others);
  });
});
