import { expect } from 'chai';
import { once } from 'node:events';
import { connect, type AddressInfo } from 'node:net';
import { finishedEvent, playEvents, tokenEvent } from '../../../kit/server/played_engine.js';
import { pick, WAYS } from '../../../kit/server/malformed_requests.js';
import { errorOf, playedEngine, servedApp } from '../../../kit/server/served_app.js';
import { randomFrom } from '../../../refs/random.js';

/** `npm run soak` sets 20000. */
const NUM_REQUESTS = Number(process.env.FUZZ_REQUESTS ?? 2000);
const NUM_CONNECTIONS = 16;

/** All that a server says to these bytes, after which nothing more is sent. */
async function answerTo(port: number, request: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => undefined); // what it doesn't want to read it may refuse to
  socket.on('end', () => socket.end());
  socket.end(Buffer.from(request, 'latin1'));
  await once(socket, 'close');
  return Buffer.concat(chunks).toString();
}

describe(`${NUM_REQUESTS} malformed requests`, function () {
  this.timeout(60_000 + 20 * NUM_REQUESTS);

  it('are each answered with one 4xx, reach no engine, and leave the server well', async () => {
    const engine = await playedEngine(playEvents(tokenEvent(1, 'x'), finishedEvent()));
    const base = { server: { port: 0, max_body_bytes: 65_536, request_timeout_ms: 5000 } };
    const { server } = await servedApp({ engine, base });
    try {
      const url = await server.listen();
      const { port } = server.app.server.address() as AddressInfo;
      const random = randomFrom(15);
      let numLeft = NUM_REQUESTS;
      const statuses = new Map<string, Set<number>>();
      const work = async (): Promise<void> => {
        while (numLeft-- > 0) {
          const way = pick(random, Object.keys(WAYS));
          const request = WAYS[way]!(random);
          const answer = await answerTo(port, request);
          const told = `${way}: ${JSON.stringify(request.slice(0, 300))} → ${JSON.stringify(answer.slice(0, 600))}`;
          const [head, body] = answer.split('\r\n\r\n', 2);
          const status = Number(/^HTTP\/1\.1 (4\d\d) /.exec(head!)?.[1]);
          expect(status, told).to.be.within(400, 499);
          expect(answer.match(/^HTTP\/1\.1 /gm), told).to.have.length(1);
          expect(body, told).to.match(/^{"error":{"message":/);
          expect(errorOf({ body: body! }).type, told).to.equal('invalid_request_error');
          statuses.set(way, (statuses.get(way) ?? new Set()).add(status));
        }
      };
      await Promise.all(Array.from({ length: NUM_CONNECTIONS }, work));
      expect([...statuses.keys()].sort()).to.deep.equal(Object.keys(WAYS).sort());
      const seen = new Set([...statuses.values()].flatMap((each) => [...each]));
      expect([...seen].sort()).to.deep.equal([400, 403, 404, 405, 413, 414, 415, 431]);
      expect(engine.requests).to.deep.equal([]);
      expect((await fetch(`${url}/health`)).status).to.equal(200);
    } finally {
      await server.close();
    }
  });
});
