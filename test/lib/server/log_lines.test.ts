/** What the log of a server says of its own beginning and end, and of requests that fail. */
import { expect } from 'chai';
import { EngineError } from '../../../lib/protocol/errors.js';
import { createLog } from '../../../lib/server/telemetry/log.js';
import type { Play } from '../../kit/server/played_engine.js';
import { playedEngine, post, servedApp, type ServedAppOptions } from '../../kit/server/served_app.js';

type LogLine = Readonly<Record<string, unknown>>;

async function logged(
  options: ServedAppOptions = {},
): Promise<Awaited<ReturnType<typeof servedApp>> & { lines: LogLine[] }> {
  const lines: LogLine[] = [];
  const log = createLog({ write: (line) => lines.push(JSON.parse(line) as LogLine) }, 'info');
  const base = { ...options.base, server: { port: 0, ...options.base?.server } };
  return { lines, ...(await servedApp({ ...options, base, log })) };
}

const PROMPT = { prompt: 'Call me' };

/** Runs until it is given up. */
const waiting: Play = async function* (_request, signal) {
  while (signal?.aborted !== true) await new Promise(setImmediate);
  yield* [];
  throw new EngineError('CLOSED', 'the request was cancelled by its caller');
};

describe('the log of a server', () => {
  it('does not repeat where it listens in the words of the framework', async () => {
    const { server, lines } = await logged();
    await server.listen();
    await server.close();
    expect(lines).to.deep.equal([]);
  });

  it('has an error and its request line under one request_id, and what else the application logs', async () => {
    const engine = await playedEngine(() => {
      throw new TypeError('a mistake');
    });
    const { server, lines } = await logged({ engine });
    await server.listen();
    await server.app.inject({
      ...{ method: 'POST', url: '/v1/completions', payload: PROMPT },
      headers: { 'x-request-id': 'mine' },
    });
    server.app.log.info('of the application');
    await server.close();
    expect(lines.map(({ level, request_id: id, msg }) => [level, id, msg])).to.have.deep.members([
      [50, 'mine', 'a request failed'],
      [30, 'mine', 'request'],
      [30, undefined, 'of the application'],
    ]);
  });

  for (const stream of [false, true]) {
    it(`calls nothing an error that a server refuses or cuts off because it was told to end${stream ? ', streams neither' : ''}`, async () => {
      const engine = await playedEngine(waiting);
      const { server, app, lines } = await logged({ engine, base: { server: { drain_timeout_ms: 20 } } });
      const running = post(app, '/v1/completions', { ...PROMPT, stream });
      while (engine.numRunning === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      const drained = server.drain();
      expect((await app.inject('/health')).statusCode).to.equal(503);
      expect((await post(app, '/v1/completions', PROMPT)).statusCode).to.equal(503);
      expect((await running).body).to.include('"code":"draining"');
      await drained;
      expect(lines.filter(({ level }) => Number(level) > 30)).to.deep.equal([]);
    });
  }
});
