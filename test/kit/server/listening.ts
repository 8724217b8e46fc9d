/** A server that listens, and clients that write HTTP by themselves. */
import { once } from 'node:events';
import { connect, type AddressInfo, type Socket } from 'node:net';
import type { HttpServer } from '../../../lib/server/create_server.js';
import { servedApp, type ServedAppOptions } from './served_app.js';

/** A listening server, closed at the end; `send` opens a connection and writes a request. */
export async function listening(
  options: ServedAppOptions,
  use: (server: HttpServer, send: (request: string) => Promise<Socket>) => Promise<void>,
): Promise<void> {
  const base = { ...options.base, server: { port: 0, ...options.base?.server } };
  const { server } = await servedApp({ ...options, base });
  const sockets: Socket[] = [];
  try {
    await server.listen();
    const { port } = server.app.server.address() as AddressInfo;
    await use(server, async (request) => {
      const socket = connect(port, '127.0.0.1');
      sockets.push(socket.on('error', () => undefined));
      await once(socket, 'connect');
      socket.write(request);
      return socket;
    });
  } finally {
    for (const socket of sockets) socket.destroy();
    await server.close();
  }
}

/** A POST for a stream, as it goes over the wire. */
export const streamRequest = (fields: object = {}): string => {
  const body = JSON.stringify({ prompt: 'Call me', max_tokens: 400, stream: true, ...fields });
  return `POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
};

/** All that comes until the other side ends. */
export async function readAll(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'close');
  return Buffer.concat(chunks).toString();
}

/** Waits for a condition. */
export const until = async (isSo: () => boolean): Promise<void> => {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
};
