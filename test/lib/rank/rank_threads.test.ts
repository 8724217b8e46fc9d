import { expect } from 'chai';
import { EngineError } from '../../../lib/protocol/errors.js';
import { runRankThreads } from '../../../lib/rank/rank_threads.js';
import { errorOf } from '../../kit/rejects.js';
import { freePort } from '../../kit/ports.js';

const order = async (joinTimeoutMs: number) => ({
  head: { host: '127.0.0.1', port: await freePort() },
  secret: 'a secret of this test',
  joinTimeoutMs,
});

describe('ranks as threads', () => {
  it('end with the first failure, which names its rank', async () => {
    const told: Error[] = [];
    const onFailed = (failed: Error): void => void told.push(failed);
    const options = { ...(await order(50)), signal: new AbortController().signal, onFailed };
    const error = await errorOf(EngineError, () => runRankThreads(2, options));
    expect([error.code, error.rank]).to.deep.equal(['RANK_FAILED', Number(/rank (\d)/.exec(error.message)![1])]);
    expect(error.message).to.match(/rank [01]: UNREACHABLE/);
    expect(told).to.deep.equal([error]);
  });

  it('end when the process that started them is gone', async () => {
    const gone = new AbortController();
    const ending = errorOf(EngineError, async () =>
      runRankThreads(2, { ...(await order(60_000)), signal: gone.signal }),
    );
    setImmediate(() => gone.abort(new EngineError('HEAD_LOST', 'gone')));
    expect((await ending).message).to.equal('HEAD_LOST: gone');
  });
});
