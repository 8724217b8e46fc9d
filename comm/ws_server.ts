/** A port that accepts WebSockets on one path and nothing else. */
import { createServer, STATUS_CODES, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';
import { CommError } from './errors.js';

export interface WsServerOptions {
  /** Address to bind. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly path: string;
  /** Largest message that a peer may send. */
  readonly maxPayload: number;
}

/** What a new connection is given to. */
export type OnSocket = (ws: WebSocket, socket: Socket) => void;

/** Connections that came before anybody asked for them; more than any job has ranks is not a job. */
const MAX_PENDING = 1024;
const REQUEST_TIMEOUT_MS = 5000;
const CLOSE_GRACE_MS = 500;

export class WsServer {
  readonly host: string;
  readonly port: number;
  readonly #server: Server;
  readonly #wss: WebSocketServer;
  readonly #sockets = new Set<Socket>();
  readonly #path: string;
  readonly #pending: [WebSocket, Socket][] = [];
  #onSocket: OnSocket | undefined;
  #closing: Promise<void> | undefined;

  /** Throws ADDRESS_IN_USE, or UNREACHABLE for a host that this machine can't bind. */
  static async listen(options: WsServerOptions): Promise<WsServer> {
    const server = createServer({
      headersTimeout: REQUEST_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: REQUEST_TIMEOUT_MS / 5,
    });
    await bind(server, options);
    return new WsServer(server, options);
  }

  private constructor(server: Server, { host, path, maxPayload }: WsServerOptions) {
    this.host = host;
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
    this.#path = path;
    this.#wss = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload, clientTracking: false });
    server.on('connection', (socket) => this.#track(socket));
    server.on('request', (request, response) => {
      const status = pathOf(request) === path ? 426 : 404;
      response.writeHead(status, { connection: 'close', upgrade: 'websocket' }).end(`${STATUS_CODES[status] ?? ''}\n`);
    });
    // request.socket is the same socket with its TCP type.
    server.on('upgrade', (request, _, head) => this.#upgrade(request, request.socket, head));
  }

  /** Gives every connection, past and future, to `handler`. */
  onSocket(handler: OnSocket): void {
    this.#onSocket = handler;
    for (const [ws, socket] of this.#pending.splice(0)) handler(ws, socket);
  }

  /** Idempotent: stops listening; connections get a short grace to end by themselves. */
  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      const timer = setTimeout(() => {
        for (const socket of this.#sockets) socket.destroy();
      }, CLOSE_GRACE_MS);
      this.#server.close(() => {
        clearTimeout(timer);
        resolve();
      });
      this.#server.closeAllConnections();
      for (const [ws] of this.#pending.splice(0)) ws.terminate();
    });
    return this.#closing;
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    if (pathOf(request) !== this.#path || this.#closing !== undefined || this.#pending.length >= MAX_PENDING) {
      socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    this.#wss.handleUpgrade(request, socket, head, (ws) => {
      ws.on('error', () => ws.terminate());
      socket.setNoDelay(true);
      if (this.#onSocket === undefined) this.#pending.push([ws, socket]);
      else this.#onSocket(ws, socket);
    });
  }
}

const pathOf = (request: IncomingMessage): string => (request.url ?? '').split('?', 1)[0]!;

function bind(server: Server, { host, port }: WsServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(bindError(cause, `${host}:${port}`)));
    server.listen({ host, port }, () => {
      server.removeAllListeners('error');
      server.on('error', () => undefined); // accept failures (EMFILE) end one connection, not the job
      resolve();
    });
  });
}

function bindError(cause: NodeJS.ErrnoException, where: string): CommError {
  if (cause.code === 'EADDRINUSE') {
    return new CommError('ADDRESS_IN_USE', `${where} is in use; choose another port`, { cause });
  }
  return new CommError('UNREACHABLE', `can't listen on ${where} (${cause.message}); choose another address`, { cause });
}
