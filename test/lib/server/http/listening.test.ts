import { expect } from 'chai';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { cantListen, checkAddress } from '../../../../lib/server/http/listening.js';

describe('a place where nothing can listen', () => {
  it('is a port in use, and the message says which, and how to get a free one', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    const error: unknown = await checkAddress({ host: '127.0.0.1', port }).catch((thrown: unknown) => thrown);
    taken.close();
    expect(String(error)).to.include(
      `port ${port} is already in use; give another --port or server.port (0: any free one)`,
    );
  });

  it('or a host that this machine does not have, and the message has the reason', () => {
    const error = cantListen({ host: '192.0.2.1', port: 80 }, new Error('EADDRNOTAVAIL'));
    expect(error.message).to.include('nothing can listen at 192.0.2.1 port 80 (EADDRNOTAVAIL)');
  });
});
