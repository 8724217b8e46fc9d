/** Requests that go on in another instance: two whole engines, of which everything but sockets and processes is real. */
import { expect } from 'chai';
import { PROMPT } from '../../../kit/engine/masking.js';
import { TwoEngines, type Asked } from '../../../kit/engine/two_engines.js';
import { readConformance, writeConformanceModel } from '../../../kit/model/conformance.js';
import { tinyModel } from '../../../kit/paths.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const NUM_NEW = 8;

const GREEDY = { promptTokenIds: PROMPT.slice(0, 13), maxNewTokens: NUM_NEW, ignoreEos: true };
const SAMPLED = { ...GREEDY, sampling: { temperature: 1.5, repetitionPenalty: 1.3, seed: 11 } };

const set = (blockSize: number, ...others: string[]): { set: string[] } => ({
  set: [`engine.block_size=${blockSize}`, ...others],
});

interface Scene {
  readonly model: string;
  /** Ranks. */
  readonly from: number;
  readonly to: number;
  /** Tokens of a block here and there. */
  readonly blocks: readonly [number, number];
  readonly compute?: string;
}

const SCENES: readonly Scene[] = [
  { model: 'tiny-deepseek-v3', from: 1, to: 1, blocks: [4, 8], compute: 'tensors' },
  { model: 'tiny-qwen3-moe', from: 1, to: 2, blocks: [4, 8] },
  { model: 'tiny-qwen3-moe', from: 2, to: 1, blocks: [8, 3] },
  { model: 'tiny-deepseek-v3', from: 1, to: 2, blocks: [8, 4] },
  { model: 'tiny-deepseek-v3', from: 2, to: 1, blocks: [4, 16] },
];

/** Further requests, of which some begin alike. */
const PROMPTS = [PROMPT, PROMPT.slice(0, 7), PROMPT.slice(0, 20), PROMPT.slice(5, 19), PROMPT.slice(2, 30)];

const requestOf = (index: number, maxNewTokens: number): Asked => ({
  ...(index % 2 === 0 ? GREEDY : SAMPLED),
  ...{ promptTokenIds: PROMPTS[index % PROMPTS.length]!, maxNewTokens },
});

