/** Pools that bring each other blocks over sockets of this machine. */
import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { KvPool } from '../../../lib/kv_pool/kv_pool.js';
import { KvPoolError, type KvPoolErrorCode } from '../../../lib/kv_pool/errors.js';
import type { KvPoolOptions } from '../../../lib/kv_pool/pool_options.js';
import { errorOf } from '../../kit/rejects.js';

const SIZES = { blockBytes: 3000, blockSize: 2, numBlocks: 4 };
const TOKENS = [1, 2, 3, 4, 5, 6];

describe('blocks that go from pool to pool', () => {
  const pools: KvPool[] = [];
  const open = async (options: Partial<KvPoolOptions> = {}): Promise<KvPool> => {
    const pool = await KvPool.open({ ...SIZES, identity: 'one model', listen: {}, timeoutMs: 5000, ...options });
    pools.push(pool);
    return pool;
  };
  afterEach(async () => {
    await Promise.all(pools.splice(0).map((pool) => pool.close()));
  });

  /** Three blocks of random bytes that the caller holds, for TOKENS. */
  function fill(pool: KvPool): { blocks: readonly number[]; contents: readonly Uint8Array[] } {
    const blocks = pool.alloc(3);
    const contents = blocks.map(() => Uint8Array.from(randomBytes(3000)));
    for (const [i, block] of blocks.entries()) pool.write(block, contents[i]!);
    return { blocks, contents };
  }

  async function expectFound(pool: KvPool, contents: readonly Uint8Array[]): Promise<void> {
    const { blocks } = await pool.match([...TOKENS, 7]);
    const read = await Promise.all(blocks.map((block) => pool.read(block)));
    expect(read.map((bytes) => Buffer.from(bytes))).to.deep.equal(contents.map((bytes) => Buffer.from(bytes)));
    pool.free(blocks);
  }

  it('with insert, whoever asks for the tokens there finds them, bit by bit; what is there doesn’t travel', async () => {
    const [from, to] = [await open(), await open()];
    const { blocks, contents } = fill(from);
    const there = await from.transferWithInsert(to.address!, TOKENS, blocks.slice(0, 2));
    await expectFound(to, contents.slice(0, 2));
    const all = await from.transferWithInsert(to.address!, TOKENS, blocks);
    expect(all.slice(0, 2)).to.deep.equal(there);
    await expectFound(to, contents);
    expect(to.use).to.deep.equal({ numBlocks: 4, numUsed: 0, numCached: 3, numPinned: 0, tiers: [] });
    from.free(blocks);
    expect(from.use, 'nothing was inserted here').to.deep.include({ numUsed: 0, numCached: 0 });
  });

  it('without tokens they are the owner’s there', async () => {
    const came: number[] = [];
    const [from, to] = [await open(), await open({ onBlocks: (blocks) => void came.push(...blocks) })];
    const { blocks, contents } = fill(from);
    expect(await from.transfer(to.address!, [blocks[1]!, blocks[0]!])).to.deep.equal(came);
    const read = await Promise.all(came.map((block) => to.read(block)));
    expect(read.map((bytes) => Buffer.from(bytes))).to.deep.equal(
      [contents[1], contents[0]].map((b) => Buffer.from(b!)),
    );
    to.free(came);
    expect(to.use.numUsed).to.equal(0);
  });

  it('is refused where it makes no sense, and nothing is left of it on either side', async () => {
    const from = await open();
    const { blocks } = fill(from);
    const to = await open();
    const { host, port } = to.address!;
    const full = await open({ numBlocks: 2 });
    const silent = await KvPool.open(SIZES);
    pools.push(silent);
    const held = fill(silent).blocks;
    const insert = (pool: KvPool) => () => from.transferWithInsert(pool.address!, TOKENS, blocks);
    const cases: readonly (readonly [KvPoolErrorCode, RegExp, () => Promise<unknown>])[] = [
      ['REFUSED', /of another identity/, insert(await open({ identity: 'another model' }))],
      [
        'REFUSED',
        /blocks of 2 tokens and 3000 bytes, and these are of 1 and 3000/,
        insert(await open({ blockSize: 1 })),
      ],
      ['REFUSED', /no room for 3 blocks/, insert(full)],
      ['REFUSED', /nobody’s there/, () => from.transfer(to.address!, blocks)],
      ['NOT_LISTENING', /open it with listen/, () => silent.transferWithInsert(to.address!, TOKENS, held)],
      [
        'TRANSFER_FAILED',
        /AUTH_FAILED/,
        () => from.transferWithInsert({ host, port, key: 'not this one' }, TOKENS, blocks),
      ],
      ['INVALID_ARGUMENT', /nobody holds block 3/, () => from.transferWithInsert(to.address!, TOKENS, [3])],
    ];
    for (const [code, text, call] of cases) {
      const error = await errorOf(KvPoolError, call);
      expect(error.code, error.message).to.equal(code);
      expect(error.message).to.match(text);
    }
    from.free(blocks);
    for (const pool of pools.filter((each) => each !== silent)) expect(pool.use.numUsed).to.equal(0);
    expect(full.use.numCached + to.use.numCached).to.equal(0);
  });

  it('a pool that says nothing is given up in time, and nothing is held for it', async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => void sockets.push(socket)).listen(0, '127.0.0.1');
    await new Promise((resolve) => silent.once('listening', resolve));
    try {
      const from = await open({ timeoutMs: 300 });
      const { blocks } = fill(from);
      const { port } = silent.address() as AddressInfo;
      const to = { host: '127.0.0.1', port, key: 'whatever it may be' };
      const error = await errorOf(KvPoolError, () => from.transferWithInsert(to, TOKENS, blocks));
      expect(error.code).to.equal('TRANSFER_FAILED');
      from.free(blocks);
      expect(from.use.numUsed).to.equal(0);
    } finally {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => silent.close(resolve));
    }
  });

  it('whoever ends in the middle leaves nothing held, and nobody waits', async () => {
    for (const who of ['source', 'target', 'caller'] as const) {
      const [from, to] = [await open({ blockBytes: 2 ** 22 }), await open({ blockBytes: 2 ** 22 })];
      const blocks = from.alloc(4);
      for (const block of blocks) from.write(block, new Uint8Array(2 ** 22));
      const leaving = new AbortController();
      const sent = errorOf(Error, () =>
        from.transferWithInsert(to.address!, [...TOKENS, 7, 8], blocks, leaving.signal),
      );
      while (to.use.numUsed === 0) await new Promise((resolve) => setImmediate(resolve));
      if (who === 'caller') leaving.abort(new Error('enough'));
      else await (who === 'source' ? from : to).close();
      const expected = { source: /CLOSED/, target: /TRANSFER_FAILED/, caller: /enough/ }[who];
      expect((await sent).message, who).to.match(expected);
      while (to.use.numUsed > 0) await new Promise((resolve) => setImmediate(resolve));
      if (who !== 'source') from.free(blocks);
      expect(from.use.numUsed, who).to.equal(who === 'source' ? 4 : 0);
    }
  });
});
