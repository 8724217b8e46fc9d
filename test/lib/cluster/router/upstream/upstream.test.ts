import { expect } from 'chai';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { InstanceRecord } from '../../../../../lib/cluster/base/instance_record.js';
import { Upstream } from '../../../../../lib/cluster/router/upstream/upstream.js';
import { UpstreamError } from '../../../../../lib/cluster/router/upstream/upstream_error.js';
import { errorOf } from '../../../../kit/rejects.js';

const REQUEST = { method: 'POST', path: '/v1/completions', headers: {}, body: null };

/** An instance whose server answers as the listener says. `health`: what was told of it. */
async function withUpstream(
  listener: RequestListener,
  use: (upstream: Upstream, health: readonly boolean[]) => Promise<void>,
  record: Partial<InstanceRecord> = {},
): Promise<void> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const health: boolean[] = [];
  let nowMs = 0;
  const told = {
    id: 'a',
    isDraining: false,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ...record,
  };
  const upstream = new Upstream(told as InstanceRecord, {
    limits: { connectTimeoutMs: 1000, idleTimeoutMs: 60_000, maxUnreadBytes: 1024 },
    circuit: { maxFailures: 2, openMs: 10 },
    probeTimeoutMs: 50,
    clock: () => (nowMs += 100),
    healthChanged: (_id, isHealthy) => health.push(isHealthy),
  });
  try {
    await use(upstream, health);
  } finally {
    await upstream.close();
    server.closeAllConnections();
    server.close();
  }
}

describe('an instance that is probed', () => {
  it('is well with a good /health, or where it knows none with models', async () => {
    for (const known of ['/health', '/v1/models']) {
      const listener: RequestListener = ({ url }, response) => response.writeHead(url === known ? 200 : 404).end();
      await withUpstream(listener, async (upstream, health) => {
        await upstream.probe();
        expect([upstream.isHealthy, health]).to.deep.equal([true, []]);
      });
    }
  });

  for (const status of [401, 403])
    it(`is well where it answers ${status} to whoever has no key`, () =>
      withUpstream(
        (_request, response) => response.writeHead(status).end(),
        async (upstream, health) => {
          await upstream.probe();
          await upstream.probe();
          expect([upstream.isHealthy, health]).to.deep.equal([true, []]);
        },
      ));

  it('isn’t asked while it says that it takes nothing, and again once it says otherwise', async () => {
    let status = 503;
    await withUpstream(
      (_request, response) => response.writeHead(status).end(),
      async (upstream, health) => {
        await upstream.probe();
        expect(upstream.isHealthy).to.equal(false);
        status = 200;
        await upstream.probe();
        expect(health).to.deep.equal([false, true]);
      },
    );
  });

  it('is well where it drains and says so', async () => {
    const drains: RequestListener = (_request, response) => response.writeHead(503).end();
    await withUpstream(
      drains,
      async (upstream) => {
        await upstream.probe();
        expect(upstream.isHealthy).to.equal(true);
      },
      { isDraining: true },
    );
  });

  it('is given up with what runs there when it answers no probes, although its connections stay', async () => {
    const silent: RequestListener = ({ url }, response) => {
      if (url !== '/health') response.writeHead(200).write('begun');
    };
    await withUpstream(silent, async (upstream, health) => {
      const answer = await upstream.ask(REQUEST, new AbortController());
      expect(String(await answer.read())).to.equal('begun');
      const broken = errorOf(UpstreamError, () => answer.read());
      await upstream.probe();
      expect([upstream.numRunning, health]).to.deep.equal([1, []]);
      await upstream.probe();
      expect((await broken).code).to.equal('UNHEALTHY');
      expect([upstream.numRunning, health]).to.deep.equal([0, [false]]);
    });
  });
});

describe('requests to an instance', () => {
  it('fail with what happened', async () => {
    const breaks: RequestListener = (_request, response) => response.destroy();
    await withUpstream(breaks, async (upstream, health) => {
      for (let i = 0; i < 2; i++) {
        const error = await errorOf(UpstreamError, () => upstream.ask(REQUEST, new AbortController()));
        expect(error.code).to.equal('BROKEN_OFF');
      }
      expect([upstream.numRunning, health]).to.deep.equal([0, [false]]);
    });
    await withUpstream(
      breaks,
      async (upstream) => {
        const error = await errorOf(UpstreamError, () => upstream.ask(REQUEST, new AbortController()));
        expect(error.code).to.equal('UNREACHABLE');
      },
      { url: 'http://127.0.0.1:9' },
    );
  });

  it('that it answers by failing count as failures, and those that it refuses don’t', async () => {
    for (const status of [400, 429, 500, 501, 502, 503, 504]) {
      const answers: RequestListener = (_request, response) => response.writeHead(status).end();
      await withUpstream(answers, async (upstream, health) => {
        for (let i = 0; i < 2; i++) await (await upstream.ask(REQUEST, new AbortController())).ended;
        expect(health).to.deep.equal([500, 502, 504].includes(status) ? [false] : []);
      });
    }
  });

  it('that are given up fail nobody', async () => {
    await withUpstream(
      () => undefined,
      async (upstream, health) => {
        for (let i = 0; i < 3; i++) {
          const controller = new AbortController();
          const asked = errorOf(Error, () => upstream.ask(REQUEST, controller));
          controller.abort(new Error('left'));
          expect((await asked).message).to.equal('left');
        }
        expect([upstream.numRunning, health]).to.deep.equal([0, []]);
      },
    );
  });

  it('end before a retired instance does', async () => {
    await withUpstream(
      (_request, response) => void setImmediate(() => response.end('all')),
      async (upstream) => {
        const asked = upstream.ask(REQUEST, new AbortController());
        upstream.retire();
        expect(String(await (await asked).read())).to.equal('all');
        await (
          await asked
        ).ended;
        expect(upstream.numRunning).to.equal(0);
      },
    );
  });
});
