import { expect } from 'chai';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { CommError } from '../../../../comm/base/errors.js';
import { dial } from '../../../../comm/ws/door/dial.js';
import { errorOf } from '../../../kit/rejects.js';

describe('dialing', () => {
  for (const isThere of [true, false]) {
    it(`what accepts connections and says nothing is given up in time, ${isThere ? 'at once' : 'after trying again'}`, async () => {
      const sockets: Socket[] = [];
      const server = createServer((socket) => void sockets.push(socket)).listen(0, '127.0.0.1');
      await new Promise((resolve) => server.once('listening', resolve));
      try {
        const { port } = server.address() as AddressInfo;
        const target = { address: { host: '127.0.0.1', port }, path: '/', secret: 'a secret', purpose: 'kv' } as const;
        const how = { identity: {}, maxPayload: 1024, timeoutMs: 300, isThere };
        const error = await errorOf(CommError, () => dial({ ...target, ...how }, () => undefined));
        expect(error.message).to.match(
          /^UNREACHABLE: nothing answers at .* \(it accepts connections and says nothing\)/,
        );
        expect(sockets.length).to.be.at.least(1);
      } finally {
        for (const socket of sockets) socket.destroy();
        await new Promise((resolve) => server.close(resolve));
      }
    });
  }
});
