import { expect } from 'chai';
import type { Scaled } from '../../../../lib/head/elastic/scale_events.js';
import { EngineError } from '../../../../lib/protocol/errors.js';
import type { ServedEngine } from '../../../../lib/server/base/served_engine.js';
import { PlayedEngine, playText } from '../../../kit/server/played_engine.js';
import { errorOf, post, servedApp } from '../../../kit/server/served_app.js';

const SCALED: Scaled = {
  ...{ before: 2, after: 4, joined: [2, 3], left: [], numMovedExperts: 48, numMovedSequences: 0, numRecomputed: 0 },
  ...{ ms: 812, firstMs: 640 },
};

interface Asked {
  readonly numRanks: number;
  readonly signal: AbortSignal | undefined;
}

function scalable(scale: NonNullable<ServedEngine['scale']>, isScaling = false) {
  const asked: Asked[] = [];
  const engine = Object.assign(new PlayedEngine(playText('')), {
    isScaling,
    scale: (numRanks: number, signal?: AbortSignal) => {
      asked.push({ numRanks, signal });
      return scale(numRanks, signal);
    },
  });
  return { engine, asked };
}

describe('POST /scale_elastic_ep', () => {
  it("answers in vLLM's words when the job has so many ranks, with what it took", async () => {
    const { engine, asked } = scalable(() => Promise.resolve(SCALED));
    const { app } = await servedApp({ engine });
    const answer = await post(app, '/scale_elastic_ep', { new_data_parallel_size: 4 });
    expect(answer.statusCode).to.equal(200);
    expect(answer.json()).to.deep.equal({
      message: 'Scaled to 4 data parallel engines',
      ...{ ranks_before: 2, ranks: 4, joined: [2, 3], left: [], moved_experts: 48, moved_sequences: 0, recomputed: 0 },
      ...{ ms: 812, first_ms: 640 },
    });
    expect(asked.map(({ numRanks }) => numRanks)).to.deep.equal([4]);
  });

  for (const [what, body, param] of [
    ['no size', {}, 'new_data_parallel_size'],
    ['a size of 0', { new_data_parallel_size: 0 }, 'new_data_parallel_size'],
    ['half a rank', { new_data_parallel_size: 1.5 }, 'new_data_parallel_size'],
    ['a size that is a text', { new_data_parallel_size: '2' }, 'new_data_parallel_size'],
    ['a size without end', { new_data_parallel_size: 1e9 }, 'new_data_parallel_size'],
    ['no time to drain', { new_data_parallel_size: 2, drain_timeout: 0 }, 'drain_timeout'],
  ] as const) {
    it(`is 400 for ${what}, and nothing is asked of the engine`, async () => {
      const { engine, asked } = scalable(() => Promise.resolve(SCALED));
      const { app } = await servedApp({ engine });
      const answer = await post(app, '/scale_elastic_ep', body);
      expect(answer.statusCode).to.equal(400);
      expect(errorOf(answer).param).to.equal(param);
      expect(asked).to.deep.equal([]);
    });
  }

  it('is 400 for more ranks than the job can have, in the words of the engine', async () => {
    const refusal = new EngineError('INVALID_REQUEST', '9 ranks; this job has 4 seats: give a number from 1 to 4');
    const { app } = await servedApp({ engine: scalable(() => Promise.reject(refusal)).engine });
    const answer = await post(app, '/scale_elastic_ep', { new_data_parallel_size: 9 });
    expect(answer.statusCode).to.equal(400);
    expect(errorOf(answer)).to.include({ param: 'new_data_parallel_size', message: refusal.text });
  });

  it('is 409 while the job is being scaled', async () => {
    const { engine, asked } = scalable(() => Promise.resolve(SCALED), true);
    const { app } = await servedApp({ engine });
    const answer = await post(app, '/scale_elastic_ep', { new_data_parallel_size: 2 });
    expect(answer.statusCode).to.equal(409);
    expect(asked).to.deep.equal([]);
  });

  it('is 500 where the job could not be scaled, and says how many ranks there are', async () => {
    const failure = new EngineError('SCALE_FAILED', 'the job goes on with 2 ranks (rank 2 ended)');
    const { app } = await servedApp({ engine: scalable(() => Promise.reject(failure)).engine });
    const answer = await post(app, '/scale_elastic_ep', { new_data_parallel_size: 4 });
    expect(answer.statusCode).to.equal(500);
    expect(errorOf(answer)).to.include({ code: 'scale_failed', message: `not scaled: ${failure.text}` });
  });

  it('is 408 where drain_timeout seconds were not enough, and gives up by then', async () => {
    const failure = new EngineError(
      'SCALE_FAILED',
      'the job goes on with 4 ranks (it took longer than it may; give it more time)',
    );
    const { engine, asked } = scalable(
      (_, signal) =>
        new Promise((_resolve, reject) => signal!.addEventListener('abort', () => reject(failure), { once: true })),
    );
    const { app } = await servedApp({ engine });
    const answer = await post(app, '/scale_elastic_ep', { new_data_parallel_size: 2, drain_timeout: 1 });
    expect(answer.statusCode).to.equal(408);
    expect(errorOf(answer).message).to.equal(`not scaled within drain_timeout, 1 s: ${failure.text}`);
    expect(asked[0]!.signal!.aborted).to.equal(true);
  });

  it('is 400 for an engine whose ranks are always the same', async () => {
    const { app } = await servedApp();
    const answer = await post(app, '/scale_elastic_ep', { new_data_parallel_size: 2 });
    expect(answer.statusCode).to.equal(400);
    expect(errorOf(answer).code).to.equal('unsupported');
  });

  it('is for clients of this machine alone, unless they have a key', async () => {
    const { app } = await servedApp({ base: { server: { host: '0.0.0.0' } } });
    const elsewhere = { method: 'POST', url: '/scale_elastic_ep', remoteAddress: '10.0.0.9' } as const;
    expect(errorOf(await app.inject(elsewhere)).code).to.equal('local_only');
  });
});

describe('/is_scaling_elastic_ep', () => {
  for (const method of ['GET', 'POST'] as const) {
    for (const isScaling of [true, false]) {
      it(`tells ${method} that the job is ${isScaling ? '' : 'not '}being scaled`, async () => {
        const { app } = await servedApp({ engine: scalable(() => Promise.resolve(SCALED), isScaling).engine });
        const answer = await app.inject({ method, url: '/is_scaling_elastic_ep' });
        expect(answer.json()).to.deep.equal({ is_scaling_elastic_ep: isScaling });
      });
    }
  }
});
