import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import type { ErrorBody } from '../../../../lib/server/base/api_error.js';
import { beginEvents, event, jsonOf, streamOf, type Play } from '../../../kit/cluster/played_instance.js';
import { OWN, withCluster, withRouter } from '../../../kit/cluster/routed.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const POST = { method: 'POST', headers: { 'content-type': 'application/json' } };

const codeOf = async (answer: Response): Promise<string> => ((await answer.json()) as ErrorBody).error.code;
const post = (url: string, body: object): Promise<Response> => fetch(url, { ...POST, body: JSON.stringify(body) });

describe('what a router tells', () => {
  it('of models: those of its instances', async () => {
    const records = [{ model: 'x/y', maxModelLen: 10 }, { model: 'x/y', maxModelLen: 20 }, { model: 'z' }];
    await withCluster(
      [streamOf('a'), streamOf('b'), streamOf('c')],
      async ({ url, stream }, instances) => {
        const { data } = (await (await fetch(`${url}/v1/models`)).json()) as {
          data: { id: string; max_model_len: number | null }[];
        };
        expect(data.map(({ id, max_model_len: length }) => [id, length])).to.deep.equal([
          ['x/y', 20],
          ['z', null],
        ]);
        expect((await fetch(`${url}/v1/models/x/y`)).status).to.equal(200);
        expect((await fetch(`${url}/v1/models/nobody`)).status).to.equal(404);
        for (let i = 0; i < 2; i++) await (await stream({ model: 'z' })).text();
        expect(instances.map(({ asked }) => asked.length)).to.deep.equal([0, 0, 2]);
        const unknown = await stream({ model: 'nobody' });
        expect([unknown.status, await codeOf(unknown)]).to.deep.equal([404, 'model_not_found']);
      },
      { records },
    );
  });

  it('of itself: whether an instance answers', async () => {
    await withCluster([streamOf('a')], async ({ url, memberships }) => {
      expect((await fetch(`${url}/health`)).status).to.equal(200);
      await memberships[0]!.leave();
      const answer = await fetch(`${url}/health`);
      expect([answer.status, await codeOf(answer)]).to.deep.equal([503, 'no_instance']);
    });
  });

  it('of instances: how they are, as far as it knows', async () => {
    await withCluster(
      [streamOf('a')],
      async ({ url }, [instance]) => {
        const { instances } = (await (await fetch(`${url}/instances`)).json()) as { instances: object[] };
        expect(instances).to.have.length(1);
        expect(instances[0]).to.include({
          id: 'a',
          url: instance!.url,
          kind: 'own',
          role: 'decode',
          is_healthy: true,
          requests: 0,
        });
      },
      { record: { ...OWN, role: 'decode' } },
    );
  });

  it('of its routes', async () => {
    await withCluster([streamOf('a')], async ({ url }) => {
      const { paths } = (await (await fetch(`${url}/openapi.json`)).json()) as { paths: object };
      expect(paths).to.include.keys('/v1/completions', '/instances', '/migrate', '/health');
    });
  });

  it('of tokens, as far as answers tell them', async () => {
    const usage = { usage: { completion_tokens: 12 } };
    await withCluster([jsonOf(200, usage), streamOf('x')], async ({ whole, stream, stories, url }) => {
      await (await whole()).text();
      await (await stream()).text();
      while (stories.length < 2) await new Promise(setImmediate);
      expect(
        stories.map(({ numOutputTokens, firstTokenMs }) => [numOutputTokens, firstTokenMs === null]),
      ).to.deep.equal([
        [12, true],
        [null, false],
      ]);
      expect(await (await fetch(`${url}/metrics`)).text()).to.include('expertwire_router_output_tokens_total 12');
    });
  });

  it('in its metrics and its log', async () => {
    const lines: string[] = [];
    const log = pino({ level: 'info', base: null, timestamp: false }, { write: (line: string) => lines.push(line) });
    await withCluster(
      [(response) => response.destroy(), streamOf('secret')],
      async ({ url, stream, stories }) => {
        await (await stream({ prompt: 'hidden' })).text();
        while (stories.length === 0) await new Promise(setImmediate);
        const text = await (await fetch(`${url}/metrics`)).text();
        expect(text).to.include('expertwire_router_requests_total{endpoint="/v1/completions",status="200"} 1');
        expect(text)
          .to.include('expertwire_router_retries_total 1')
          .and.include('expertwire_router_sent_total{instance="b"} 1');
        expect(text).to.include('expertwire_router_instance_up{instance="a",role="mixed"} 1');
        const line = lines.map((each) => JSON.parse(each) as object).find((each) => 'route' in each);
        expect(line).to.include({ route: '/v1/completions', status: 200, retries: 1 });
        expect(lines.join('')).to.not.match(/secret|hidden/);
      },
      { log },
    );
  });
});

