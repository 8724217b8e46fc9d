/** A request that goes on behind tokens which another engine made. Everything but sockets and processes is real. */
import { expect } from 'chai';
import type { GenerationRequest, TokenEvent } from '../../../lib/protocol/request.js';
import { startLocalEngine, type LocalEngine } from '../../kit/engine/local_engine.js';
import { tinyModel } from '../../kit/paths.js';
import { EngineError } from '../../../lib/protocol/errors.js';
import { errorOf } from '../../kit/rejects.js';

const PROMPT = { promptTokenIds: [7, 3, 19, 4, 11, 2, 30], ignoreEos: true, maxNewTokens: 14 };
const SAMPLED = { temperature: 0.9, topK: 20, presencePenalty: 0.7, frequencyPenalty: 0.3, repetitionPenalty: 1.2 };

type Tokens = readonly Extract<TokenEvent, { kind: 'token' }>[];
type End = Extract<TokenEvent, { kind: 'finished' }>;

async function generated(
  { engine }: LocalEngine,
  request: GenerationRequest,
): Promise<{ readonly tokens: Tokens; readonly end: End }> {
  const tokens: Extract<TokenEvent, { kind: 'token' }>[] = [];
  for await (const event of engine.generate(request)) {
    if (event.kind === 'token') tokens.push(event);
    if (event.kind === 'finished') return { tokens, end: event };
  }
  throw new Error('it did not finish');
}

const idsOf = (tokens: Tokens): number[] => tokens.map(({ tokenId }) => tokenId);

describe('a request with tokens of its output', function () {
  this.timeout(120_000);
  for (const model of ['tiny-deepseek-v3', 'tiny-qwen3-moe']) {
    for (const [how, sampling] of [
      ['greedy', {}],
      ['sampled', { ...SAMPLED, seed: 1234 }],
    ] as const) {
      it(`${model}, ${how}: goes on as if it had never been broken off, wherever that was`, async () => {
        const set = ['engine.block_size=4'];
        const first = await startLocalEngine(tinyModel(model), { numRanks: 2, set });
        const asked = { ...PROMPT, sampling, logprobs: 2, returnRoutedExperts: true };
        const whole = await generated(first, asked);
        await first.close();
        const next = await startLocalEngine(tinyModel(model), { numRanks: 2, set });
        try {
          const cuts = Array.from({ length: PROMPT.maxNewTokens }, (_, numTokens) => numTokens);
          // All at once, so that they share steps, blocks and prefixes.
          const rests = await Promise.all(
            cuts.map((cut) => generated(next, { ...asked, outputTokenIds: idsOf(whole.tokens).slice(0, cut) })),
          );
          for (const [cut, rest] of rests.entries()) {
            expect(idsOf(rest.tokens), `behind ${cut} tokens`).to.deep.equal(idsOf(whole.tokens).slice(cut));
            const logprobs = (tokens: Tokens): unknown => tokens.map((token) => token.logprobs);
            expect(logprobs(rest.tokens)).to.deep.equal(logprobs(whole.tokens.slice(cut)));
            expect(rest.tokens.slice(1).map(({ routedExperts }) => routedExperts)).to.deep.equal(
              whole.tokens.slice(cut + 1).map(({ routedExperts }) => routedExperts),
            );
            expect(rest.end.reason).to.equal('length');
          }
        } finally {
          await next.close();
        }
      });
    }
  }

  it('is over at once where those tokens end it, and computes nothing', async () => {
    const local = await startLocalEngine(tinyModel('tiny-qwen3-moe'), { numRanks: 1 });
    try {
      const { tokens, end } = await generated(local, { ...PROMPT, maxNewTokens: 2, outputTokenIds: [5, 6] });
      expect([tokens.length, end.reason, local.engine.stats().numSteps]).to.deep.equal([0, 'length', 0]);
      const stopped = await generated(local, { ...PROMPT, stopTokenIds: [6], outputTokenIds: [5, 6] });
      expect([stopped.end.reason, stopped.end.stoppedBy]).to.deep.equal(['stop', 6]);
    } finally {
      await local.close();
    }
  });

  it('is refused with a token that the model does not have', async () => {
    const local = await startLocalEngine(tinyModel('tiny-qwen3-moe'), { numRanks: 1 });
    try {
      const error = await errorOf(EngineError, () => generated(local, { ...PROMPT, outputTokenIds: [1e6] }));
      expect(error.message).to.include('INVALID_REQUEST: output_token_ids has token id 1000000');
    } finally {
      await local.close();
    }
  });
});
