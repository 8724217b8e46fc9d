import { expect } from 'chai';
import type { ServerResponse } from 'node:http';
import type { ErrorBody } from '../../../../../lib/server/base/api_error.js';
import {
  beginEvents,
  deadUrl,
  DONE,
  event,
  jsonOf,
  streamOf,
  withTalker,
} from '../../../../kit/cluster/played_instance.js';
import { withCluster, withRouter } from '../../../../kit/cluster/routed.js';

const errorOf = async (answer: Response): Promise<ErrorBody['error']> => ((await answer.json()) as ErrorBody).error;

describe('requests that are passed on', () => {
  it('take turns', async () => {
    await withCluster([streamOf('a'), streamOf('b'), streamOf('c')], async ({ stream }) => {
      const texts: string[] = [];
      for (let i = 0; i < 4; i++) texts.push(await (await stream()).text());
      expect(texts).to.deep.equal(['a', 'b', 'c', 'a'].map((text) => event(text) + DONE));
    });
  });

  it('arrive byte for byte, with path, query, headers and a name, but for what is of one connection', async () => {
    await withCluster([jsonOf(200, { is: 'so' }, { 'x-of-instance': 'yes' })], async ({ url }, [instance]) => {
      const body = '{ "temperature": 1.0,  "prompt":"ü" }';
      const headers = {
        authorization: 'Bearer key',
        'x-request-id': 'mine',
        'x-expertwire-router': '1',
        te: 'trailers',
      };
      const init = { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body };
      const answer = await fetch(`${url}/v1/embeddings?a=b%20c`, init);
      expect(await answer.json()).to.deep.equal({ is: 'so' });
      expect(answer.headers.get('x-of-instance')).to.equal('yes');
      expect(answer.headers.get('x-request-id')).to.equal('mine');
      const { method, path, text, headers: got } = instance!.asked[0]!;
      expect({ method, path, text }).to.deep.equal({ method: 'POST', path: '/v1/embeddings?a=b%20c', text: body });
      expect(got).to.include({ authorization: 'Bearer key', 'x-request-id': 'mine', 'accept-encoding': 'identity' });
      expect(got).to.not.have.any.keys('x-expertwire-router', 'te');
      expect(got.host).to.equal(instance!.url.replace('http://', ''));
    });
  });

  for (const status of [400, 401, 404, 422, 429, 500, 503]) {
    it(`are answered with the instance’s ${status} where no other one can take them`, async () => {
      const play = jsonOf(status, { error: { message: 'why', code: 'so' } }, { 'retry-after': '7' });
      await withCluster([play], async ({ stream }) => {
        const answer = await stream();
        expect(answer.status).to.equal(status);
        expect(answer.headers.get('retry-after')).to.equal('7');
        expect(await errorOf(answer)).to.deep.equal({ message: 'why', code: 'so' });
      });
    });
  }

  it('of a body that is too long are refused', async () => {
    const base = { server: { max_body_bytes: 2048 } };
    await withCluster(
      [streamOf('a')],
      async ({ stream }, [instance]) => {
        const answer = await stream({ prompt: 'x'.repeat(3000) });
        expect([answer.status, (await errorOf(answer)).code]).to.deep.equal([413, 'body_too_large']);
        expect(instance!.asked).to.deep.equal([]);
      },
      { base },
    );
  });

  it('need a key where the router has keys', async () => {
    await withCluster([streamOf('a')], async ({ stream }) => expect((await stream()).status).to.equal(401), {
      apiKeys: ['secret'],
    });
  });
});

