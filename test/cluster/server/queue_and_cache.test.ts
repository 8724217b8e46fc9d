import { expect } from 'chai';
import OpenAI, { RateLimitError } from 'openai';
import { DEMO_MODEL } from '../../../lib/config/package_files.js';
import { ServedJob } from '../../kit/server/served_job.js';

describe('a server with a short queue and a prefix cache', function () {
  this.timeout(60_000);
  let job: ServedJob;
  let client: OpenAI;

  before(async () => {
    const set = ['engine.max_num_seqs=1', 'engine.max_num_waiting=1'];
    job = await ServedJob.start({ model: DEMO_MODEL, ranks: 1, set });
    client = new OpenAI({ baseURL: `${job.url}/v1`, apiKey: 'none', maxRetries: 0 });
  });
  after(async () => job.close());

  it('answers 429 with Retry-After when as many wait as may, and the client may try again', async () => {
    const leaving = new AbortController();
    const long = { model: 'moe-7m', prompt: 'Call me', max_tokens: 400, ...{ ignore_eos: true } };
    const held = Array.from({ length: 2 }, () =>
      client.completions.create(long, { signal: leaving.signal }).catch(() => null),
    );
    await job.until(({ numRunning, numWaiting }) => numRunning === 1 && numWaiting === 1);
    for (const stream of [false, true]) {
      const error = await client.completions.create({ ...long, stream }).then(
        () => expect.fail('an answer'),
        (thrown: unknown) => thrown as InstanceType<typeof RateLimitError>,
      );
      expect(error).to.be.instanceOf(RateLimitError).and.include({ code: 'queue_full' });
      expect(error.headers.get('retry-after')).to.equal('1');
    }
    leaving.abort();
    await Promise.all(held);
    await job.until(({ numRunning, numWaiting }) => numRunning + numWaiting === 0);
    expect((await client.completions.create({ ...long, max_tokens: 1 })).choices).to.have.length(1);
  });

  it('tells how many tokens of a prompt were cached, until it is told to forget them', async () => {
    const prompt = Array.from({ length: 40 }, (_, i) => 100 + i);
    const cached = async (): Promise<number> => {
      const { usage } = await client.completions.create({ model: 'moe-7m', prompt, max_tokens: 1, temperature: 0 });
      return usage!.prompt_tokens_details!.cached_tokens!;
    };
    expect(await cached()).to.equal(0);
    expect(await cached()).to.equal(32); // whole blocks of 16
    const reset = await fetch(`${job.url}/reset_prefix_cache`, { method: 'POST' });
    expect(reset.status).to.equal(200);
    expect(await cached()).to.equal(0);
  });
});
