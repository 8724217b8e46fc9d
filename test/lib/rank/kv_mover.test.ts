import { expect } from 'chai';
import { asRank } from '../../../base/ids.js';
import { CommError } from '../../../comm/base/errors.js';
import { createLocalMeshes } from '../../../comm/mesh/local_mesh.js';
import type { Mesh } from '../../../comm/mesh/mesh.js';
import { ExpertError } from '../../../compute/base/errors.js';
import { KvMover, type KvMoving } from '../../../lib/rank/kv_mover.js';
import type { KvPiece, KvTransfer } from '../../../lib/protocol/kv_transfer.js';
import { errorOf } from '../../kit/rejects.js';

type Bytes = Uint8Array<ArrayBuffer>;

/** Blocks of bytes, as many as there is room for. */
class PlainCache {
  readonly blocks = new Map<number, Bytes>();
  room = Infinity;

  read(block: number): Promise<Bytes> {
    const bytes = this.blocks.get(block);
    return bytes === undefined ? Promise.reject(new Error('nothing to read')) : Promise.resolve(bytes.slice());
  }

  write(block: number, bytes: Uint8Array): void {
    if (this.blocks.size >= this.room) throw new ExpertError('OUT_OF_MEMORY', 'no room for a block');
    this.blocks.set(block, new Uint8Array(bytes));
  }
}

const bytesFrom = (first: number, count: number): Bytes => Uint8Array.from({ length: count }, (_, i) => first + i);

const whole = (source: number, target: number, numBytes: number): KvPiece => ({
  ...{ source, target, start: 0, end: numBytes, numBytes },
});

