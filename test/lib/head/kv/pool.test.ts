/** What one instance computed comes to others: whole engines, of which everything but sockets and processes is real. */
import { expect } from 'chai';
import type { BlockHolder, BorrowedBlocks } from '../../../../lib/protocol/kv_loan.js';
import type { Engine } from '../../../../lib/head/engine.js';
import type { GenerationRequest, TokenEvent } from '../../../../lib/protocol/request.js';
import { BlockHasher, BlockKeys } from '../../../../lib/head/scheduling/blocks/block_keys.js';
import { MemoryKvSpace } from '../../../kit/comm/memory_kv.js';
import { startLocalEngine, type LocalEngineOptions } from '../../../kit/engine/local_engine.js';
import { replicated } from '../../../kit/engine/placements.js';
import { TwoEngines } from '../../../kit/engine/two_engines.js';
import { readConformance, writeConformanceModel } from '../../../kit/model/conformance.js';
import { tinyModel } from '../../../kit/paths.js';
import { withTempFolder } from '../../../kit/temp_folder.js';
import { randomFrom } from '../../../refs/random.js';

const BLOCK_SIZE = 4;
const KEYS = [`engine.block_size=${BLOCK_SIZE}`, 'engine.kv_bring=always'];
const one = { numRanks: 1, set: KEYS };
const two = { numRanks: 2, set: KEYS };
const GQA = tinyModel('tiny-qwen3-moe');
const MLA = tinyModel('tiny-deepseek-v3');

const TOKENS = [5, 17, 3, 40, 8, 21, 9, 33, 2, 11, 30, 6, 25, 14, 38, 1, 19, 27, 4, 12, 7, 36];
const REQUEST: GenerationRequest = { promptTokenIds: TOKENS, maxNewTokens: 6, ignoreEos: true, logprobs: 3 };
/** Blocks of its prompt that can be found. */
const NUM_BLOCKS = 5;

/** An instance as another one sees it. */
class Lender implements BlockHolder {
  readonly loans: BorrowedBlocks[] = [];

  constructor(
    private readonly engine: Engine,
    private readonly onMatch: () => void = () => undefined,
  ) {}

  match(keys: readonly string[]): Promise<BorrowedBlocks | null> {
    this.onMatch();
    const loan = this.engine.lend(keys);
    if (loan !== null) this.loans.push(loan);
    return Promise.resolve(loan);
  }
}

/** Tokens, and what the model thought of each, bit by bit. */
async function answerOf(engine: Engine, request: GenerationRequest, signal?: AbortSignal) {
  const events: TokenEvent[] = [];
  for await (const event of engine.generate(request, signal)) events.push(event);
  const end = events.at(-1)!;
  return {
    tokens: events.flatMap((event) => (event.kind === 'token' ? [[event.tokenId, event.logprobs]] : [])),
    numCached: end.kind === 'finished' ? end.numCachedTokens : 0,
  };
}

/** Both have it; the first one computes it. */
async function pair(
  dir: string,
  [from, to]: readonly [LocalEngineOptions, LocalEngineOptions],
  act: (two: TwoEngines, expected: Awaited<ReturnType<typeof answerOf>>) => Promise<void>,
): Promise<void> {
  await TwoEngines.use(dir, [from, to], async (engines) => {
    await act(engines, await answerOf(engines.from.engine, REQUEST));
    await idle(engines);
    for (const { engine } of [engines.from, engines.to]) {
      if (engine.failure === null) expect(engine.resetPrefixCache(), 'nothing is held').to.equal(true);
    }
  });
}

/** A link of a loan that is over ends with the next turn of its rank. */
async function idle({ space }: TwoEngines): Promise<void> {
  while (space.numLinks > 0) await new Promise(setImmediate);
}

const fetchedBy = ({ engine }: { readonly engine: Engine }) => engine.stats().pool.fetched.instance;

