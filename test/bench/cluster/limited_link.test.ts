import { expect } from 'chai';
import { createServer, connect, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { Lane, LimitedLink } from '../../../bench/cluster/link/limited_link.js';

describe('a limited link', () => {
  it('lets bytes through one behind the other, each as late as its rate wants', async () => {
    let nowMs = 0;
    const lane = new Lane(
      1000,
      () => nowMs,
      (ms) => Promise.resolve((nowMs += ms)),
    );
    await lane.pass(100);
    expect(nowMs).to.be.closeTo(100, 1);
    await lane.pass(50);
    await lane.pass(50);
    expect(nowMs).to.be.closeTo(200, 1);
    nowMs = 1000;
    await lane.pass(10); // what was free before is lost
    expect(nowMs).to.be.closeTo(1010, 1);
  });

  it('carries both directions whole, and leaves nothing open', async () => {
    const echo = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1');
    await once(echo, 'listening');
    const link = await LimitedLink.open({ host: '127.0.0.1', port: (echo.address() as AddressInfo).port }, 1e9);
    const sent = Buffer.alloc(300_000, 'expertwire');
    const client = connect(link.address.port, link.address.host);
    client.end(sent);
    const got = Buffer.concat((await client.toArray()) as Buffer[]);
    expect(got.equals(sent)).to.equal(true);
    const held = connect(link.address.port, link.address.host);
    await once(held, 'connect');
    held.on('error', () => undefined);
    const cut = once(held, 'close');
    await link.close();
    await cut;
    await new Promise((resolve) => echo.close(resolve));
  });
});