describe('a request that goes on in another instance', () => {
  for (const { model, from, to, blocks, compute = 'auto' } of SCENES) {
    it(`has the tokens of one, whenever it moves: ${model}, ${from} to ${to} ranks, ${compute}`, async () => {
      const engines = [
        { numRanks: from, ...set(blocks[0], 'engine.prefix_cache=off', `compute=${compute}`) },
        { numRanks: to, ...set(blocks[1], 'engine.prefix_cache=off', `compute=${compute}`) },
      ] as const;
      await TwoEngines.use(tinyModel(model), engines, async (two) => {
        for (const request of [GREEDY, SAMPLED]) {
          const expected = await two.alone(request);
          for (let at = 0; at < NUM_NEW; at++) {
            const before = two.to.engine.stats();
            const { tokenIds, numTold, numResumed, end } = await two.move(request, { pauseAfter: at });
            expect({ tokenIds, numTold, numResumed, end }).to.deep.equal({
              ...{ tokenIds: expected, numTold: at, numResumed: at, end: 'moved' },
            });
            const numRows = at === 0 ? 0 : PROMPT.slice(0, 13).length + at - 1;
            const { numArrivedTokens } = two.to.engine.stats();
            expect(numArrivedTokens - before.numArrivedTokens, 'rows that were read').to.equal(numRows);
            two.checkEmpty();
          }
        }
      });
    });
  }

  for (const model of ['tiny-qwen3-moe', 'tiny-deepseek-v3'] as const) {
    it(`has them beside others that come and go, while both engines compute: ${model}`, async () => {
      const engines = [
        { numRanks: 2, ...set(4, 'engine.max_num_batched_tokens=16', 'engine.max_num_seqs=8') },
        { numRanks: 1, ...set(8, 'engine.max_num_seqs=3') },
      ] as const;
      await TwoEngines.use(tinyModel(model), engines, async (two) => {
        const requests = Array.from({ length: 10 }, (_, i) => requestOf(i, 20));
        const expected = await Promise.all(requests.map((request) => two.alone(request)));
        const { back } = two;
        const moved = await Promise.all(
          requests.map((request, i) => (i < 6 ? two : back).move(request, { at: 2 * (i % 5) })),
        );
        expect(moved.map(({ tokenIds }) => tokenIds)).to.deep.equal(expected);
        expect(moved.map(({ end }) => end)).to.deep.equal(moved.map(() => 'moved'));
        const { numRecomputed, numFailedPulls } = two.to.engine.stats().arrivals;
        expect({ numRecomputed, numFailedPulls }).to.deep.equal({ numRecomputed: 0, numFailedPulls: 0 });
      });
    });
  }

  const others = [
    { family: 'deepseek_v32', variant: 'index_topk: 8', what: 'indexers, whose keys are read too', isRead: true },
    { family: 'gpt_oss', variant: 'base', what: 'sliding windows', isRead: true },
    { family: 'lfm2_moe', variant: 'base', what: 'states, which are computed anew', isRead: false },
  ];
  for (const { family, variant, what, isRead } of others) {
    it(`has them where layers have ${what}`, () =>
      withTempFolder(async (dir) => {
        const { tokens, cases } = readConformance(family);
        await writeConformanceModel(
          dir,
          cases.find(({ name }) => name === variant)!,
          new Map(),
        );
        const engines = [
          { numRanks: 1, ...set(4) },
          { numRanks: 2, ...set(8) },
        ] as const;
        await TwoEngines.use(dir, engines, async (two) => {
          for (const pauseAfter of [0, 1, 5]) {
            const request = { ...SAMPLED, promptTokenIds: tokens.slice(pauseAfter, pauseAfter + 11) };
            const { tokenIds } = await two.move(request, { pauseAfter });
            expect(tokenIds).to.deep.equal(await two.alone(request));
          }
          expect(two.to.engine.stats().numArrived).to.equal(isRead ? 2 : 0);
        });
      }));
  }

  it('has them in int8, of rows that travel as they are whatever kv_wire says, and that others may begin with', async () => {
    const int8 = ['engine.kv_dtype=int8', 'cluster.kv_wire=bf16'];
    const engines = [
      { numRanks: 2, ...set(8, ...int8) },
      { numRanks: 1, ...set(4, ...int8) },
    ] as const;
    for (const model of ['tiny-qwen3-moe', 'tiny-deepseek-v3']) {
      await TwoEngines.use(tinyModel(model), engines, async (two) => {
        for (const pauseAfter of [1, 5]) {
          const request = requestOf(1, NUM_NEW);
          const { tokenIds } = await two.move(request, { pauseAfter });
          expect(tokenIds).to.deep.equal(await two.alone(request));
        }
        const { numArrived, numArrivedTokens, arrivals } = two.to.engine.stats();
        const { numLayers, rowBytes } = two.to.engine.kvIdentity.shape!;
        expect(numArrived).to.equal(2);
        expect(arrivals.pulledBytes).to.equal(numLayers * rowBytes * numArrivedTokens);
        const before = two.to.engine.stats().numSharedTokens;
        await two.back.alone(requestOf(1, 1));
        expect(two.to.engine.stats().numSharedTokens - before).to.equal(4);
      });
    }
  });

  it('is computed anew where keys and values are kept as something else', async () => {
    const engines = [
      { numRanks: 1, ...set(4) },
      { numRanks: 1, ...set(4, 'engine.kv_dtype=bf16') },
    ] as const;
    await TwoEngines.use(tinyModel('tiny-qwen3-moe'), engines, async (two) => {
      const { tokenIds, numResumed, end } = await two.move(GREEDY, { pauseAfter: 3 });
      expect({ numResumed, end, numTokens: tokenIds.length }).to.deep.equal({
        numResumed: 3,
        end: 'moved',
        numTokens: NUM_NEW,
      });
      const { numArrived, arrivals } = two.to.engine.stats();
      expect({ numArrived, numRecomputed: arrivals.numRecomputed }).to.deep.equal({ numArrived: 0, numRecomputed: 1 });
    });
  });

  it('takes what the other one lacks, and no more', async () => {
    const engines = [
      { numRanks: 1, ...set(4) },
      { numRanks: 1, ...set(8) },
    ] as const;
    await TwoEngines.use(tinyModel('tiny-qwen3-moe'), engines, async (two) => {
      const request = requestOf(0, NUM_NEW);
      const numPrompt = request.promptTokenIds.length;
      await two.back.alone({ ...request, maxNewTokens: 1 });
      const { tokenIds } = await two.move(request, { pauseAfter: 3 });
      expect(tokenIds).to.deep.equal(await two.alone(request));
      const numFound = 8 * Math.floor((numPrompt - 1) / 8);
      expect(two.to.engine.stats().numArrivedTokens).to.equal(numPrompt + 2 - numFound);
    });
  });

  it('makes room where blocks run out on both sides, and has the tokens of one', async () => {
    const small = 'engine.max_model_len=64';
    const engines = [
      { numRanks: 1, ...set(4, small, 'engine.num_kv_blocks=20') },
      { numRanks: 1, ...set(2, small, 'engine.num_kv_blocks=36') },
    ] as const;
    await TwoEngines.use(tinyModel('tiny-qwen3-moe'), engines, async (two) => {
      const requests = Array.from({ length: 6 }, (_, i) => requestOf(i, 30));
      const expected = [];
      for (const request of requests) expected.push(await two.alone(request));
      const moved = await Promise.all(requests.map((request, i) => two.move(request, { at: 3 * i })));
      expect(moved.map(({ tokenIds }) => tokenIds)).to.deep.equal(expected);
    });
  });
});

