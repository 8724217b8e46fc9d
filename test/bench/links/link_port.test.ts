import { expect } from 'chai';
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { FineClock } from '../../../bench/links/fine_clock.js';
import { Lane, NO_LIMITS, type LinkLimits } from '../../../bench/links/lane.js';
import { LinkPort } from '../../../bench/links/link_port.js';

describe('a port that stands for another one', () => {
  let echo: Server;
  let clock: FineClock;
  let link: LinkPort;

  const open = async (limits: LinkLimits): Promise<Socket> => {
    const target = { host: '127.0.0.1', port: (echo.address() as AddressInfo).port };
    link = await LinkPort.open(target, { sent: new Lane(limits), got: new Lane(limits), clock });
    return connect(link.address.port, link.address.host);
  };
  const echoed = async (client: Socket, bytes: Buffer): Promise<Buffer> => {
    client.end(bytes);
    return Buffer.concat((await client.toArray()) as Buffer[]);
  };

  beforeEach(async () => {
    clock = new FineClock();
    echo = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)).listen(0, '127.0.0.1');
    await once(echo, 'listening');
  });

  afterEach(async () => {
    await link.close();
    await clock.close();
    await new Promise((resolve) => echo.close(resolve));
  });

  const sent = Buffer.alloc(300_000, 'expertwire');

  for (const limits of [NO_LIMITS, { delayMs: 2, bytesPerSecond: 10_000_000 }, { delayMs: 0, bytesPerSecond: 1e9 }]) {
    it(`carries both directions whole, in order, with ${JSON.stringify(limits)}`, async () => {
      expect((await echoed(await open(limits), sent)).equals(sent)).to.equal(true);
    });
  }

  it('takes its delay each way', async () => {
    const client = await open({ delayMs: 20, bytesPerSecond: null });
    await once(client, 'connect');
    const beganMs = performance.now();
    client.write('there and back');
    await once(client, 'data');
    expect(performance.now() - beganMs).to.be.at.least(39.5);
    client.destroy();
  });

  it('takes the time of its rate', async () => {
    const client = await open({ delayMs: 0, bytesPerSecond: 4_000_000 });
    const beganMs = performance.now();
    await echoed(client, sent);
    expect(performance.now() - beganMs).to.be.at.least(74.5); // the ways back and there overlap
  });

  it('leaves nothing open', async () => {
    const held = await open(NO_LIMITS);
    await once(held, 'connect');
    held.on('error', () => undefined);
    const cut = once(held, 'close');
    await link.close();
    await cut;
  });
});
