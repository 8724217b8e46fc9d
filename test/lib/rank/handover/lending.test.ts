import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'chai';
import { fetchBlocks } from '../../../../lib/rank/handover/fetching.js';
import { Instance, LEASE } from '../../../kit/engine/handing_over.js';
import type { LocalJobOptions } from '../../../kit/engine/local_job.js';
import { MemoryKvSpace } from '../../../kit/comm/memory_kv.js';
import { tinyModel } from '../../../kit/paths.js';

const MLA = tinyModel('tiny-deepseek-v3');
const GQA = tinyModel('tiny-qwen3-moe');
const KERNELS = { residence: { compute: 'kernels' } } as const;
const TENSORS = { residence: { compute: 'tensors' } } as const;
const BLOCK_SIZE = 4;
const TOKENS = [5, 17, 3, 40, 8, 21, 9, 33, 2, 11, 30, 6, 25];
const NUM_BLOCKS = 3;
/** Of sequence 0, in either instance. */
const HELD = [0, 1, 2];
const KEYS = ['k0', 'k1', 'k2'];
const INTO = HELD.map((block, i) => ({ block, key: KEYS[i]! }));

describe('blocks that one rank lends another', () => {
  let space: MemoryKvSpace;
  const open: Instance[] = [];

  const start = async (dir: string, options: LocalJobOptions = {}, on: Parameters<MemoryKvSpace['node']>[0] = {}) => {
    const instance = await Instance.start(dir, space.node(on), { blockSize: BLOCK_SIZE, ...KERNELS, ...options });
    open.push(instance);
    return instance;
  };
  /** A rank that lends the full blocks of a sequence, and another one. */
  const pair = async (on: { source?: () => void; target?: () => void } = {}, dir = MLA) => {
    const source = await start(dir, {}, { onSend: () => on.source?.() });
    const target = await start(dir, {}, { onArrival: () => on.target?.() });
    await source.run(TOKENS.slice(0, -1), 0, []);
    source.lend(HELD, KEYS);
    return { source, target };
  };
  const blockBytes = async ({ cache }: Instance): Promise<number> => (await cache.read(0)).byteLength;

  beforeEach(() => (space = new MemoryKvSpace()));
  afterEach(async () => {
    await Promise.all(open.splice(0).map((instance) => instance.close()));
    expect(space.numLinks, 'links left').to.equal(0);
  });

  for (const [name, dir, options] of [
    ['MLA', MLA, {}],
    ['GQA', GQA, {}],
    ['GQA in tensors', GQA, TENSORS],
    ['MLA in two memories', MLA, { numMemories: 2 }],
  ] as [string, string, LocalJobOptions][]) {
    it(`are the same bits there, and lead to the same logits: ${name}`, async () => {
      const [source, target] = [await start(dir, options), await start(dir, options)];
      await source.run(TOKENS.slice(0, -1), 0, []);
      source.lend(HELD, KEYS);
      target.fetch(source, INTO);
      const report = await target.report();
      expect(report).to.deep.include({ pull: 0, numBlocks: 3, payloadBytes: 3 * (await blockBytes(source)) });
      for (const block of HELD) {
        expect(Buffer.compare(await source.cache.read(block), await target.cache.read(block))).to.equal(0);
      }
      const expected = await source.run([TOKENS.at(-1)!], TOKENS.length - 1);
      const actual = await target.run([TOKENS.at(-1)!], TOKENS.length - 1, TOKENS.slice(0, -1));
      expect([...actual]).to.deep.equal([...expected]);
    });
  }

  it('come from the cache and from a tier, and from a place in the middle', async () => {
    const { source, target } = await pair();
    source.tier.set('k1', await source.cache.read(1));
    source.lend([0, null, 2], KEYS);
    target.fetch(source, INTO.slice(1), { first: 1 });
    expect((await target.report()).numBlocks).to.equal(2);
    expect(Buffer.compare(await target.cache.read(1), source.tier.get('k1')!)).to.equal(0);
  });

  it('come from a tier that was told before to keep them, and does when the step that runs is over', async () => {
    const { source, target } = await pair();
    let free = (): void => undefined;
    source.lend([null], ['k1'], { freed: new Promise<void>((resolve) => (free = resolve)) });
    target.fetch(source, [{ block: INTO[0]!.block, key: 'k1' }]);
    await new Promise(setImmediate); // it waits
    source.tier.set('k1', await source.cache.read(1));
    free();
    expect(await target.report()).to.deep.include({ numBlocks: 1 });
  });

  it('end before the first one that is in no tier any more, or that the cache has forgotten', async () => {
    const { source, target } = await pair();
    source.lend([0, null, 2], KEYS);
    target.fetch(source, INTO);
    expect(await target.report())
      .to.deep.include({ numBlocks: 1 })
      .and.have.nested.property('error.code', 'CLOSED');
    source.cache.free([1]);
    source.lend(HELD, KEYS);
    target.fetch(source, INTO);
    expect(await target.report())
      .to.deep.include({ numBlocks: 1 })
      .and.have.nested.property('error.code', 'PEER_FAILED');
  });

  it('are none of other keys than were asked for', async () => {
    const { source, target } = await pair();
    source.lend(HELD, ['k0', 'other', 'k2']);
    target.fetch(source, INTO);
    expect(await target.report())
      .to.deep.include({ numBlocks: 1 })
      .and.have.nested.property('error.code', 'PROTOCOL');
  });

  it('are refused by name to a model of another shape, beyond what is lent, and without the token', async () => {
    const { source, target } = await pair();
    const other = await start(GQA);
    other.fetch(source, INTO);
    expect((await other.report()).error!.code).to.equal('INVALID_ARGUMENT');
    target.fetch(source, INTO, { first: 1 });
    expect((await target.report()).error).to.include({ code: 'INVALID_ARGUMENT' });
    for (const lease of [{ token: '3'.repeat(64) }, { id: '3'.repeat(32) }]) {
      target.fetch(source, INTO, lease);
      expect((await target.report()).error!.code).to.equal('AUTH_FAILED');
    }
    source.obey({ kind: 'release', lease: LEASE.id });
    target.fetch(source, INTO);
    expect((await target.report()).error!.code).to.equal('AUTH_FAILED');
  });

  it('are lent to four readers of a lease at once, and not to a fifth', async () => {
    const { source, target } = await pair();
    let answer: (bytes: Uint8Array | null) => void = () => undefined;
    const waiting = new Promise<Uint8Array | null>((resolve) => (answer = resolve));
    source.tier.get = () => waiting as unknown as Uint8Array;
    source.lend([null], ['slow']);
    for (let pull = 0; pull < 4; pull++) target.fetch(source, [{ block: pull, key: 'slow' }], { pull });
    for (let i = 0; i < 50; i++) await turn();
    target.fetch(source, [{ block: 9, key: 'slow' }], { pull: 9 });
    expect(await target.report()).to.have.nested.property('error.code', 'LIMIT');
    answer(null);
    for (let i = 0; i < 4; i++) expect((await target.report()).error!.code).to.equal('CLOSED');
  });

  it('are written when everything is forgotten that was ordered to be before', async () => {
    const { source, target } = await pair();
    let forget: () => void = () => undefined;
    target.fetch(source, INTO, { freed: new Promise((resolve) => (forget = resolve)) });
    for (let i = 0; i < 50; i++) await turn();
    expect(target.cache.numBlocks).to.equal(0);
    forget();
    expect((await target.report()).numBlocks).to.equal(3);
  });

  it('that are wanted by two at once come to both', async () => {
    const { source, target } = await pair();
    const second = await start(MLA);
    target.fetch(source, INTO);
    second.fetch(source, INTO);
    const reports = await Promise.all([target.report(), second.report()]);
    expect(reports.map(({ numBlocks }) => numBlocks)).to.deep.equal([3, 3]);
  });

  for (let nth = 1; nth <= NUM_BLOCKS; nth++) {
    it(`a rank that dies while it sends block ${nth} of ${NUM_BLOCKS} has sent those before, whole`, async () => {
      let numSent = 0;
      const { source, target } = await pair({
        source: () => {
          if (++numSent === nth) for (const door of space.doors.values()) door.cut();
        },
      });
      const before = target.held();
      target.fetch(source, INTO);
      const report = await target.report();
      expect(report).to.have.nested.property('error.code', 'PEER_LOST');
      expect(report.numBlocks).to.be.at.most(nth - 1);
      expect(target.cache.numBlocks).to.equal(report.numBlocks);
      for (const block of HELD.slice(0, report.numBlocks)) {
        expect(Buffer.compare(await source.cache.read(block), await target.cache.read(block))).to.equal(0);
      }
      target.cache.free(HELD);
      expect(target.held()).to.deep.equal(before);
    });

    it(`what is evicted while block ${nth} of ${NUM_BLOCKS} is sent is no block there, nor what comes into its place`, async () => {
      let numSent = 0;
      const { source, target } = await pair({
        source: () => {
          if (++numSent !== nth) return;
          source.obey({ kind: 'release', lease: LEASE.id });
          source.cache.free(HELD);
          for (const block of HELD) source.cache.write(block, new Uint8Array(expected[0]!.byteLength).fill(7));
        },
      });
      const expected = await Promise.all(HELD.map((block) => source.cache.read(block)));
      target.fetch(source, INTO);
      const { error, numBlocks } = await target.report();
      expect(error!.code).to.equal('CLOSED');
      expect(numBlocks).to.be.below(NUM_BLOCKS);
      for (const block of HELD.slice(0, numBlocks)) {
        expect(Buffer.compare(expected[block]!, await target.cache.read(block))).to.equal(0);
      }
    });

    it(`nothing is written once a fetch is cancelled at block ${nth} of ${NUM_BLOCKS}, and nobody hears of it`, async () => {
      let numArrived = 0;
      const { source, target } = await pair({
        target: () => {
          if (++numArrived === nth) target.obey({ kind: 'cancel_pull', pull: 0 });
        },
      });
      target.fetch(source, INTO);
      while (numArrived < nth) await turn();
      target.cache.free(HELD);
      for (let i = 0; i < 50; i++) await turn();
      expect(target.cache.numBlocks).to.equal(0);
      expect(target.unread).to.deep.equal([]);
    });
  }

  it('bring the state that is asked for, and no other; without it they are none', async () => {
    const blockBytes = { rows: 4, state: 2 };
    const written: [number, number][] = [];
    const cache = { write: (block: number, bytes: Uint8Array) => void written.push([block, bytes.byteLength]) };
    /** Blocks come with so many bytes each. */
    const fetch = async (...lengths: number[]): Promise<number> => {
      const blocks = lengths.map((_, i) => ({ block: i, key: `k${i}`, hasState: i === 1 }));
      const coming = lengths.map((length, i) => ({ at: 3 + i, key: `k${i}`, bytes: new Uint8Array(length) }));
      const stream = { next: () => Promise.resolve(coming.shift() ?? null), close: () => undefined };
      const network = { dialBlocks: () => Promise.resolve(stream) };
      const got = { payloadBytes: 0, numBlocks: 0 };
      const { signal } = new AbortController();
      const order = { pull: 0, lease: LEASE, place: { host: 'x', port: 1 }, first: 3, blocks };
      const parts = { cache, blockBytes, network };
      const fetching = fetchBlocks(order, parts, { freed: Promise.resolve(), signal, got });
      await fetching.catch((error: unknown) => expect(error).to.have.property('code', 'CLOSED'));
      return got.numBlocks;
    };
    expect(await fetch(4, 6, 4)).to.equal(3);
    expect(await fetch(6, 6)).to.equal(2);
    expect(await fetch(4, 4, 4)).to.equal(1);
    expect(written.map(([, length]) => length)).to.deep.equal([4, 6, 4, 4, 6, 4]);
  });

  it('end with the rank that lends them, and are read by nobody whose head is gone', async () => {
    const { source, target } = await pair();
    source.tier.get = () => new Promise(() => undefined) as unknown as Uint8Array;
    source.lend([null], ['never']);
    target.fetch(source, [{ block: 0, key: 'never' }]);
    while (space.numLinks === 0) await turn();
    await source.close();
    open.splice(open.indexOf(source), 1);
    expect((await target.report()).error!.code).to.be.oneOf(['CLOSED', 'PEER_LOST']);
  });
});
