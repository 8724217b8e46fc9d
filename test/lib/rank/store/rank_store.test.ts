import { expect } from 'chai';
import { ExpertError } from '../../../../compute/base/errors.js';
import { contentOf, keysOf, PlayedRank } from '../../../kit/store/played_rank.js';
import { PlayedFiles } from '../../../kit/store/played_files.js';
import { keyOf, SIZES } from '../../../kit/store/stored_blocks.js';

const { rowBytes, stateBytes } = SIZES;
const restarted = (files: PlayedFiles, disk = 9): PlayedRank => {
  const rank = new PlayedRank({ disk, files });
  rank.store.begin();
  return rank;
};
describe('the store of a rank', () => {
  for (const [name, tiers] of Object.entries({
    memory: (): PlayedRank => new PlayedRank({ ram: 9 }),
    disk: (): PlayedRank => new PlayedRank({ disk: 9, files: new PlayedFiles() }),
    both: (): PlayedRank => new PlayedRank({ ram: 9, disk: 9, files: new PlayedFiles() }),
  })) {
    it(`gives back what it kept bit by bit, states too: ${name}`, async () => {
      const rank = tiers();
      rank.keep([1, 2, 3], [2]);
      if (name === 'both') rank.obey({ kind: 'demote', keys: keysOf(1, 2) });
      rank.load(4, 1, 2, 3);
      expect(await rank.hears(1)).to.deep.equal([`load 4: 3 blocks, ${3 * rowBytes + stateBytes} bytes`]);
      for (const block of [1, 2, 3]) expect(rank.cache.get(block)).to.deep.equal(contentOf(block, block === 2).bytes);
      expect(await rank.has(1, 2, 3)).to.deep.equal([1, 2, 3]); // a load takes nothing away
      await rank.store.close();
    });
  }

  it('a load ends before the first block that isn’t there, and says which', async () => {
    const files = new PlayedFiles();
    const rank = new PlayedRank({ ram: 9, disk: 9, files });
    rank.keep([1, 2, 3, 4, 5, 6, 7]);
    rank.obey({ kind: 'demote', keys: keysOf(6) });
    await files.holds(1);
    files.there.clear(); // damaged
    rank.load(1, 1, 2, 3, 4, 5, 6, 7);
    rank.load(2, 8);
    const said = await rank.hears(2);
    expect([...said].sort()).to.deep.equal([
      `load 1: 5 blocks, ${5 * rowBytes} bytes, lost 6`,
      'load 2: 0 blocks, 0 bytes, lost 8',
    ]);
    expect([...rank.cache.keys()]).to.deep.equal([1, 2, 3, 4, 5]);
    await rank.store.close();
  });

  it('a load for which the cache has no memory ends there, and nothing is lost', async () => {
    const rank = new PlayedRank({ ram: 9 });
    rank.keep([1]);
    rank.failure = new ExpertError('OUT_OF_MEMORY', 'full; give it more');
    rank.load(1, 1);
    expect(await rank.hears(1)).to.deep.equal(['load 1: 0 blocks, 0 bytes']);
    expect(await rank.has(1)).to.deep.equal([1]);
    await rank.store.close();
  });

  it('writes nothing of a load that was cancelled, whether it had begun or not, and says nothing of it', async () => {
    const files = new PlayedFiles();
    const rank = new PlayedRank({ ram: 9, disk: 9, files });
    rank.keep([1, 2, 3, 4]);
    rank.obey({ kind: 'demote', keys: keysOf(1, 2) });
    await files.holds(2);
    rank.load(1, 3);
    rank.obey({ kind: 'cancel_load', load: 1 });
    files.hold();
    rank.load(2, 1, 2);
    await new Promise(setImmediate); // it reads
    rank.obey({ kind: 'cancel_load', load: 2 });
    files.release();
    rank.load(3, 4);
    expect(await rank.hears(1)).to.deep.equal([`load 3: 1 blocks, ${rowBytes} bytes`]);
    expect([...rank.cache.keys()]).to.deep.equal([4]);
    await rank.store.close();
    expect(rank.said).to.have.length(1);
  });

  it('what the disk is slow to take is read from memory, and is there in a later life', async () => {
    const files = new PlayedFiles();
    const rank = new PlayedRank({ ram: 9, disk: 9, files });
    await rank.has(); // it looked what is there
    files.hold();
    rank.keep([1, 2]);
    rank.obey({ kind: 'demote', keys: keysOf(1, 2) });
    rank.load(1, 1, 2);
    expect(await rank.hears(1)).to.deep.equal([`load 1: 2 blocks, ${2 * rowBytes} bytes`]);
    expect(files.there.size).to.equal(0);
    files.release();
    await rank.store.close();
    expect([files.there.size, files.isClosed]).to.deep.equal([2, true]);
    expect(await restarted(files).hears(1)).to.deep.equal(['found 1,2']);
  });

  it('what was kept last of a key is what counts, in memory and on disk', async () => {
    const files = new PlayedFiles();
    const rank = new PlayedRank({ ram: 9, disk: 9, files });
    rank.keep([1]);
    rank.obey({ kind: 'demote', keys: keysOf(1) });
    rank.keep([1, 2]);
    rank.keep([1, 2], [1, 2]); // with states now
    rank.obey({ kind: 'demote', keys: keysOf(1) });
    rank.load(1, 1, 2);
    expect(await rank.hears(1)).to.deep.equal([`load 1: 2 blocks, ${2 * (rowBytes + stateBytes)} bytes`]);
    await rank.store.close();
    expect(files.there.get(keysOf(1)[0]!)).to.deep.equal(contentOf(1, true));
  });

  it('forgets what is dropped, of one tier alone, also what is on its way to the disk', async () => {
    const files = new PlayedFiles();
    const rank = new PlayedRank({ ram: 9, disk: 9, files });
    rank.keep([1, 2, 3]);
    rank.obey({ kind: 'demote', keys: keysOf(2, 3) });
    rank.obey({ kind: 'drop', tier: 'ram', keys: keysOf(1, 2, 9) });
    expect(await rank.has(1, 2, 3)).to.deep.equal([2, 3]);
    rank.obey({ kind: 'drop', tier: 'disk', keys: keysOf(2, 9) });
    expect(await rank.has(1, 2, 3)).to.deep.equal([3]);
    await rank.store.close();
    expect([...files.there.keys()]).to.deep.equal(keysOf(3));
    expect(rank.said).to.deep.equal([]); // what nobody else did isn't told
  });

  it('has no more than it may, and says what it didn’t keep', async () => {
    const files = new PlayedFiles();
    const rank = new PlayedRank({ ram: 2, disk: 1, files });
    rank.store.begin();
    rank.keep([1, 2, 3]);
    rank.obey({ kind: 'demote', keys: keysOf(1, 2) });
    expect(await rank.hears(2)).to.deep.equal(['lost 3', 'lost 2']);
    expect(await rank.has(1, 2, 3)).to.deep.equal([1]);
    rank.obey({ kind: 'demote', keys: keysOf(7) }); // it never had
    expect((await rank.hears(3)).at(-1)).to.equal('lost 7');
    await rank.store.close();
  });

  it('what couldn’t be read out of the cache is lost, and what is beside it is kept', async () => {
    const rank = new PlayedRank({ ram: 9 });
    rank.store.begin();
    rank.cache.set(2, contentOf(2).bytes);
    rank.store.keep([
      { block: 1, key: keyOf('1') },
      { block: 2, key: keyOf('2') },
    ]);
    expect(await rank.hears(1)).to.deep.equal(['lost 1']);
    expect(await rank.has(1, 2)).to.deep.equal([2]);
    await rank.store.close();
  });

  it('goes on without a disk that takes nothing, says why once, and uses it again when it can', async () => {
    const files = new PlayedFiles();
    const rank = new PlayedRank({ ram: 9, disk: 9, files });
    rank.store.begin();
    const why =
      "can't keep KV blocks in /kv (ENOSPC: no space left on device): they are computed anew; see to that disk";
    await rank.has(); // it looked what is there
    files.failure = new Error('ENOSPC: no space left on device');
    rank.keep([1, 2, 3, 4]);
    rank.obey({ kind: 'demote', keys: keysOf(1, 2) });
    expect(await rank.hears(3)).to.deep.equal([why, 'lost 1', 'lost 2']);
    expect(await rank.has(1, 2, 3, 4)).to.deep.equal([3, 4]);
    files.failure = null;
    rank.obey({ kind: 'demote', keys: keysOf(3) });
    await files.holds(1);
    files.failure = new Error('ENOSPC: no space left on device');
    rank.obey({ kind: 'demote', keys: keysOf(4) });
    expect((await rank.hears(5)).slice(3)).to.deep.equal([why, 'lost 4']);
    await rank.store.close();
  });

  it('without the disk that it was to have says why, and has nothing of it', async () => {
    const rank = new PlayedRank({ disk: 9, notice: 'it is full' });
    rank.store.begin();
    rank.keep([1]);
    expect(await rank.hears(3)).to.deep.equal(['it is full', 'no disk', 'lost 1']);
    rank.store.reset();
    rank.store.begin();
    rank.keep([2]);
    expect((await rank.hears(5)).slice(3)).to.deep.equal(['no disk', 'lost 2']); // told once why
    await rank.store.close();
  });

  it('that can’t look what its disk has writes nothing there, and says so', async () => {
    const files = new PlayedFiles();
    files.failure = new Error('EIO: i/o error, scandir');
    files.hold();
    const rank = new PlayedRank({ ram: 9, disk: 9, files });
    rank.store.begin();
    rank.keep([1, 2]);
    rank.obey({ kind: 'demote', keys: keysOf(1) });
    files.release();
    const why = "can't look into /kv (EIO: i/o error, scandir), and keeps no KV blocks there; see to that disk";
    expect(await rank.hears(3)).to.have.members([why, 'no disk', 'lost 1']);
    rank.obey({ kind: 'demote', keys: keysOf(2) });
    expect((await rank.hears(4)).at(-1)).to.equal('lost 2');
    await rank.store.close();
    expect(files.there.size).to.equal(0);
  });

  it('reads no more out of the cache than the disk’s queue has room for', async () => {
    const files = new PlayedFiles();
    const rank = new PlayedRank({ disk: 9, files, maxQueued: 3 });
    rank.store.begin();
    await rank.has();
    files.hold();
    rank.keep([1, 2]);
    rank.keep([3, 4]);
    expect(rank.numRead).to.equal(3);
    expect(await rank.hears(1)).to.deep.equal(['lost 4']);
    files.release();
    await files.holds(3);
    rank.keep([4]);
    expect(await rank.has(1, 2, 3, 4)).to.deep.equal([1, 2, 3, 4]);
    await rank.store.close();
  });

  it('a disk that hangs holds nobody up at the end', async () => {
    const files = new PlayedFiles();
    const rank = new PlayedRank({ disk: 9, files });
    await rank.has();
    files.hold();
    rank.keep([1]);
    await rank.store.close();
    expect(files.isClosed).to.equal(false);
    files.release();
  });

  it('a cache that takes nothing back ends a load, and is told of once', async () => {
    const rank = new PlayedRank({ ram: 9 });
    rank.store.begin();
    rank.keep([1]);
    rank.failure = new Error('out of tensors');
    rank.load(1, 1);
    rank.load(2, 1);
    expect(await rank.hears(3)).to.have.members([
      'lost KV blocks of its tiers (out of tensors): they are computed anew',
      ...['load 1: 0 blocks, 0 bytes', 'load 2: 0 blocks, 0 bytes'],
    ]);
    await rank.store.close();
  });

  it('of an earlier life has as much as it may have now, the last used', async () => {
    const files = new PlayedFiles();
    for (const block of [1, 2, 3, 4]) files.there.set(keysOf(block)[0]!, contentOf(block, block === 3));
    expect(await restarted(files).hears(1)).to.deep.equal(['found 1,2,3 with a state,4']);
    const rank = restarted(files, 2);
    expect(await rank.hears(1)).to.deep.equal(['found 4']); // 3 and 4 are larger than two without a state
    await files.holds(1);
    rank.load(1, 4);
    expect((await rank.hears(2)).at(-1)).to.equal(`load 1: 1 blocks, ${rowBytes} bytes`);
    await rank.store.close();
  });

  it('when its head is gone ends loads and forgets what is in memory; the next head hears what is on disk', async () => {
    const files = new PlayedFiles();
    const rank = new PlayedRank({ ram: 9, disk: 9, files });
    rank.store.begin();
    rank.keep([1, 2, 3]);
    rank.obey({ kind: 'demote', keys: keysOf(1, 2) });
    rank.load(1, 3);
    rank.store.reset();
    rank.store.begin();
    expect(await rank.hears(1)).to.deep.equal(['found 1,2']);
    expect(await rank.has(1, 2, 3)).to.deep.equal([1, 2]);
    expect(rank.cache.size).to.equal(0);
    await rank.store.close();
  });
});
