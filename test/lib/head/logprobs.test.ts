/** Log-probabilities of generated and of prompt tokens: whatever chunks, gaps and losses they came through, they are those of a score. */
import { expect } from 'chai';
import type { Engine } from '../../../lib/head/engine.js';
import type { GenerationRequest, TokenEvent, TokenLogprobs } from '../../../lib/protocol/request.js';
import { scoreIds, startEngine } from '../../kit/engine/engines.js';
import { startLocalEngine, type Fault } from '../../kit/engine/local_engine.js';
import { replicated } from '../../kit/engine/placements.js';
import { tinyModel } from '../../kit/paths.js';

const PROMPT = [85, 75, 29, 78, 87, 39, 55, 19, 4, 61, 33, 90, 12, 7, 48, 22, 70, 81, 3, 56];
const MODELS = ['tiny-deepseek-v3', 'tiny-qwen3-moe'];

/** As a caller in JavaScript may say it. */
const NOTHING_ASKED = { logprobs: undefined, promptLogprobs: undefined } as unknown as Partial<GenerationRequest>;

interface Told {
  readonly kinds: readonly string[];
  readonly tokenIds: readonly number[];
  readonly logprobs: readonly (TokenLogprobs | null)[];
  readonly prompt: readonly (TokenLogprobs | null)[];
}

async function told(engine: Engine, request: Partial<GenerationRequest>): Promise<Told> {
  const events: TokenEvent[] = [];
  const full = { promptTokenIds: PROMPT, maxNewTokens: 8, ignoreEos: true, logprobs: 5, promptLogprobs: 3, ...request };
  for await (const event of engine.generate(full)) events.push(event);
  return {
    kinds: events.map(({ kind }) => kind),
    tokenIds: events.flatMap((event) => (event.kind === 'token' ? [event.tokenId] : [])),
    logprobs: events.flatMap((event) => (event.kind === 'token' ? [event.logprobs] : [])),
    prompt: events.flatMap((event) => (event.kind === 'prompt' ? [...event.logprobs] : [])),
  };
}

/** What the whole row of logits says of a token, slowly. */
function fromLogits(logits: Float32Array, token: number, numTop: number): TokenLogprobs {
  const order = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
  const highest = logits[order[0]!]!;
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - highest), 0);
  const logprobOf = (id: number): number => logits[id]! - highest - Math.log(sum);
  const top = order.slice(0, numTop).map((tokenId) => ({ tokenId, logprob: logprobOf(tokenId) }));
  return { logprob: logprobOf(token), rank: order.indexOf(token) + 1, top };
}

/** What a score of prompt and output says of each of its tokens but the first. */
async function scored(engine: Engine, tokenIds: readonly number[], numTop: number): Promise<TokenLogprobs[]> {
  const { logits, logprobs } = await scoreIds(engine, tokenIds);
  const vocabSize = engine.spec.vocabSize;
  return tokenIds.slice(1).map((token, i) => {
    const found = fromLogits(logits.subarray(i * vocabSize, (i + 1) * vocabSize), token, numTop);
    expect(found.logprob).to.equal(logprobs[i]);
    return found;
  });
}