describe('an instance that fails before its answer begins', () => {
  const good = streamOf('good');
  const whole = event('good') + DONE;

  it('and isn’t there: another one answers', async () => {
    const dead = await deadUrl();
    await withCluster([good], async (_routed, [instance]) =>
      withRouter([dead, instance!.url], async ({ stream }) => expect(await (await stream()).text()).to.equal(whole)),
    );
  });

  it('and breaks the connection: another one answers', async () => {
    await withCluster([(response) => response.destroy(), good], async ({ stream }) => {
      expect(await (await stream()).text()).to.equal(whole);
    });
  });

  it('and says no HTTP: another one answers', async () => {
    await withTalker(
      (socket) => socket.end('SSH-2.0-OpenSSH\r\n'),
      async (talker) =>
        withCluster([good], async (_routed, [instance]) =>
          withRouter([talker, instance!.url], async ({ stream }) =>
            expect(await (await stream()).text()).to.equal(whole),
          ),
        ),
    );
  });

  it('and says nothing: another one answers when it was waited for', async () => {
    await withCluster(
      [() => undefined, good],
      async ({ stream }) => expect(await (await stream()).text()).to.equal(whole),
      {
        base: { router: { idle_timeout_ms: 100 } },
      },
    );
  });

  for (const status of [429, 500, 502, 503, 504]) {
    it(`with ${status}: another one answers`, async () => {
      await withCluster([jsonOf(status, {}), good], async ({ stream }, [bad]) => {
        expect(await (await stream()).text()).to.equal(whole);
        expect(await bad!.asked[0]!.left).to.be.a('boolean'); // its answer doesn't wait for a reader
      });
    });
  }

  for (const policy of ['min_observed_latency', 'min_expected_latency', 'slo']) {
    it(`at once, and every time: ${policy} doesn’t take it for the fastest one`, async () => {
      const fails = jsonOf(500, { error: { message: 'out of memory' } });
      const answers = jsonOf(200, { choices: [] });
      for (const retries of [2, 0]) {
        const base = { router: { policy, retries, circuit_failures: 3 } };
        await withCluster(
          [answers, fails],
          async ({ whole, router }, [, failing]) => {
            const statuses: number[] = [];
            for (let i = 0; i < 12; i++) statuses.push((await whole()).status);
            const numFailed = failing!.asked.length;
            expect(numFailed).to.be.within(0, 3);
            expect(statuses.filter((status) => status === 500)).to.have.lengthOf(retries === 0 ? numFailed : 0);
            expect(statuses.filter((status) => status !== 500 && status !== 200)).to.deep.equal([]);
            expect(router.views.map(({ rates }) => rates.latencyMs !== null)).to.deep.equal([true, false]);
          },
          { base },
        );
      }
    });
  }

  it('by what the client asked: nobody learns from how fast it was refused', async () => {
    await withCluster([jsonOf(400, {})], async ({ whole, router }) => {
      for (let i = 0; i < 4; i++) expect((await whole()).status).to.equal(400);
      expect(router.views.map(({ rates, isHealthy }) => [rates.latencyMs, isHealthy])).to.deep.equal([[null, true]]);
    });
  });

  it('and all others too: the client is told', async () => {
    await withRouter([await deadUrl(), await deadUrl()], async ({ stream }) => {
      const answer = await stream();
      expect(answer.status).to.equal(503);
      expect(answer.headers.get('retry-after')).to.equal('1');
      expect(await errorOf(answer)).to.include({ code: 'no_instance', type: 'server_error' });
    });
  });

  it('is followed by so many others alone', async () => {
    const breaks = (response: { destroy(): unknown }): unknown => response.destroy();
    await withCluster([breaks, breaks, good], async ({ stream }) => expect((await stream()).status).to.equal(503), {
      base: { router: { retries: 1 } },
    });
  });

  it('and none is known: the client is told', async () => {
    await withRouter([], async ({ stream }) => expect((await errorOf(await stream())).code).to.equal('no_instance'));
  });
});

