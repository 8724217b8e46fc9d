/** One request fails and the others go on, in a job that masks losses. */
import { expect } from 'chai';
import { EngineError } from '../../../lib/protocol/errors.js';
import type { StepResult } from '../../../lib/protocol/step_plan.js';
import { startLocalEngine, type LocalEngine, type LocalEngineOptions } from '../../kit/engine/local_engine.js';
import { tinyGolden } from '../../kit/model/goldens.js';
import { tinyModel } from '../../kit/paths.js';
import { replicated } from '../../kit/engine/placements.js';
import { errorOf } from '../../kit/rejects.js';

const MODEL = 'tiny-deepseek-v3';
const PROMPT = tinyGolden(MODEL).prompt_token_ids;
const NUM_NEW = 6;
const EXPECTED = tinyGolden(MODEL).greedy_token_ids.slice(0, NUM_NEW);
/** As many requests as two for each of four ranks; this one breaks its rank. */
const NUM_REQUESTS = 8;
const BROKEN = 5;

async function withEngine(options: Partial<LocalEngineOptions>, use: (local: LocalEngine) => Promise<void>) {
  const local = await startLocalEngine(tinyModel(MODEL), { numRanks: 4, placement: replicated(4), ...options });
  try {
    await use(local);
  } finally {
    await local.close();
  }
}

async function generate({ engine }: LocalEngine): Promise<number[]> {
  const tokens: number[] = [];
  const request = { promptTokenIds: PROMPT, maxNewTokens: NUM_NEW, ignoreEos: true };
  for await (const event of engine.generate(request)) if (event.kind === 'token') tokens.push(event.tokenId);
  return tokens;
}

/** What becomes of all requests, when a rank that computes {@link BROKEN} beyond its `numFirst` tokens does this instead. */
function outcomes(local: LocalEngine, numFirst: number, instead: () => Promise<StepResult>) {
  for (const executor of local.executors) {
    const run = executor.run.bind(executor);
    executor.run = (plan, signal) => {
      const isBroken = plan.parts.some(
        ({ sequence, position, tokenIds }) => sequence === BROKEN && position + tokenIds.length > numFirst,
      );
      return isBroken ? instead() : run(plan, signal);
    };
  }
  return Promise.allSettled(Array.from({ length: NUM_REQUESTS }, () => generate(local)));
}

function expectOneFailed(ended: readonly PromiseSettledResult<number[]>[], { losses }: LocalEngine): EngineError {
  ended.forEach((end, i) => {
    if (i !== BROKEN) expect(end).to.deep.equal({ status: 'fulfilled', value: EXPECTED });
  });
  const [lost, lostNext] = losses.map(({ lost: [first] }) => first!.rank);
  expect(losses.map(({ numFailed, numRanksLeft }) => [numFailed, numRanksLeft])).to.deep.equal([
    [0, 3],
    [1, 2],
  ]);
  const error = (ended[BROKEN] as PromiseRejectedResult).reason as EngineError;
  expect(error).to.be.instanceOf(EngineError);
  expect(error).to.include({ code: 'RANK_FAILED', rank: lostNext });
  expect(error.message).to.match(
    new RegExp(`^RANK_FAILED: two ranks were lost while they computed this request: .*${lost}.* and .*${lostNext}`),
  );
  expect(error.message).to.match(/raise comm\.timeout_ms or lower engine\.max_num_batched_tokens$/);
  return error;
}

describe('a request that fails alone', function () {
  this.timeout(60_000);

  for (const [when, numFirst] of [
    ['at its prompt', 0],
    ['at a generated token', PROMPT.length + 2],
  ] as const) {
    it(`${when}, where it throws on every rank: it costs two ranks, and the other requests go on`, async () => {
      await withEngine({}, async (local) => {
        const ended = await outcomes(local, numFirst, () => Promise.reject(new RangeError('no such token')));
        const { message } = expectOneFailed(ended, local);
        expect(message).to.match(
          /rank \d failed in step \d+: INTERNAL: no such token, and rank \d failed in step \d+: INTERNAL: no such/,
        );
      });
    });
  }

  it('where it takes longer than the deadline on every rank: likewise', async () => {
    let release: (error: Error) => void = () => undefined;
    const released = new Promise<StepResult>((_, reject) => (release = reject));
    await withEngine({ timeoutMs: 500 }, async (local) => {
      try {
        const ended = await outcomes(local, PROMPT.length, () => released);
        const { message } = expectOneFailed(ended, local);
        expect(message).to.match(/rank \d sent nothing .* 500 ms, says rank \d in step \d+/);
      } finally {
        release(new Error('the test is over'));
      }
    });
  });

  it("by its caller's onLogits: with the caller's own error, also one that isn't an Error", async () => {
    await withEngine({ numRanks: 2 }, async (local) => {
      const full = new RangeError('the disk is full');
      const score = (onLogits: () => void | Promise<void>): Promise<unknown> =>
        local.engine.score({ tokenIds: PROMPT, onLogits });
      const failing = score(() => Promise.reject(full)).catch((error: unknown) => error);
      const throwing = errorOf(Error, () =>
        score(() => {
          // eslint-disable-next-line @typescript-eslint/only-throw-error -- callers may
          throw 'no reason';
        }),
      );
      const [tokens, error, thrown] = await Promise.all([generate(local), failing, throwing]);
      expect(tokens).to.deep.equal(EXPECTED);
      expect(error).to.equal(full);
      expect(thrown.message).to.equal('no reason');
      expect(await generate(local), 'a later request').to.deep.equal(EXPECTED);
      expect(local.losses).to.deep.equal([]);
    });
  });
});