describe('what instances are shown', () => {
  const authorizationOf = (play: readonly { readonly headers: NodeJS.Dict<string | string[]> }[]): unknown =>
    play[0]!.headers.authorization;
  const asClient = { headers: { ...POST.headers, authorization: 'Bearer client' } };

  it('ours: the cluster’s key, and that a router asks', async () => {
    await withCluster(
      [jsonOf(200, {})],
      async ({ whole }, [instance]) => {
        await whole({}, asClient);
        expect(instance!.asked[0]!.headers).to.include({ authorization: 'Bearer cluster', 'x-expertwire-router': '1' });
      },
      { record: OWN, clusterKey: 'cluster' },
    );
  });

  it('ours, where the client itself says how keys and values travel: what the client sent alone', async () => {
    await withCluster(
      [jsonOf(200, {})],
      async ({ whole }, [instance]) => {
        const fields = { kv_transfer_params: { do_remote_decode: true } };
        await whole(fields, asClient);
        const { headers, text } = instance!.asked[0]!;
        expect(headers).to.include({ authorization: 'Bearer client' }).and.not.have.property('x-expertwire-router');
        expect(JSON.parse(text)).to.deep.equal({ prompt: 'Call me', ...fields });
      },
      { record: OWN, clusterKey: 'cluster' },
    );
  });

  it('others: their own key, and never a key of the router', async () => {
    const plays: Play[] = [jsonOf(200, {}), jsonOf(200, {})];
    const options = { clusterKey: 'cluster', instanceKeys: new Map([['a', 'theirs']]), apiKeys: ['client'] };
    await withCluster(
      plays,
      async ({ whole }, instances) => {
        for (let i = 0; i < 2; i++) expect((await whole({}, asClient)).status).to.equal(200);
        expect(instances.map(({ asked }) => authorizationOf(asked))).to.deep.equal(['Bearer theirs', undefined]);
      },
      options,
    );
  });

  it('others, of a router without keys: what clients send', async () => {
    await withCluster([jsonOf(200, {})], async ({ whole }, [instance]) => {
      await whole({}, asClient);
      expect(authorizationOf(instance!.asked)).to.equal('Bearer client');
    });
  });

  it('nothing of what instances say to each other', async () => {
    await withCluster(
      [jsonOf(200, {})],
      async ({ url }, [instance]) => {
        for (const path of ['/v1/kv/leases', '/cluster', '/role/x', '/v1/requests/x']) {
          expect((await post(`${url}${path}`, {})).status, path).to.equal(404);
        }
        expect(instance!.asked).to.deep.equal([]);
      },
      { record: OWN, clusterKey: 'cluster' },
    );
  });
});

describe('what who runs a cluster may want', () => {
  it('another role: the instance is told', async () => {
    await withCluster(
      [jsonOf(200, { role: 'prefill' })],
      async ({ url }, [instance]) => {
        const answer = await post(`${url}/role`, { instance: 'a', role: 'prefill' });
        expect(await answer.json()).to.deep.equal({ instance: 'a', role: 'prefill' });
        const { path, text, headers } = instance!.asked[0]!;
        expect([path, text, headers.authorization]).to.deep.equal(['/role', '{"role":"prefill"}', 'Bearer cluster']);
      },
      { record: OWN, clusterKey: 'cluster' },
    );
  });

  it('what can’t be: it is told why', async () => {
    await withCluster(
      [jsonOf(500, { error: { message: 'no' } }), jsonOf(200, {})],
      async ({ url }) => {
        const cases: readonly (readonly [string, object, number, string])[] = [
          ['/role', { instance: 'a', role: 'prefill' }, 409, 'conflict'],
          ['/role', { instance: 'b', role: 'prefill' }, 400, 'unsupported'],
          ['/role', { instance: 'z', role: 'prefill' }, 404, 'not_found'],
          ['/role', { instance: 'a', role: 'boss' }, 400, 'invalid_value'],
          ['/migrate', { request_id: 'none', to: 'a' }, 404, 'not_found'],
          ['/migrate', { request_id: 'none', to: 'z' }, 404, 'not_found'],
          ['/migrate', { to: 'a' }, 400, 'invalid_value'],
        ];
        for (const [path, body, status, code] of cases) {
          const answer = await post(`${url}${path}`, body);
          expect([answer.status, await codeOf(answer)], JSON.stringify(body)).to.deep.equal([status, code]);
        }
      },
      { records: [OWN, {}] },
    );
  });

  it('a foreign server’s request to move: it stays', async () => {
    const play: Play = (response) => beginEvents(response).write(event('a'));
    await withCluster([play, streamOf('b')], async ({ url, stream }) => {
      const controller = new AbortController();
      await stream({}, { headers: { ...POST.headers, 'x-request-id': 'one' }, signal: controller.signal });
      const answer = await post(`${url}/migrate`, { request_id: 'one', to: 'b' });
      expect([answer.status, await codeOf(answer)]).to.deep.equal([409, 'conflict']);
      controller.abort();
    });
  });
});

