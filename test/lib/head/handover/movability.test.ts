import { expect } from 'chai';
import { checkMovable, movability } from '../../../../lib/head/handover/movability.js';
import { EngineError } from '../../../../lib/protocol/errors.js';
import type { GenerationRequest, TokenEvent } from '../../../../lib/protocol/request.js';
import { startLocalEngine } from '../../../kit/engine/local_engine.js';
import { PROMPT } from '../../../kit/engine/masking.js';
import { tinyModel } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';

const MOVABLE: GenerationRequest = { promptTokenIds: PROMPT, maxNewTokens: 6, ignoreEos: true, id: 'a', movable: true };

describe('a request', () => {
  const told: readonly Partial<GenerationRequest>[] = [
    { logprobs: 0 },
    { promptLogprobs: 1 },
    { returnRoutedExperts: true },
    { returnRouterLogits: 0.5 },
    { hooks: [{ looks: {} } as never] },
  ];
  for (const more of told) {
    const [key] = Object.keys(more) as [string];
    it(`that is told ${key} of each token is not movable`, async () => {
      const error = await errorOf(EngineError, () => checkMovable({ ...MOVABLE, ...more }));
      expect(error).to.include({ code: 'INVALID_REQUEST' });
      expect(error.message).to.include(`"${key}"`);
      checkMovable({ ...MOVABLE, ...more, movable: false });
    });
  }

  it('is movable where it asks for none of that', () => {
    checkMovable({ ...MOVABLE, returnRoutedExperts: false, returnRouterLogits: false, hooks: [] });
  });

  it('is movable by its id, and handed over where it is movable', async () => {
    const { promptTokenIds, maxNewTokens } = MOVABLE;
    const lacks = [
      { promptTokenIds, maxNewTokens, movable: true },
      { ...MOVABLE, movable: false, handover: 'after_prompt' as const },
    ];
    for (const each of lacks) {
      expect(await errorOf(EngineError, () => checkMovable(each))).to.include({ code: 'INVALID_REQUEST' });
    }
  });

  it('that is handed over pauses with one token more than it came with', () => {
    const handedOver = { ...MOVABLE, handover: 'after_prompt' as const };
    expect(movability(MOVABLE)).to.deep.equal({ isMovable: true, pauseAfter: null });
    expect(movability(handedOver)).to.deep.equal({ isMovable: true, pauseAfter: 1 });
    expect(movability({ ...handedOver, outputTokenIds: [1, 2] })).to.deep.equal({ isMovable: true, pauseAfter: 3 });
  });
});

describe('an engine', () => {
  it('offers a movable request by its id, once, and ends it with an event that says that it moved', async () => {
    const local = await startLocalEngine(tinyModel('tiny-qwen3-moe'), { numRanks: 1 });
    const { engine } = local;
    try {
      const request = { ...MOVABLE, maxNewTokens: 30, sampling: { temperature: 1, seed: 5 } };
      const events: TokenEvent[] = [];
      let moved = Promise.resolve();
      for await (const event of engine.generate(request)) {
        events.push(event);
        if (events.length !== 2) continue;
        expect([engine.isMovable(0), engine.isMovable(1)]).to.deep.equal([true, false]);
        const offer = engine.offer('a');
        expect(engine.isMovable(0)).to.equal(false);
        for (const id of ['a', 'b']) {
          expect(await errorOf(EngineError, () => engine.offer(id))).to.include({ code: 'NOT_MOVABLE' });
        }
        expect(offer.place(), 'its rank has no door').to.equal(null);
        moved = offer.pause().then(({ numTokens }) => {
          expect(numTokens, 'nothing can be read').to.equal(0);
          offer.commit();
        });
      }
      await moved;
      expect(events.slice(0, -1).every(({ kind }) => kind === 'token')).to.equal(true);
      expect(events.at(-1)).to.deep.equal({ kind: 'moved', text: '', seed: 5 });
      expect(engine.load.ranks.map(({ numUsedBlocks }) => numUsedBlocks)).to.deep.equal([0]);
    } finally {
      await local.close();
    }
  });
});
