/** Requests that no type checker saw: each fails alone, with its own reason. */
import { expect } from 'chai';
import fc from 'fast-check';
import { EngineError } from '../../../lib/protocol/errors.js';
import type { Engine } from '../../../lib/head/engine.js';
import type { GenerationRequest, ScoreRequest } from '../../../lib/protocol/request.js';
import { tinyGolden } from '../../kit/model/goldens.js';
import { startLocalEngine, type LocalEngine } from '../../kit/engine/local_engine.js';
import { tinyModel } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';

const MODEL = 'tiny-qwen3-moe';
const GOLDEN = tinyGolden(MODEL);
const GOOD = { promptTokenIds: GOLDEN.prompt_token_ids, maxNewTokens: 4, ignoreEos: true };
const EXPECTED = GOLDEN.greedy_token_ids.slice(0, 4);

async function tokensOf(engine: Engine, request: unknown, signal?: unknown): Promise<number[]> {
  const tokens: number[] = [];
  const events = engine.generate(request as GenerationRequest, signal as AbortSignal);
  for await (const event of events) if (event.kind === 'token') tokens.push(event.tokenId);
  return tokens;
}

/** [1, , 3]: `every` and `find` pass over what isn't there. */
const WITH_A_HOLE = Object.assign(new Array<number>(3), { 0: 1, 2: 3 });

