import { createServer, type Server } from 'node:net';
import { once } from 'node:events';

/** A server on a port of the loopback; 0 takes a free one. */
export async function listenOn(port: number): Promise<Server> {
  const server = createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

export const portOf = (server: Server): number => (server.address() as { readonly port: number }).port;

export async function closeServer(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  await closed;
}

/** A port of the loopback that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = await listenOn(0);
  const port = portOf(server);
  await closeServer(server);
  return port;
}
