import { expect } from 'chai';
import type { Engine } from '../../../lib/head/engine.js';
import { EngineError } from '../../../lib/protocol/errors.js';
import type { TokenEvent } from '../../../lib/protocol/request.js';
import { startLocalEngine } from '../../kit/engine/local_engine.js';
import { tinyModel } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';

const MODEL = tinyModel('tiny-deepseek-v3');

const begin = (engine: Engine, signal?: AbortSignal): Promise<IteratorResult<TokenEvent, void>> =>
  engine.generate({ promptTokenIds: [1, 2, 3], maxNewTokens: 8, ignoreEos: true }, signal).next();

describe('the queue of an engine', function () {
  this.timeout(30_000);

  it('refuses the request behind those that may wait, before anything is queued, and takes one when there is room again', async () => {
    const set = ['engine.max_num_seqs=1', 'engine.max_num_batched_tokens=8', 'engine.max_num_waiting=2'];
    const local = await startLocalEngine(MODEL, { numRanks: 1, set });
    try {
      const { engine } = local;
      const news: string[] = [];
      engine.watch({ request: ({ kind }) => void news.push(kind) });
      const caller = new AbortController();
      const first = begin(engine);
      const others = [begin(engine, caller.signal), begin(engine)];
      const error = await errorOf(EngineError, () => begin(engine));
      expect(error.code).to.equal('QUEUE_FULL');
      expect(error.message).to.contain('2 requests wait already, and engine.max_num_waiting is 2');
      expect((await errorOf(EngineError, () => engine.score({ tokenIds: [1, 2] }))).code).to.equal('QUEUE_FULL');
      expect(news.filter((kind) => kind === 'queued')).to.have.length(3);
      caller.abort();
      await errorOf(EngineError, () => others[0]!);
      const taken = begin(engine);
      expect(
        await Promise.all([first, others[1]!, taken].map(async (event) => (await event).value?.kind)),
      ).to.deep.equal(['token', 'token', 'token']);
    } finally {
      await local.close();
    }
  });

  it('of 0 takes what can begin at once, on any rank, and nothing more', async () => {
    const set = ['engine.max_num_seqs=2', 'engine.max_num_batched_tokens=8', 'engine.max_num_waiting=0'];
    const local = await startLocalEngine(MODEL, { numRanks: 2, set });
    try {
      const taken = Array.from({ length: 4 }, () => begin(local.engine));
      expect((await errorOf(EngineError, () => begin(local.engine))).code).to.equal('QUEUE_FULL');
      for (const event of await Promise.all(taken)) expect(event.value?.kind).to.equal('token');
    } finally {
      await local.close();
    }
  });

  it('lets an urgent request begin before those that came earlier, where the policy heeds priorities', async () => {
    const set = ['engine.max_num_seqs=1', 'engine.max_num_batched_tokens=8'];
    for (const [policy, expected] of [
      ['fcfs', [0, 1, 2, 3]],
      ['priority', [3, 1, 0, 2]],
    ] as const) {
      const local = await startLocalEngine(MODEL, { numRanks: 1, set: [...set, `engine.scheduling=${policy}`] });
      try {
        const order: number[] = [];
        const run = async (priority: number, i: number): Promise<void> => {
          const request = { promptTokenIds: [1, 2, 3], maxNewTokens: 2, ignoreEos: true, priority };
          for await (const { kind } of local.engine.generate(request)) if (kind === 'finished') order.push(i);
        };
        await Promise.all([0, -1, 5, -7].map(run));
        expect(order, policy).to.deep.equal(expected);
      } finally {
        await local.close();
      }
    }
  });
});