describe('a request', function () {
  this.timeout(60_000);
  let local: LocalEngine;
  let engine: Engine;
  before(async () => {
    local = await startLocalEngine(tinyModel(MODEL), { numRanks: 2, onPeerLoss: 'fail' });
    engine = local.engine;
  });
  after(() => local.close());

  it('may give its token ids in any array of whole numbers, and undefined for what it leaves out', async () => {
    for (const kind of [Int32Array, Uint16Array, Uint32Array]) {
      const promptTokenIds = kind.from(GOOD.promptTokenIds);
      expect(await tokensOf(engine, { ...GOOD, promptTokenIds })).to.deep.equal(EXPECTED);
    }
    const undefineds = {
      stop: undefined,
      returnRoutedExperts: undefined,
      sampling: { topK: undefined, seed: undefined },
    };
    expect(await tokensOf(engine, { ...GOOD, ...undefineds })).to.deep.equal(EXPECTED);
  });

  const WRONG: readonly (readonly [request: unknown, message: RegExp])[] = [
    [undefined, /^INVALID_REQUEST: the request is missing; give an object$/],
    [null, /the request is null; give an object/],
    [{}, /"promptTokenIds" is missing; give a list of token ids/],
    [{ ...GOOD, promptTokenIds: null }, /"promptTokenIds" is null; give a list of token ids/],
    [{ ...GOOD, promptTokenIds: 'Hi' }, /"promptTokenIds" is "Hi"; give a list of token ids/],
    [{ ...GOOD, promptTokenIds: ['5'] }, /"promptTokenIds" is \["5"\]; give a list of token ids/],
    [{ ...GOOD, promptTokenIds: new Float32Array(2) }, /"promptTokenIds" is .*give a list of token ids/],
    [{ ...GOOD, promptTokenIds: [] }, /the prompt is empty/],
    [{ ...GOOD, promptTokenIds: [1.5] }, /token id 1.5 is outside/],
    [{ ...GOOD, promptTokenIds: [1e9] }, /token id 1000000000 is outside/],
    [{ ...GOOD, promptTokenIds: [NaN] }, /token id NaN is outside/],
    [{ ...GOOD, maxNewTokens: '4' }, /"maxNewTokens" is "4"; give a number/],
    [{ ...GOOD, maxNewTokens: Infinity }, /"maxNewTokens" is Infinity; give a number/],
    [{ ...GOOD, promptTokenIds: WITH_A_HOLE }, /"promptTokenIds" is \[1,null,3\]; give a list of token ids/],
    [{ ...GOOD, promptTokenIds: new Array<number>(3) }, /"promptTokenIds" is \[null,null,null\]/],
    [{ ...GOOD, promptTokenIds: [1n] }, /"promptTokenIds" is \["1n"\]; give a list/],
    [{ ...GOOD, promptTokenIds: givenAway() }, /"promptTokenIds" is \{\}; give a list/],
    [{ ...GOOD, stop: () => 1 }, /"stop" is a function; give a list of texts/],
    [
      { ...GOOD, onLogits: () => undefined },
      /there is no "onLogits" in a request; its keys are promptTokenIds, [^(]*hooks$/,
    ],
    [{ ...GOOD, max_new_tokens: 4 }, /there is no "max_new_tokens" in a request; did you mean "maxNewTokens"\?/],
    [{ ...GOOD, pinMs: 90_000_000 }, /"pinMs" is 90000000; give a number from 0 to 86400000/],
    [{ ...GOOD, sampling: { temprature: 1 } }, /there is no "temprature" in "sampling"; did you mean "temperature"\?/],
    [{ ...GOOD, sampling: { temperature: null } }, /"sampling.temperature" is null; give a number/],
    [{ ...GOOD, sampling: { topK: -1 } }, /top_k is -1/],
    [{ ...GOOD, sampling: { choice: 0.5 } }, /choice is 0.5/],
    [{ ...GOOD, sampling: { repetitionPenalty: 1e-300 } }, /repetition_penalty is 1e-300/],
    [{ ...GOOD, sampling: [] }, /"sampling" is \[\]; give an object/],
    [{ ...GOOD, sampling: { presencePenalty: 3 } }, /presence_penalty is 3; give a number from −2 to 2/],
    [{ ...GOOD, sampling: { frequencyPenalty: '1' } }, /"sampling.frequencyPenalty" is "1"; give a number/],
    [
      { ...GOOD, sampling: { logitBias: { 5: 1 } } },
      /"sampling.logitBias" is \{"5":1\}; give a list of pairs \[token id, bias\]/,
    ],
    [{ ...GOOD, sampling: { logitBias: [[5]] } }, /"sampling.logitBias" is \[\[5\]\]; give a list of pairs/],
    [{ ...GOOD, sampling: { logitBias: [[5, '1']] } }, /"sampling.logitBias" is .*; give a list of pairs/],
    [{ ...GOOD, sampling: { logitBias: [[1e9, 1]] } }, /logit_bias has token id 1000000000, outside/],
    [{ ...GOOD, sampling: { allowedTokenIds: 5 } }, /"sampling.allowedTokenIds" is 5; give a list of token ids/],
    [{ ...GOOD, sampling: { allowedTokenIds: [] } }, /allowed_token_ids is empty/],
    [
      { ...GOOD, sampling: { minTokens: 5 } },
      /min_tokens is 5, and max_new_tokens 4; lower the first or raise the second/,
    ],
    [{ ...GOOD, sampling: { minTokens: 0.5 } }, /min_tokens is 0.5; give a whole number from 0/],
    [{ ...GOOD, stopTokenIds: 5 }, /"stopTokenIds" is 5; give a list of token ids/],
    [{ ...GOOD, stopTokenIds: [-1] }, /stop_token_ids has token id -1, outside/],
    [{ ...GOOD, stopTokenIds: new Array(1025).fill(1) }, /stop_token_ids has 1025 tokens; give at most 1024/],
    [{ ...GOOD, includeStop: 1 }, /"includeStop" is 1; give true or false/],
    [{ ...GOOD, skipSpecialTokens: 'no' }, /"skipSpecialTokens" is "no"; give true or false/],
    [{ ...GOOD, returnRouterLogits: 0 }, /"returnRouterLogits" is 0; give true, false, or a share over 0, up to 1/],
    [{ ...GOOD, hooks: {} }, /"hooks" is .*; give a list of hooks/],
    [{ ...GOOD, logprobs: 21 }, /"logprobs" is 21; give a whole number from 0 to 20/],
    [{ ...GOOD, logprobs: true }, /"logprobs" is true; give a number/],
    [{ ...GOOD, promptLogprobs: -1 }, /"promptLogprobs" is -1; give a whole number from 0 to 20/],
    [{ ...GOOD, promptLogprobs: 1, maxNewTokens: -1 }, /max_new_tokens is -1; give a whole number from 0/],
    [{ ...GOOD, maxNewTokens: 0 }, /max_new_tokens is 0; give a whole number from 1/],
    [{ ...GOOD, priority: 2 ** 31 }, /"priority" is 2147483648; give a whole number from -2147483648 to 2147483647/],
    [{ ...GOOD, priority: 0.5 }, /"priority" is 0.5; give a whole number/],
    [{ ...GOOD, id: 5 }, /"id" is 5; give a text$/],
    [{ ...GOOD, id: 'x'.repeat(257) }, /"id" is "x.*; give a text of at most 256 characters$/],
    [{ ...GOOD, stop: new Array(1025).fill('x') }, /"stop" is .*; give at most 1024 texts$/],
    [{ ...GOOD, stop: ['x'.repeat(9000), 'y'.repeat(9000)] }, /give texts of at most 16384 characters together$/],
    [{ ...GOOD, stop: 'x' }, /"stop" is "x"; give a list of texts/],
    [{ ...GOOD, stop: [1] }, /"stop.0" is 1; give a text/],
    [{ ...GOOD, ignoreEos: 'yes' }, /"ignoreEos" is "yes"; give true or false/],
  ];
  for (const [request, message] of WRONG) {
    it(`is refused where ${String(message)}`, async () => {
      const error = await errorOf(EngineError, () => tokensOf(engine, request));
      expect(error.message).to.match(message);
      expect(error.code).to.be.oneOf(['INVALID_REQUEST', 'CONTEXT_LENGTH_EXCEEDED']);
    });
  }

  it('with something else than a signal is refused', async () => {
    for (const signal of [null, {}, 'abort']) {
      const error = await errorOf(EngineError, () => tokensOf(engine, GOOD, signal));
      expect(error.message).to.match(/^INVALID_REQUEST: the signal is .*; give an AbortSignal/);
    }
  });

  it('to score is checked alike', async () => {
    for (const [request, message] of [
      [undefined, /the request is missing/],
      [{ tokenIds: [1] }, /1 tokens to score; give at least 2/],
      [{ tokenIds: [1, 2], onLogits: 5 }, /"onLogits" is 5; give a function/],
      [{ tokenIds: WITH_A_HOLE }, /"tokenIds" is \[1,null,3\]/],
      [{ tokenIds: [1, NaN] }, /token id NaN is outside/],
      [{ tokenIds: [1, -2] }, /token id -2 is outside/],
      [{ tokenId: [1, 2] }, /tokenIds/],
    ] as const) {
      const error = await errorOf(EngineError, () => engine.score(request as unknown as ScoreRequest));
      expect(error.code).to.equal('INVALID_REQUEST');
      expect(error.message).to.match(message);
    }
    const tokenIds = Int32Array.from(GOOD.promptTokenIds);
    expect((await engine.score({ tokenIds })).logprobs).to.have.length(tokenIds.length - 1);
  });

  it('of any values at all fails alone with a coded error, while others go on', async () => {
    const value = fc.oneof(
      fc.anything({ maxDepth: 1 }),
      fc.constantFrom(NaN, Infinity, -0, 5e-324, 1e308, 2 ** 53, Symbol('s'), 10n, () => 1),
      fc.array(fc.integer(), { maxLength: 3 }),
      fc.array(fc.tuple(fc.nat(5), fc.integer()), { maxLength: 3 }),
      fc.nat(25),
    );
    const keys = [
      ...['promptTokenIds', 'maxNewTokens', 'sampling', 'stop', 'ignoreEos', 'returnRoutedExperts', 'other'],
      ...['stopTokenIds', 'includeStop', 'skipSpecialTokens', 'logprobs', 'promptLogprobs', 'priority', 'id'],
    ];
    const sampling = [
      ...['temperature', 'topK', 'topP', 'minP', 'repetitionPenalty', 'seed', 'choice', 'top_k'],
      ...['presencePenalty', 'frequencyPenalty', 'logitBias', 'allowedTokenIds', 'minTokens'],
    ];
    const changed = fc.oneof(
      fc.dictionary(fc.constantFrom(...keys), value, { maxKeys: 2 }),
      fc.dictionary(fc.constantFrom(...sampling), value, { maxKeys: 2 }).map((own) => ({ sampling: own })),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          value,
          changed.map((own) => ({ ...GOOD, maxNewTokens: 2, ...own })),
        ),
        async (request) => {
          const [other] = await Promise.all([
            tokensOf(engine, GOOD),
            tokensOf(engine, request).catch((error: unknown) => {
              expect(error).to.be.instanceOf(EngineError);
              expect((error as EngineError).code).to.be.oneOf([
                'INVALID_REQUEST',
                'CONTEXT_LENGTH_EXCEEDED',
                'NO_TOKENIZER',
              ]);
              expect((error as EngineError).message.length).to.be.below(1000);
            }),
          ]);
          expect(other).to.deep.equal(EXPECTED);
        },
      ),
      { numRuns: 300 },
    );
  });
});

/** A typed array whose memory went to another thread. */
function givenAway(): Int32Array {
  const ids = Int32Array.of(1, 2, 3);
  structuredClone(ids.buffer, { transfer: [ids.buffer] });
  return ids;
}