describe('policies of a router', () => {
  it('keep a session where it is', async () => {
    const base = { router: { policy: 'round_robin', session_header: 'x-session' } };
    await withCluster(
      [jsonOf(200, {}), jsonOf(200, {})],
      async ({ whole }, instances) => {
        const of = (session: string): RequestInit => ({ headers: { ...POST.headers, 'x-session': session } });
        for (const session of ['one', 'one', 'two', 'one', 'two']) await whole({}, of(session));
        expect(instances.map(({ asked }) => asked.map(({ headers }) => headers['x-session']))).to.deep.equal([
          ['one', 'one', 'one'],
          ['two', 'two'],
        ]);
      },
      { base },
    );
  });

  it('of plug-ins refuse what would come too late, and say when to come again', async () => {
    await withTempFolder(async (folder) => {
      const path = join(folder, 'late.mjs');
      const code = `export default (api) => api.registerRoutingPolicy('late', () => ({ kind: 'rejected', reason: 'it would come late', retryAfterMs: 2500 }));`;
      await writeFile(path, code);
      const base = { plugins: [path], router: { policy: 'late' } };
      await withCluster(
        [streamOf('a')],
        async ({ stream }, [instance]) => {
          const answer = await stream();
          expect([answer.status, answer.headers.get('retry-after')]).to.deep.equal([429, '3']);
          const { error } = (await answer.json()) as ErrorBody;
          expect(error).to.include({
            code: 'overloaded',
            type: 'rate_limit_error',
            message: 'it would come late; try again in 3 s',
          });
          expect(instance!.asked).to.deep.equal([]);
        },
        { base },
      );
    });
  });

  it('send nothing to an instance that drains, or that is gone', async () => {
    await withCluster([streamOf('a'), streamOf('b')], async ({ stream, tell, memberships }, instances) => {
      tell(0, { isDraining: true });
      for (let i = 0; i < 2; i++) await (await stream()).text();
      expect(instances.map(({ asked }) => asked.length)).to.deep.equal([0, 2]);
      await memberships[1]!.leave();
      const answer = await stream();
      expect([answer.status, await codeOf(answer)]).to.deep.equal([503, 'no_instance']);
    });
  });
});

describe('two routers', () => {
  it('before the same instances answer alike', async () => {
    await withCluster([streamOf('a'), streamOf('b')], async (first, instances) => {
      await withRouter(
        instances.map(({ url }) => url),
        async (second) => {
          const texts = await Promise.all(
            [first, second, first, second].map(async ({ stream }) => (await stream()).text()),
          );
          expect(texts.map((text) => text.includes('"a"') || text.includes('"b"'))).to.deep.equal([
            true,
            true,
            true,
            true,
          ]);
        },
      );
    });
  });
});

describe('an instance of ours that says nothing to this router', () => {
  it('is passed on as it is', async () => {
    await withCluster(
      [streamOf('a', 'b')],
      async ({ stream, stories }) => {
        expect(await (await stream()).text()).to.equal(`${event('a')}${event('b')}data: [DONE]\n\n`);
        while (stories.length === 0) await new Promise(setImmediate);
        expect(stories[0]).to.include({ status: 200, numResumes: 0, numRetries: 0 });
      },
      { record: OWN },
    );
  });
});