describe('a foreign instance that fails within its answer', () => {
  it('between two events: the client has the first, and is told in an event', async () => {
    await withCluster(
      [(response) => beginEvents(response).write(event('a'), () => response.destroy())],
      async ({ stream }) => {
        const text = await (await stream()).text();
        expect(text.startsWith(event('a'))).to.equal(true);
        expect(text.slice(event('a').length)).to.match(/^data: \{"error":.*"instance_failed".*\}\n\n$/);
      },
    );
  });

  it('within an event: no part of it comes', async () => {
    await withCluster(
      [(response) => beginEvents(response).write(event('a') + 'data: {"cho', () => response.destroy())],
      async ({ stream }) => {
        const text = await (await stream()).text();
        expect(text.startsWith(`${event('a')}data: {"error":`)).to.equal(true);
      },
    );
  });

  it('within a whole answer: another one gives it', async () => {
    const play = (response: ServerResponse): unknown =>
      response
        .writeHead(200, { 'content-type': 'application/json', 'content-length': '100' })
        .write('{"a":', () => response.destroy());
    await withCluster([play, jsonOf(200, { is: 'whole' })], async ({ whole }) => {
      expect(await (await whole()).json()).to.deep.equal({ is: 'whole' });
    });
  });

  it('within a long answer: the client’s connection ends, so that it doesn’t take it for whole', async () => {
    const play = (response: ServerResponse): unknown =>
      response
        .writeHead(200, { 'content-type': 'application/json', 'content-length': '3000000' })
        .write('x'.repeat(2_000_000), () => response.destroy());
    await withCluster([play, jsonOf(200, {})], async ({ whole }) => {
      const isBroken = await (await whole()).text().then(
        () => false,
        () => true,
      );
      expect(isBroken).to.equal(true);
    });
  });

  it('by stalling: the client is told when it was waited for', async () => {
    await withCluster(
      [(response) => beginEvents(response).write(event('a'))],
      async ({ stream }) => {
        expect(await (await stream()).text()).to.include('instance_failed');
      },
      { base: { router: { idle_timeout_ms: 100 } } },
    );
  });
});

describe('a client that leaves', () => {
  it('before the answer begins: the instance is left too', async () => {
    await withCluster([() => undefined], async ({ stream, router }, [instance]) => {
      const controller = new AbortController();
      const answer = stream({}, { signal: controller.signal }).catch(() => null);
      while (instance!.asked.length === 0) await new Promise(setImmediate);
      controller.abort();
      expect(await answer).to.equal(null);
      expect(await instance!.asked[0]!.left).to.equal(true);
      await router.drain();
      expect(router.numRunning).to.equal(0);
    });
  });

  it('within the answer: the instance is left too', async () => {
    await withCluster([(response) => beginEvents(response).write(event('a'))], async ({ stream }, [instance]) => {
      const controller = new AbortController();
      const reader = (await stream({}, { signal: controller.signal })).body!.getReader();
      expect(Buffer.from((await reader.read()).value).toString()).to.equal(event('a'));
      controller.abort();
      expect(await instance!.asked[0]!.left).to.equal(true);
    });
  });

  it('without reading: the instance is held up, and then left', async () => {
    const big = event('x'.repeat(100_000));
    const play = (response: ServerResponse): void => {
      const fill = (): void => {
        while (response.write(big));
      };
      beginEvents(response).on('drain', fill);
      fill();
    };
    await withCluster(
      [play],
      async ({ stream }, [instance]) => {
        const answer = await stream();
        expect(await instance!.asked[0]!.left).to.equal(true);
        await answer.body!.cancel().catch(() => undefined);
      },
      { base: { server: { slow_reader_timeout_ms: 200 } } },
    );
  });
});

describe('a router that ends', () => {
  it('finishes what runs and refuses what is new', async () => {
    let finish: () => void = () => undefined;
    const play = (response: ServerResponse): void => {
      beginEvents(response).write(event('a'));
      finish = () => response.end(DONE);
    };
    await withCluster([play], async ({ stream, router }) => {
      const answer = await stream();
      const drained = router.drain();
      const refused = await stream();
      expect([refused.status, (await errorOf(refused)).code]).to.deep.equal([503, 'draining']);
      finish();
      expect(await answer.text()).to.equal(event('a') + DONE);
      expect(await drained).to.equal(0);
    });
  });

  it('tells clients whose answers it breaks off', async () => {
    await withCluster([(response) => beginEvents(response).write(event('a'))], async ({ stream, router }) => {
      const answer = await stream();
      await router.close();
      expect(await answer.text()).to.match(/"draining".*\n\n$/);
    });
  });
});
