/** What one instance computed comes to others: whole engines, of which everything but sockets and processes is real. */
import { expect } from 'chai';
import type { BlockHolder, BorrowedBlocks } from '../../../../lib/protocol/kv_loan.js';
import type { Engine } from '../../../../lib/head/engine.js';
import type { GenerationRequest, TokenEvent } from '../../../../lib/protocol/request.js';
import type { LocalEngineOptions } from '../../../kit/engine/local_engine.js';
import { replicated } from '../../../kit/engine/placements.js';
import { TwoEngines } from '../../../kit/engine/two_engines.js';
import { readConformance, writeConformanceModel } from '../../../kit/model/conformance.js';
import { tinyModel } from '../../../kit/paths.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

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
});