describe('a request that is handed over behind its prompt', () => {
  for (const stream of ['on', 'off'] as const) {
    it(`is paused with its first token, and goes on with the second one: rows ${stream === 'on' ? 'behind the computation' : 'at the end'}`, async () => {
      const kv = `cluster.kv_stream=${stream}`;
      const engines = [
        {
          numRanks: 2,
          ...set(4, 'engine.max_num_batched_tokens=8', 'engine.max_num_seqs=2', 'engine.prefix_cache=off'),
        },
        { numRanks: 1, ...set(8, kv, 'engine.prefix_cache=off') },
      ] as const;
      await TwoEngines.use(tinyModel('tiny-deepseek-v3'), engines, async (two) => {
        const requests = PROMPTS.map((_, i) => requestOf(i, NUM_NEW));
        const expected = await Promise.all(requests.map((request) => two.alone(request)));
        const before = two.from.engine.stats().numOutputTokens;
        const moved = await Promise.all(
          requests.map((request) => two.move(request, { asked: { handover: 'after_prompt' } })),
        );
        expect(moved.map(({ tokenIds }) => tokenIds)).to.deep.equal(expected);
        expect(moved.map(({ numTold, end }) => [numTold, end])).to.deep.equal(moved.map(() => [1, 'moved']));
        expect(two.from.engine.stats().numOutputTokens - before).to.equal(requests.length);
        expect(moved.flatMap(({ source }) => source.calls)).not.to.include('finish');
        const { arrivals, numArrivedTokens, numPromptTokens } = two.to.engine.stats();
        expect([arrivals.numRecomputed, numPromptTokens], 'no prompt is computed there').to.deep.equal([0, 0]);
        expect(numArrivedTokens).to.equal(PROMPTS.reduce((sum, { length }) => sum + length, 0));
      });
    });
  }

  it('may be asked for one token, as by vLLM: it is over, and its blocks are there until they were read', async () => {
    const engines = [
      { numRanks: 1, ...set(4) },
      { numRanks: 2, ...set(8) },
    ] as const;
    await TwoEngines.use(tinyModel('tiny-qwen3-moe'), engines, async (two) => {
      for (const index of PROMPTS.keys()) {
        const request = requestOf(index, NUM_NEW);
        const asked = { handover: 'after_prompt', maxNewTokens: 1 } as const;
        const { tokenIds, numTold, end } = await two.move(request, { asked });
        expect({ tokenIds, numTold, end }).to.deep.equal({
          ...{ tokenIds: await two.alone(request), numTold: 1, end: 'finished' },
        });
      }
      expect(two.to.engine.stats().arrivals.numRecomputed).to.equal(0);
    });
  });
});
