import { expect } from 'chai';
import { outputExchanges, toldOf, type ToldRequest } from '../../../../lib/head/scheduling/told.js';
import { fcfs } from '../../../../lib/head/scheduling/policies/fcfs.js';
import { Scheduler } from '../../../../lib/head/scheduling/scheduler.js';
import { outputRowsAtOnce, type Look } from '../../../../lib/protocol/look.js';
import { modelSpecOf } from '../../../../lib/model/families/registry.js';
import { OPTIONS, request, shapesOf, stepOf } from '../../../kit/engine/scheduling.js';
import { tinyModel } from '../../../kit/paths.js';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const SPEC = modelSpecOf(JSON.parse(readFileSync(join(tinyModel('tiny-mixtral'), 'config.json'), 'utf8')) as object);
const { hiddenSize: H, vocabSize: V } = SPEC;
const { numExperts: E, numTopk: K } = SPEC.moe.gate;

const look = (layers: Look['layers'], rest: Partial<Look> = {}): Look => ({
  ...{ layers, tokens: 'all', share: 1, seed: 0 },
  ...rest,
});

const looked = (sequence: number, promptLength: number, looks: readonly Look[], logits = false) => {
  const own = request(sequence, promptLength, 2, { logits });
  return { ...own, wants: { ...own.wants, looks } };
};

describe('what tokens tell the head', () => {
  const told = toldOf(SPEC);
  const bytesOf = (request: ToldRequest, position: number): number => told.bytesOf(request)(position);

  it('is each table once, whichever looks are at it, and the logits', () => {
    const looks = [
      look({ hidden: [0, 2], router_logits: [1] }),
      look({ hidden: [2], experts: [1], weights: [1], expert_outputs: [1] }),
    ];
    expect(bytesOf(looked(0, 4, looks), 2)).to.equal(4 * (2 * H + E + 2 * K + K * H));
    expect(bytesOf(looked(0, 4, looks, true), 2)).to.equal(4 * (2 * H + E + 2 * K + K * H + V));
    expect(bytesOf(request(0, 4), 2)).to.equal(0);
  });

  it('is nothing of a token that no look is at', () => {
    const prompt = look({ hidden: [0] }, { tokens: 'prompt' });
    const generated = look({ router_logits: [1] }, { tokens: 'generated' });
    expect([3, 4].map((position) => bytesOf(looked(0, 4, [prompt, generated]), position))).to.deep.equal([
      4 * H,
      4 * E,
    ]);
    const rare = look({ hidden: [0] }, { share: 1e-9 });
    expect(bytesOf(looked(0, 4, [rare]), 2)).to.equal(0);
  });

  it('cuts prompts into chunks that stay within the step’s bytes', () => {
    const own = { told: toldOf(SPEC), policy: fcfs, maxToldBytes: 3 * 4 * H, maxNumBatchedTokens: 16 };
    const scheduler = new Scheduler({ ...OPTIONS, ...own });
    scheduler.add(looked(0, 8, [look({ hidden: [1] })]));
    scheduler.add(request(1, 8));
    expect(shapesOf(stepOf(scheduler)[0]!).map(([sequence, , numTokens]) => [sequence, numTokens])).to.deep.equal([
      [0, 3],
      [1, 8],
    ]);
  });
});

describe('exchanges of expert outputs', () => {
  const sizes = { numTopk: 2, maxNumBatchedTokens: 16 };
  const requests = [
    looked(0, 9, [look({ expert_outputs: [1] })]),
    looked(1, 9, [look({ expert_outputs: [1, 2] }, { tokens: 'prompt' })]),
    request(2, 9),
  ];
  const part = (sequence: number, numTokens: number, rest = {}) => ({
    ...{ sequence, tokenIds: Array<number>(numTokens).fill(5), position: 0, blocks: [], isPrompt: true, sample: false },
    ...{ nextPromptToken: null, isReplay: false },
    ...rest,
  });
  const exchangesOf = (...plans: ReturnType<typeof part>[][]) =>
    outputExchanges(
      plans.map((parts) => ({ parts })),
      (sequence) => requests[sequence]!,
      sizes,
    );

  it('are as many as the rank needs that wants most, layer by layer, of a quarter of a step’s rows each', () => {
    expect(outputRowsAtOnce(16)).to.equal(4);
    expect(exchangesOf([part(0, 3)], [part(1, 5), part(2, 4)])).to.deep.equal([
      { layer: 1, numExchanges: 3 },
      { layer: 2, numExchanges: 3 },
    ]);
    expect(exchangesOf([part(0, 3), part(1, 1)], [])).to.deep.equal([
      { layer: 1, numExchanges: 2 },
      { layer: 2, numExchanges: 1 },
    ]);
  });

  it('are none where nobody wants any, of replays, and of tokens that no look is at', () => {
    expect(exchangesOf([part(2, 4)], [])).to.equal(undefined);
    expect(exchangesOf([part(0, 4, { isReplay: true })], [])).to.equal(undefined);
    expect(exchangesOf([part(1, 1, { position: 9, isPrompt: false })], [])).to.equal(undefined);
  });
});