describe('log-probabilities', function () {
  this.timeout(60_000);

  for (const model of MODELS) {
    it(`of prompt and output are those of a score to the bit, for any size of chunks, with ${model}`, async () => {
      const byChunk: Told[] = [];
      for (const numTokens of [8, 512]) {
        const set = [`engine.max_num_batched_tokens=${numTokens}`, 'engine.max_num_seqs=4', 'engine.mla=absorbed'];
        const engine = await startEngine({ model: tinyModel(model), ranks: 2, set });
        try {
          const one = await told(engine, { sampling: { temperature: 3, seed: 5 } });
          const all = await scored(engine, [...PROMPT, ...one.tokenIds], 5);
          expect(one.logprobs).to.deep.equal(all.slice(PROMPT.length - 1));
          const ofPrompt = all.slice(0, PROMPT.length - 1).map((each) => ({ ...each, top: each.top.slice(0, 3) }));
          expect(one.prompt).to.deep.equal([null, ...ofPrompt]);
          expect(one.kinds).to.deep.equal(['prompt', ...one.tokenIds.map(() => 'token'), 'finished']);
          byChunk.push(one);
        } finally {
          await engine.close();
        }
      }
      expect(byChunk[0]).to.deep.equal(byChunk[1]);
    });
  }

  describe('of requests side by side', () => {
    let engine: Engine;
    before(async () => {
      // Room for one whole sequence and a half.
      const set = [
        'engine.block_size=4',
        'engine.num_kv_blocks=12',
        'engine.max_model_len=36',
        'engine.max_num_seqs=4',
      ];
      engine = await startEngine({ model: tinyModel('tiny-qwen3-moe'), ranks: 1, set });
    });
    after(() => engine.close());

    it('are the same though one gave way to another, and the prompt’s come once', async () => {
      const request = { maxNewTokens: 16, sampling: { temperature: 2, seed: 3, frequencyPenalty: 0.5, minTokens: 6 } };
      const alone = await told(engine, request);
      const before = engine.stats().numPreempted;
      const all = await Promise.all([1, 2, 3].map(() => told(engine, request)));
      expect(engine.stats().numPreempted).to.be.above(before);
      for (const one of all) expect(one).to.deep.equal(alone);
    });

    it('are not told where nobody asked, and 0 tells of the tokens alone', async () => {
      const none = await told(engine, NOTHING_ASKED);
      expect(none.kinds).to.not.include('prompt');
      expect(none.logprobs.every((each) => each === null)).to.equal(true);
      const bare = await told(engine, { logprobs: 0, promptLogprobs: 0 });
      expect(bare.tokenIds).to.deep.equal(none.tokenIds);
      for (const each of [...bare.logprobs, ...bare.prompt.slice(1)]) expect(each!.top).to.deep.equal([]);
      for (const each of bare.logprobs) expect(each!.rank).to.equal(1); // greedy
    });

    it('of the prompt alone come without a token, also of a prompt of one', async () => {
      const { prompt } = await told(engine, {});
      expect(await told(engine, { maxNewTokens: 0 })).to.deep.equal({
        kinds: ['prompt', 'finished'],
        tokenIds: [],
        logprobs: [],
        prompt,
      });
      const one = await told(engine, { promptTokenIds: [5], maxNewTokens: 0 });
      expect(one).to.deep.equal({ kinds: ['prompt', 'finished'], tokenIds: [], logprobs: [], prompt: [null] });
      expect((await told(engine, { promptTokenIds: [5], maxNewTokens: 2 })).prompt).to.deep.equal([null]);
    });

    it('are of what the model found, whatever sampling does', async () => {
      const plain = await told(engine, { maxNewTokens: 1 });
      const { tokenId: second } = plain.logprobs[0]!.top[1]!;
      const forced = await told(engine, { maxNewTokens: 1, sampling: { allowedTokenIds: [second] } });
      expect(forced.tokenIds).to.deep.equal([second]);
      const { logprob, rank, top } = forced.logprobs[0]!;
      expect({ rank, top }).to.deep.equal({ rank: 2, top: plain.logprobs[0]!.top });
      expect(logprob).to.equal(top[1]!.logprob);
    });
  });

  it('are the same though a rank was lost amid the prompt, and the prompt’s come once', async () => {
    const set = ['engine.max_num_batched_tokens=8', 'engine.max_num_seqs=4'];
    const tellOf = async (faults: readonly Fault[]): Promise<{ told: Told[]; numLost: number }> => {
      const options = { numRanks: 3, placement: replicated(3), set, faults };
      const local = await startLocalEngine(tinyModel('tiny-qwen3-moe'), options);
      try {
        const all = await Promise.all([0, 1, 2].map(() => told(local.engine, { maxNewTokens: 4 })));
        return { told: all, numLost: local.losses.length };
      } finally {
        await local.close();
      }
    };
    const lost = await tellOf([{ rank: 1, at: { kind: 'after_step', step: 2 } }]);
    expect(lost.numLost).to.equal(1);
    const [expected] = (await tellOf([])).told;
    for (const one of lost.told) expect(one).to.deep.equal(expected);
  });
});
