/** Ranks that die while a request goes on in another instance: two whole engines, of which everything but sockets and processes is real. */
import { expect } from 'chai';
import type { Moment } from '../../../kit/engine/local_rank.js';
import { aloneOf, playScene, type HandoverFault } from '../../../kit/engine/handover_faults.js';

const AT: Record<string, readonly [HandoverFault['side'], Moment]> = {
  'is told that its rows may be read': ['source', { kind: 'order', order: 'lease', nth: 1 }],
  'sends its first rows': ['source', { kind: 'kv_sent', nth: 1 }],
  'sends some rows': ['source', { kind: 'kv_sent', nth: 3 }],
  'is told to pull': ['target', { kind: 'order', order: 'pull', nth: 1 }],
  'is told to pull again': ['target', { kind: 'order', order: 'pull', nth: 2 }],
  'takes its first rows': ['target', { kind: 'kv_arrived', nth: 1 }],
  'takes some rows': ['target', { kind: 'kv_arrived', nth: 3 }],
  'says that it pulled': ['target', { kind: 'message', message: 'pulled', nth: 1 }],
};

describe('a request that goes on in another instance, where a rank dies as it', function () {
  this.timeout(120_000);
  const expected = new Map<string, number[]>();
  before(async () => {
    for (const model of ['tiny-deepseek-v3', 'tiny-qwen3-moe']) expected.set(model, await aloneOf(model));
  });

  for (const side of ['source', 'target'] as const) {
    for (const way of ['live', 'streamed'] as const) {
      it(`is the only one of the ${side}, and all goes with it: has the tokens of one (${way})`, async () => {
        const model = 'tiny-qwen3-moe';
        const at: Moment = side === 'source' ? { kind: 'kv_sent', nth: 3 } : { kind: 'kv_arrived', nth: 3 };
        const numRanks = side === 'source' ? ([1, 2] as const) : ([2, 1] as const);
        const outcome = await playScene({ model, way, numRanks, fault: { side, at } }, expected.get(model)!);
        expect(outcome.ends).to.deep.equal(side === 'source' ? ['error', 'finished'] : ['finished', 'error']);
      });
    }
  }

  it('of the target says nothing any more: has the tokens of one', async () => {
    const model = 'tiny-deepseek-v3';
    const fault = { side: 'target', at: { kind: 'kv_arrived', nth: 3 }, how: 'stopped' } as const;
    const outcome = await playScene({ model, way: 'streamed', timeoutMs: 2000, fault }, expected.get(model)!);
    expect(outcome).to.deep.include({ hasFailed: true, ends: ['moved', 'finished'] });
  });

  for (const [i, [what, [side, at]]] of Object.entries(AT).entries()) {
    for (const way of ['live', 'streamed'] as const) {
      if (way === 'streamed' && what === 'is told to pull again') continue; // it pulls once
      const model = (i + Number(way === 'live')) % 2 === 0 ? 'tiny-deepseek-v3' : 'tiny-qwen3-moe';
      it(`${what}: has the tokens of one (${way}, ${model})`, async () => {
        const outcome = await playScene({ model, way, fault: { side, at } }, expected.get(model)!);
        expect(outcome.hasFailed).to.equal(true);
      });
    }
  }
});
