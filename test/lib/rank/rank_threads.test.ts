import { expect } from 'chai';
import { EngineError } from '../../../lib/protocol/errors.js';
import type { RankFailure, RankOutcome } from '../../../lib/rank/rank_service.js';
import { runRankThreads } from '../../../lib/rank/rank_threads.js';
import { freePort } from '../../kit/processes/ports.js';

const order = async (joinTimeoutMs: number) => ({
  head: { host: '127.0.0.1', port: await freePort() },
  secret: 'a secret of this test',
  joinTimeoutMs,
});

async function failureOf(ending: Promise<RankOutcome>): Promise<{ outcome: RankOutcome; error: EngineError }> {
  const outcome = await ending;
  if (outcome.kind !== 'failed' || !(outcome.error instanceof EngineError)) expect.fail(outcome.kind);
  return { outcome, error: outcome.error };
}

describe('ranks as threads', () => {
  it('end with the first failure, which names its rank', async () => {
    const told: unknown[] = [];
    const onFailed = (failure: RankFailure): void => void told.push(failure);
    const options = { ...(await order(50)), signal: new AbortController().signal, onFailed };
    const { outcome, error } = await failureOf(runRankThreads(2, options));
    expect([error.code, error.rank]).to.deep.equal(['RANK_FAILED', Number(/rank (\d)/.exec(error.message)![1])]);
    expect(error.message).to.match(/rank [01]: UNREACHABLE/);
    expect(told).to.deep.equal([outcome]);
  });

  it('end when the process that started them is gone', async () => {
    const gone = new AbortController();
    const ending = runRankThreads(2, { ...(await order(60_000)), signal: gone.signal });
    setImmediate(() => gone.abort(new EngineError('HEAD_LOST', 'gone')));
    expect((await failureOf(ending)).error.message).to.equal('HEAD_LOST: gone');
  });
});
