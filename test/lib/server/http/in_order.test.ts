/** Requests that come over one connection without waiting for answers. */
import { expect } from 'chai';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { inOrder } from '../../../../lib/server/http/in_order.js';
import { listening, readAll, streamRequest, until } from '../../../kit/server/listening.js';
import { endless, finishedEvent, playEvents } from '../../../kit/server/played_engine.js';
import { playedEngine } from '../../../kit/server/served_app.js';

const HEALTH = 'GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n';

describe('pipelined requests', () => {
  it('are answered in the order in which they came', async () => {
    const engine = await playedEngine((request, signal) =>
      playEvents(finishedEvent({ text: `answer ${request.maxNewTokens};` }))(request, signal),
    );
    await listening({ engine }, async (_server, send) => {
      const last = streamRequest({ max_tokens: 3 }).replace('host', 'connection: close\r\nhost');
      const socket = await send(streamRequest({ max_tokens: 1 }) + HEALTH + streamRequest({ max_tokens: 2 }) + last);
      const text = await readAll(socket);
      expect(text.match(/answer \d;|"status":"ok"/g)).to.deep.equal(['answer 1;', 'answer 2;', 'answer 3;']);
      expect(text.match(/HTTP\/1.1 200/g)).to.have.length(4);
    });
  });

  it('leave nothing behind when their client goes', async () => {
    const engine = await playedEngine(endless());
    await listening({ engine }, async (server, send) => {
      const socket = await send(streamRequest().repeat(3));
      await until(() => engine.numRunning > 0);
      socket.destroy();
      await until(() => engine.numRunning === 0 && server.numRunning === 0);
      expect(await server.drain()).to.equal(0);
      expect(engine.requests).to.have.length(1); // the others were not begun
    });
  });

  it('compute for as long as they like behind an answer that is out', async () => {
    const engine = await playedEngine(endless());
    await listening({ engine }, async (server, send) => {
      const accepted = once(server.app.server, 'connection') as Promise<[Socket]>;
      await send(HEALTH + streamRequest({ stream: false }));
      const [socket] = await accepted;
      await until(() => engine.numRunning === 1);
      expect(socket.timeout ?? 0).to.equal(0);
    });
  });

  it('are not begun behind an answer that closes the connection', async () => {
    const begun: string[] = [];
    const server = createServer(
      inOrder(({ url }, response) => {
        begun.push(url!);
        setImmediate(() => response.setHeader('connection', url === '/last' ? 'close' : 'keep-alive').end());
      }),
    ).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
    client.write(['/first', '/last', '/late', '/later'].map((url) => HEALTH.replace('/health', url)).join(''));
    expect((await readAll(client)).match(/HTTP\/1.1 200/g)).to.have.length(2);
    await once(server.close(), 'close');
    expect(begun).to.deep.equal(['/first', '/last']);
  });

  it('are so many at most; who sends more is disconnected', async () => {
    const engine = await playedEngine(endless());
    await listening({ engine }, async (server, send) => {
      const socket = await send(streamRequest() + HEALTH.repeat(64));
      await until(() => engine.numRunning === 1);
      expect(socket.destroyed).to.equal(false);
      socket.write(HEALTH);
      await readAll(socket);
      await until(() => server.numRunning === 0);
    });
  });
});