describe('what one instance computed', function () {
  this.timeout(60_000);

  for (const [name, dir, from, to] of [
    ['GQA, 1 to 1 ranks', GQA, one, one],
    ['GQA, 2 to 1 ranks', GQA, two, one],
    ['MLA, 1 to 2 ranks', MLA, one, two],
    ['MLA in int8', MLA, { ...one, set: [...KEYS, 'engine.kv_dtype=int8', 'compute=kernels'] }, null],
  ] as const) {
    it(`isn’t computed again in another one, with the same bits: ${name}`, async () => {
      await pair(dir, [from, to ?? from], async ({ from, to }, expected) => {
        const lender = new Lender(from.engine);
        const { tokens, numCached } = await answerOf(to.engine, { ...REQUEST, holders: [lender] });
        expect(tokens).to.deep.equal(expected.tokens);
        expect(numCached).to.equal(NUM_BLOCKS * BLOCK_SIZE);
        const { numQueries, numHits } = to.engine.stats().pool;
        expect(fetchedBy(to)).to.include({ numFetches: 1, numBlocks: NUM_BLOCKS, numFailed: 0 });
        expect({ numQueries, numHits }).to.deep.equal({ numQueries: TOKENS.length, numHits: NUM_BLOCKS * BLOCK_SIZE });
        expect(lender.loans).to.have.length(1);
        expect(from.engine.lend([])).to.equal(null);
        // It is in the cache now: nobody is asked.
        const nobody = new Lender(from.engine, () => expect.fail('it was asked'));
        expect((await answerOf(to.engine, { ...REQUEST, holders: [nobody] })).tokens).to.deep.equal(expected.tokens);
      });
    });
  }

  it('is given back by a request that finds all in the cache when it begins', async () => {
    const set = [...KEYS, 'engine.max_num_seqs=1'];
    await pair(GQA, [one, { ...one, set }], async ({ from, to }) => {
      let numOpen = 0;
      const match = (keys: readonly string[]): Promise<BorrowedBlocks> => {
        const loan = from.engine.lend(keys)!;
        numOpen++;
        const close = (): void => {
          numOpen--;
          loan.close();
        };
        const { lease, place, numBlocks } = loan;
        return Promise.resolve({ ...{ lease, place, numBlocks, close }, renew: () => loan.renew() });
      };
      const left: number[] = [];
      const ask = async (): Promise<void> => {
        let isFirst = true;
        for await (const { kind } of to.engine.generate({ ...REQUEST, holders: [{ match }] })) {
          if (kind === 'token' && isFirst) left.push(numOpen);
          if (kind === 'token') isFirst = false;
        }
      };
      await Promise.all([ask(), ask(), ask()]);
      expect(left, 'of those that wait').to.deep.equal([2, 1, 0]);
    });
  });

  for (const family of ['lfm2_moe', 'qwen3_next'] as const) {
    it(`isn’t computed again where layers have states, which come along: ${family}`, async () => {
      const { cases } = readConformance(family);
      await withTempFolder(async (dir) => {
        await writeConformanceModel(
          dir,
          cases.find(({ name }) => name === 'base')!,
          new Map(),
        );
        const options = { ...one, set: [...KEYS, 'compute=kernels'] };
        const bounded = REQUEST.promptTokenIds.map((id) => id % 30);
        await TwoEngines.use(dir, [options, options], async ({ from, to, space }) => {
          const request = { ...REQUEST, promptTokenIds: bounded };
          const expected = await answerOf(from.engine, request);
          const answer = await answerOf(to.engine, { ...request, holders: [new Lender(from.engine)] });
          expect(answer).to.deep.equal({ ...expected, numCached: NUM_BLOCKS * BLOCK_SIZE });
          expect(fetchedBy(to)).to.include({ numBlocks: NUM_BLOCKS, numFailed: 0 });
          while (space.numLinks > 0) await new Promise(setImmediate);
        });
      });
    });
  }

  it('comes to two at once, and to several requests of one', async () => {
    await pair(GQA, [one, two], async ({ from, to }, expected) => {
      const asks = Array.from({ length: 4 }, () =>
        answerOf(to.engine, { ...REQUEST, holders: [new Lender(from.engine)] }),
      );
      for (const { tokens } of await Promise.all(asks)) expect(tokens).to.deep.equal(expected.tokens);
    });
  });

  it('comes from the first who has more than is here, and not from who can’t be asked', async () => {
    await pair(GQA, [one, one], async ({ from, to }, expected) => {
      const broken: BlockHolder = { match: () => Promise.reject(new Error('nobody is there')) };
      const empty: BlockHolder = { match: () => Promise.resolve(null) };
      const holders = [broken, empty, new Lender(from.engine), new Lender(from.engine, () => expect.fail())];
      expect((await answerOf(to.engine, { ...REQUEST, holders })).tokens).to.deep.equal(expected.tokens);
      expect(fetchedBy(to).numBlocks).to.equal(NUM_BLOCKS);
    });
  });

  it('is computed where the loan is over before it is read', async () => {
    await pair(GQA, [one, one], async ({ from, to }, expected) => {
      const lender = new Lender(from.engine);
      const over: BlockHolder = {
        match: async (keys) => {
          const loan = await lender.match(keys);
          loan?.close();
          return loan;
        },
      };
      expect(await answerOf(to.engine, { ...REQUEST, holders: [over] })).to.deep.equal(expected);
      expect(fetchedBy(to)).to.include({ numBlocks: 0, numFailed: 1 });
      expect(to.notices, 'why').to.have.length(1);
      expect(to.notices[0]).to.match(/^rank 0 can't read KV blocks at .*:\d+ \(.+\): they are computed$/);
      expect(to.engine.resetPrefixCache()).to.equal(true);
      expect((await answerOf(to.engine, { ...REQUEST, holders: [over] })).tokens).to.deep.equal(expected.tokens);
      expect(fetchedBy(to).numFailed).to.equal(2);
      expect(to.notices, 'once').to.have.length(1);
    });
  });

  it('is neither lent nor borrowed where engine.kv_pool is off', async () => {
    const off = { ...one, set: [...KEYS, 'engine.kv_pool=off'] };
    await pair(GQA, [off, off], async ({ from, to }, expected) => {
      const nobody = new Lender(from.engine, () => expect.fail('it was asked'));
      expect(await answerOf(to.engine, { ...REQUEST, holders: [nobody] })).to.deep.equal(expected);
      expect(from.engine.lend(['x'])).to.equal(null);
    });
  });

  for (let nth = 1; nth <= NUM_BLOCKS; nth++) {
    it(`is read as far as block ${nth} where it is evicted then, and the rest is computed`, async () => {
      await pair(GQA, [one, one], async ({ from, to, space }, expected) => {
        let numSent = 0;
        space.onFrame = () => {
          if (++numSent === nth) from.engine.resetPrefixCache();
        };
        const { tokens, numCached } = await answerOf(to.engine, { ...REQUEST, holders: [new Lender(from.engine)] });
        expect(tokens).to.deep.equal(expected.tokens);
        if (nth === 1) expect(numCached, 'it breaks off').to.be.below(NUM_BLOCKS * BLOCK_SIZE);
        expect(from.engine.stats().pool.numEvictedLoans).to.equal(1);
      });
    });

    it(`is read as far as block ${nth} where its rank is killed then, and the rest is computed`, async () => {
      const dying = { ...one, faults: [{ rank: 0, at: { kind: 'kv_sent', nth } }] } as const;
      await TwoEngines.start(GQA, dying, one).then(async (engines) => {
        const { from, to } = engines;
        try {
          const expected = await answerOf(from.engine, REQUEST);
          const { tokens, numCached } = await answerOf(to.engine, { ...REQUEST, holders: [new Lender(from.engine)] });
          expect(tokens).to.deep.equal(expected.tokens);
          expect(numCached).to.be.below(nth * BLOCK_SIZE);
          await idle(engines);
        } finally {
          await Promise.all([from.close(), to.close()]);
        }
      });
    });

    it(`goes to another rank where the one that reads is killed at block ${nth}`, async () => {
      const faults = [{ rank: 0, at: { kind: 'kv_arrived', nth } }] as const;
      await pair(GQA, [one, { ...two, placement: replicated(2), faults }], async ({ from, to }, expected) => {
        const { tokens } = await answerOf(to.engine, { ...REQUEST, holders: [new Lender(from.engine)] });
        expect(tokens).to.deep.equal(expected.tokens);
        expect(to.losses).to.have.length(1);
      });
    });

    it(`leaves nothing behind where its request is given up at block ${nth}`, async () => {
      await pair(GQA, [one, one], async ({ from, to, space }, expected) => {
        const stop = new AbortController();
        let numSent = 0;
        space.onFrame = () => {
          if (++numSent === nth) stop.abort();
        };
        const holders = [new Lender(from.engine)];
        const error = await answerOf(to.engine, { ...REQUEST, holders }, stop.signal).catch((each: unknown) => each);
        expect(error).to.have.property('code', 'CLOSED');
        space.onFrame = () => undefined;
        expect((await answerOf(to.engine, { ...REQUEST, holders })).tokens).to.deep.equal(expected.tokens);
      });
    });
  }

  it('is not waited for for ever where its rank says nothing any more', async () => {
    const stopping = { ...one, faults: [{ rank: 0, at: { kind: 'kv_sent', nth: 2 }, how: 'stopped' }] } as const;
    const engines = await TwoEngines.start(GQA, stopping, { ...one, timeoutMs: 500 });
    const { from, to } = engines;
    try {
      const expected = await answerOf(from.engine, REQUEST);
      const { tokens } = await answerOf(to.engine, { ...REQUEST, holders: [new Lender(from.engine)] });
      expect(tokens).to.deep.equal(expected.tokens);
      expect(fetchedBy(to).numFailed).to.equal(1);
    } finally {
      await Promise.all([from.close(), to.close()]);
    }
  });

  describe('is fetched for whoever asks next', () => {
    /** Keys of the prompt's blocks, as the router that saw the prompt has them. */
    const keysOf = ({ engine }: { readonly engine: Engine }): string[] => {
      const hasher = new BlockHasher(BLOCK_SIZE, engine.prefixSharing!);
      const keys = new BlockKeys(hasher, { promptTokenIds: TOKENS, outputTokenIds: [] });
      return Array.from({ length: NUM_BLOCKS }, (_, index) => keys.at(index));
    };

    it('into the cache of a rank with room: a request finds it there, and nothing was computed', async () => {
      await pair(MLA, [one, two], async ({ from, to }, expected) => {
        const holders = [new Lender(from.engine)];
        expect(await to.engine.fetch(keysOf(to), holders)).to.equal(NUM_BLOCKS);
        const { numSteps, pool } = to.engine.stats();
        expect([numSteps, pool.fetched.instance.numBlocks, pool.numQueries]).to.deep.equal([0, NUM_BLOCKS, 0]);
        expect(to.engine.load.ranks.map(({ numUsedBlocks }) => numUsedBlocks)).to.deep.equal([0, 0]);
        expect(await to.engine.fetch(keysOf(to), holders), 'it is there').to.equal(0);
        expect(await answerOf(to.engine, REQUEST)).to.deep.equal({ ...expected, numCached: NUM_BLOCKS * BLOCK_SIZE });
      });
    });

    it('beside requests that have all blocks: it gives way to them, and they are what they would be', async () => {
      const few = { ...one, set: [...KEYS, 'engine.num_kv_blocks=12', 'engine.max_model_len=44'] };
      await pair(GQA, [one, few], async ({ from, to }, expected) => {
        const long = { ...REQUEST, maxNewTokens: 20 };
        const alone = await answerOf(from.engine, long);
        const [answer, numBlocks] = await Promise.all([
          answerOf(to.engine, long),
          to.engine.fetch(keysOf(to), [new Lender(from.engine)]),
        ]);
        expect(answer.tokens).to.deep.equal(alone.tokens);
        expect(numBlocks).to.be.within(0, NUM_BLOCKS);
        expect((await answerOf(to.engine, REQUEST)).tokens).to.deep.equal(expected.tokens);
      });
    });

    for (const nth of [1, 3]) {
      it(`and no further than block ${nth}, where its lender or its rank is killed then`, async () => {
        const dying = { ...one, faults: [{ rank: 0, at: { kind: 'kv_sent', nth } }] } as const;
        const engines = await TwoEngines.start(GQA, dying, one);
        const { from, to } = engines;
        try {
          const expected = await answerOf(from.engine, REQUEST);
          expect(await to.engine.fetch(keysOf(to), [new Lender(from.engine)])).to.be.below(nth);
          expect((await answerOf(to.engine, REQUEST)).tokens).to.deep.equal(expected.tokens);
        } finally {
          await Promise.all([from.close(), to.close()]);
        }
        const faults = [{ rank: 0, at: { kind: 'kv_arrived', nth } }] as const;
        await pair(GQA, [one, { ...two, placement: replicated(2), faults }], async ({ from, to }, expected) => {
          expect(await to.engine.fetch(keysOf(to), [new Lender(from.engine)])).to.be.below(NUM_BLOCKS);
          expect((await answerOf(to.engine, REQUEST)).tokens).to.deep.equal(expected.tokens);
        });
      });
    }

    it('until somebody gives it up, or the engine ends; only so many at a time, and only what keys can be', async () => {
      await pair(GQA, [one, one], async ({ from, to, space }) => {
        const holders = [new Lender(from.engine)];
        const stop = new AbortController();
        space.onFrame = () => stop.abort();
        expect(await to.engine.fetch(keysOf(to), holders, stop.signal)).to.equal(0);
        space.onFrame = () => undefined;
        const error = await to.engine.fetch(['short'], holders).catch((each: unknown) => each);
        expect(error).to.have.property('code', 'INVALID_REQUEST');
        const never: BlockHolder = {
          match: (_keys, signal) =>
            new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
        };
        const waiting = to.engine.fetch(keysOf(to), [never]).catch((each: unknown) => each);
        await to.engine.close();
        expect(await waiting).to.have.property('code', 'CLOSED');
      });
    });
  });
});

describe('what one rank computed', function () {
  this.timeout(60_000);
  const POOLED = { ...two, set: [...KEYS, 'engine.kv_pool=on', 'engine.max_num_seqs=1'] };

  /** One request keeps the rank busy that has the prefix, so that the next one that begins alike goes to the other. */
  const besides = async (dir: string, options: LocalEngineOptions) => {
    const kv = new MemoryKvSpace();
    const local = await startLocalEngine(dir, { ...options, kv });
    try {
      const { engine } = local;
      await answerOf(engine, REQUEST);
      const long = answerOf(engine, { ...REQUEST, maxNewTokens: 30 });
      const answer = await answerOf(engine, REQUEST);
      await long;
      while (kv.numLinks > 0) await new Promise(setImmediate);
      expect(engine.load.ranks.every(({ numUsedBlocks }) => numUsedBlocks === 0)).to.equal(true);
      return { answer, pool: engine.stats().pool, losses: local.losses };
    } finally {
      await local.close();
    }
  };

  for (const [name, dir] of [
    ['GQA', GQA],
    ['MLA', MLA],
  ] as const) {
    it(`comes to another one of its job, with the same bits: ${name}`, async () => {
      const off = await besides(dir, { ...POOLED, set: [...POOLED.set, 'engine.kv_pool=off'] });
      expect(off.pool.fetched.rank.numFetches).to.equal(0);
      const { answer, pool } = await besides(dir, POOLED);
      expect(answer.tokens).to.deep.equal(off.answer.tokens);
      expect(pool.fetched.rank).to.include({ numFetches: 1, numBlocks: NUM_BLOCKS, numFailed: 0 });
      expect(pool).to.include({ numLoans: 1, numLentBlocks: NUM_BLOCKS });
    });
  }

  for (const [rank, kind] of [
    [0, 'kv_sent'],
    [1, 'kv_arrived'],
  ] as const) {
    it(`is computed where rank ${rank} is killed while it comes (${kind})`, async () => {
      const alone = await besides(GQA, { ...POOLED, set: [...POOLED.set, 'engine.kv_pool=off'] });
      const faults = [{ rank, at: { kind, nth: 2 } }] as const;
      const { answer, losses } = await besides(GQA, { ...POOLED, placement: replicated(2), faults });
      expect(answer.tokens).to.deep.equal(alone.answer.tokens);
      expect(losses).to.have.length(1);
    });
  }
});

describe('instances that read each other’s blocks at random', function () {
  this.timeout(120_000);

  for (let seed = 1; seed <= 3; seed++) {
    it(`have the tokens of one, and hold nothing in the end (seed ${seed})`, async () => {
      const random = randomFrom(seed);
      const whole = (from: number, to: number): number => from + Math.floor(random() * (to - from));
      const few = (numRanks: number): LocalEngineOptions => ({
        numRanks,
        set: [
          ...[...KEYS, 'engine.kv_pool=on', 'engine.max_model_len=60', 'engine.num_kv_blocks=18'],
          ...['engine.max_num_seqs=3', 'engine.max_num_batched_tokens=16'],
        ],
      });
      const requests = Array.from({ length: 24 }, (): GenerationRequest => {
        const prompt = [...TOKENS.slice(0, whole(4, 22)), ...Array.from({ length: whole(0, 12) }, () => whole(1, 5))];
        return { promptTokenIds: prompt, maxNewTokens: whole(1, 12), ignoreEos: true };
      });
      const alone = await startLocalEngine(GQA, { numRanks: 1, set: [...KEYS, 'engine.prefix_cache=off'] });
      const expected = await Promise.all(requests.map((request) => answerOf(alone.engine, request)));
      await alone.close();
      await TwoEngines.use(GQA, [few(2), few(1)], async (engines) => {
        const sides = [engines.from.engine, engines.to.engine] as const;
        engines.space.onFrame = () => {
          if (random() < 0.1) sides[whole(0, 2)]!.resetPrefixCache();
        };
        const play = async (request: GenerationRequest, i: number): Promise<void> => {
          const side = whole(0, 2);
          const holders = [new Lender(sides[1 - side]!)];
          expect((await answerOf(sides[side]!, { ...request, holders })).tokens).to.deep.equal(expected[i]!.tokens);
        };
        for (let i = 0; i < requests.length; i += 6) {
          await Promise.all(requests.slice(i, i + 6).map((request, k) => play(request, i + k)));
        }
        const fetched = sides.flatMap((engine) => Object.values(engine.stats().pool.fetched));
        expect(fetched.reduce((sum, { numBlocks }) => sum + numBlocks, 0)).to.be.above(0);
        await idle(engines);
      });
    });
  }
});