describe('blocks that move from rank to rank', () => {
  let meshes: Mesh[];
  let caches: PlainCache[];
  let movers: KvMover[];
  let step: number;

  beforeEach(() => {
    step = 0;
    meshes = createLocalMeshes(3);
    caches = meshes.map(() => new PlainCache());
    movers = meshes.map((mesh, rank) => new KvMover({ cache: caches[rank]!, mesh, timeoutMs: 5000 }));
  });
  afterEach(async () => {
    await Promise.all(meshes.map((mesh) => mesh.close()));
  });

  const begin = (transfers: readonly KvTransfer[]): KvMoving[] => {
    step++;
    return movers.map((mover, rank) => {
      const kv = transfers.filter(({ from, to }) => from === rank || to === rank);
      return mover.begin(kv.length === 0 ? { step, epoch: 0 } : { step, epoch: 0, kv });
    });
  };
  const reportsOf = (transfers: readonly KvTransfer[]) => Promise.all(begin(transfers).map((moving) => moving.end()));

  it('are the same bytes there, several to several ranks in one step; who takes no part says nothing', async () => {
    for (const block of [4, 5, 6]) caches[0]!.blocks.set(block, bytesFrom(block, 10));
    caches[1]!.blocks.set(9, bytesFrom(90, 10));
    const reports = await reportsOf([
      { from: 0, to: 1, pieces: [whole(4, 1, 10), whole(6, 2, 10)] },
      { from: 1, to: 0, pieces: [whole(9, 3, 10)] },
    ]);
    expect(caches[1]!.blocks.get(1)).to.deep.equal(bytesFrom(4, 10));
    expect(caches[1]!.blocks.get(2)).to.deep.equal(bytesFrom(6, 10));
    expect(caches[0]!.blocks.get(3)).to.deep.equal(bytesFrom(90, 10));
    expect(reports.map((report) => report?.receivedBytes)).to.deep.equal([10, 20, undefined]);
    expect(reports.slice(0, 2).map((report) => report!.failed)).to.deep.equal([[], []]);
    for (const report of reports.slice(0, 2)) expect(report!.stallMs).to.be.at.least(0);
  });

  it('in pieces over several steps are what they were at the first, whatever befalls them here meanwhile', async () => {
    const before = bytesFrom(1, 10);
    caches[0]!.blocks.set(4, before.slice());
    const piece = (start: number, end: number): KvTransfer[] => [
      { from: 0, to: 1, pieces: [{ source: 4, target: 7, start, end, numBytes: 10 }] },
    ];
    await reportsOf(piece(0, 4));
    caches[0]!.blocks.set(4, bytesFrom(50, 10));
    await reportsOf(piece(4, 9));
    expect(caches[1]!.blocks.has(7), 'not before it is whole').to.equal(false);
    await reportsOf(piece(9, 10));
    expect(caches[1]!.blocks.get(7)).to.deep.equal(before);
  });

  it('are read before the step changes them, and written when it is over', async () => {
    caches[0]!.blocks.set(4, bytesFrom(1, 10));
    const moving = begin([{ from: 0, to: 1, pieces: [whole(4, 7, 10)] }]);
    caches[0]!.blocks.set(4, bytesFrom(50, 10));
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    expect(caches[1]!.blocks.has(7)).to.equal(false);
    await Promise.all(moving.map((each) => each.end()));
    expect(caches[1]!.blocks.get(7)).to.deep.equal(bytesFrom(1, 10));
  });

  it('that can’t be read, or find no room, fail where they should come, and nobody waits', async () => {
    caches[0]!.blocks.set(4, bytesFrom(1, 10));
    caches[2]!.blocks.set(8, bytesFrom(80, 10));
    caches[1]!.room = 0;
    const reports = await reportsOf([
      { from: 0, to: 2, pieces: [whole(4, 1, 10), whole(5, 2, 10)] },
      { from: 2, to: 1, pieces: [whole(8, 3, 10)] },
    ]);
    const failures = reports.map((report) => report!.failed.map(({ from, error }) => [from, error.code]));
    expect(failures).to.deep.equal([[], [[2, 'OUT_OF_MEMORY']], [[0, 'PEER_FAILED']]]);
    expect(reports[2]!.failed[0]!.error.reason).to.contain('rank 0 could not send blocks');
    expect(caches[2]!.blocks.has(1), 'nothing of it').to.equal(false);
  });

  it('of which a piece is missing are none', async () => {
    caches[0]!.blocks.set(4, bytesFrom(1, 10));
    const rest = { source: 4, target: 7, start: 5, end: 10, numBytes: 10 };
    await reportsOf([{ from: 0, to: 1, pieces: [{ ...rest, start: 0, end: 5 }] }]);
    movers[1]!.forget([7]);
    const [, report] = await reportsOf([{ from: 0, to: 1, pieces: [rest] }]);
    expect(report!.failed.map(({ error }) => error.code)).to.deep.equal(['INTERNAL']);
    await reportsOf([{ from: 0, to: 1, pieces: [{ ...rest, start: 0, end: 5 }] }]);
    for (const mover of movers) mover.drop();
    caches[0]!.blocks.set(4, bytesFrom(30, 10));
    await reportsOf([{ from: 0, to: 1, pieces: [whole(4, 7, 10)] }]);
    expect(caches[1]!.blocks.get(7), 'begun anew').to.deep.equal(bytesFrom(30, 10));
  });

  it('of a rank that is lost fail the step, with who it was; one that failed waits for nothing', async () => {
    caches[0]!.blocks.set(4, bytesFrom(1, 10));
    step++;
    const kv: KvTransfer[] = [{ from: 2, to: 0, pieces: [whole(1, 1, 10)] }];
    const [waiting, failing] = [movers[0]!.begin({ step, epoch: 0, kv }), movers[0]!.begin({ step: 9, epoch: 0, kv })];
    failing.abort();
    expect((await errorOf(CommError, () => failing.end())).code).to.equal('ABORTED');
    void meshes[2]!.close();
    const error = await errorOf(CommError, () => waiting.end());
    expect(error).to.include({ code: 'PEER_LOST', rank: asRank(2), phase: 'kv' });
  });
});
