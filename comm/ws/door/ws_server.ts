/** A port that accepts WebSockets on one path, from peers that prove the job secret, and nothing else. */
import { createServer as createHttpServer, STATUS_CODES, type IncomingMessage, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';
import { CommError } from '../../base/errors.js';
import { ListenerHandshake, type ListenerOptions } from './handshake.js';
import { HANDSHAKE_TIMEOUT_MS, shakeHands } from './handshake_socket.js';
import { Refusals, type OnRefused } from './refusals.js';
import { Strangers } from './strangers.js';
import { readingCertificates, tlsErrorOf, tlsServerOptions, type TlsOptions } from '../../base/tls.js';

/** Where to listen, what peers may send, and how many strangers are borne. */
export interface WsServerOptions {
  /** Address to bind. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly path: string;
  /** Largest message that a peer may send. */
  readonly maxPayload: number;
  /** Only clients with a certificate get in. Default: no TLS. */
  readonly tls?: TlsOptions | undefined;
  /** Told why a connection was refused: each reason once per address, a few a minute. */
  readonly onRefused?: OnRefused | undefined;
  /** How long a connection may stay unauthenticated. Default 30000. */
  readonly strangerTimeoutMs?: number | undefined;
  /** How many may be unauthenticated at a time; for one more, another has to go. Default 256. */
  readonly maxStrangers?: number | undefined;
  /** And of one address. Default three quarters of them. */
  readonly maxStrangersPerAddress?: number | undefined;
}

/** Who is let in, and what it is given to. */
export interface Welcome extends ListenerOptions {
  /** @throws CommError to refuse a peer with this proved identity. */
  admit(identity: unknown): void;
  /** In the turn in which the handshake ended, so that no message is missed. */
  onPeer(ws: WebSocket, socket: Socket, identity: unknown): void;
}

const DEFAULT_MAX_STRANGERS = 256;
const CLOSE_GRACE_MS = 500;

/** An open port. Connections wait until `onPeer` says who is let in; the rest is refused and told of. */
export class WsServer {
  readonly host: string;
  readonly port: number;
  private readonly wss: WebSocketServer;
  private readonly sockets = new Set<Socket>();
  private readonly strangers: Strangers;
  private readonly refusals: Refusals;
  /** Connections that came before anybody asked for them. */
  private readonly pending = new Map<WebSocket, Socket>();
  /** Hidden from whoever looks at the object: a secret is in it. */
  #welcome: Welcome | undefined;
  private closing: Promise<void> | undefined;

  /** @throws CommError ADDRESS_IN_USE, UNREACHABLE for a host that this machine can't bind, or INVALID_ARGUMENT for bad certificates. */
  static async listen(options: WsServerOptions): Promise<WsServer> {
    const { tls } = options;
    const server =
      tls === undefined ? createHttpServer() : readingCertificates(() => createHttpsServer(tlsServerOptions(tls)));
    await bind(server, options);
    return new WsServer(server, options);
  }

  private constructor(
    private readonly server: Server,
    private readonly options: WsServerOptions,
  ) {
    const { host, path, maxPayload, onRefused = (): void => undefined } = options;
    const { strangerTimeoutMs: timeoutMs = HANDSHAKE_TIMEOUT_MS, maxStrangers = DEFAULT_MAX_STRANGERS } = options;
    this.host = host;
    this.port = (server.address() as AddressInfo).port;
    this.refusals = new Refusals(onRefused);
    const onExpired = (socket: Socket): void =>
      this.refuse(socket, strangerError('TIMEOUT', `no proof of the job secret in ${timeoutMs} ms`));
    const onEvicted = (socket: Socket): void =>
      this.refuse(socket, strangerError('LIMIT', 'too many connections without a proof of the job secret'));
    const { maxStrangersPerAddress: maxPerAddress = Math.ceil((3 * maxStrangers) / 4) } = options;
    this.strangers = new Strangers({ maxStrangers, maxPerAddress, timeoutMs, onExpired, onEvicted });
    this.wss = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload, clientTracking: false });
    server.on('connection', (socket: Socket) => this.meet(socket));
    server.on('tlsClientError', (cause: Error, socket: Socket) => {
      this.refuse(socket, tlsErrorOf(cause) ?? strangerError('AUTH_FAILED', `no TLS (${cause.message})`));
    });
    server.on('request', (request, response) => {
      this.refuse(request.socket, strangerError('PROTOCOL', 'a plain HTTP request'));
      const status = pathOf(request) === path ? 426 : 404;
      response.writeHead(status, { connection: 'close', upgrade: 'websocket' }).end(`${STATUS_CODES[status] ?? ''}\n`);
    });
    // request.socket is the same socket with its TCP type.
    server.on('upgrade', (request, _, head) => this.upgrade(request, request.socket, head));
  }

  /** Shakes hands with every connection, past and future; who passes is handed over. Call it once. */
  onPeer(welcome: Welcome): void {
    this.#welcome = welcome;
    const pending = [...this.pending];
    this.pending.clear();
    for (const [ws, socket] of pending) this.challenge(ws, socket, welcome);
  }

  /** For the owner: reports a peer that it turned away after the handshake. */
  refuse(from: Socket | string, error: CommError): void {
    this.refusals.report(typeof from === 'string' ? from : (from.remoteAddress ?? 'unknown'), error);
  }

  /** Idempotent: stops listening; connections get a short grace to end by themselves. */
  close(): Promise<void> {
    this.closing ??= new Promise((resolve) => {
      const timer = setTimeout(() => {
        for (const socket of this.sockets) socket.destroy();
      }, CLOSE_GRACE_MS);
      this.server.close(() => {
        clearTimeout(timer);
        resolve();
      });
      this.server.closeAllConnections();
      for (const ws of this.pending.keys()) ws.terminate();
    });
    return this.closing;
  }

  private meet(socket: Socket): void {
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
    this.strangers.add(socket);
  }

  private upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    if (pathOf(request) !== this.options.path || this.closing !== undefined) {
      this.refuse(socket, strangerError('PROTOCOL', 'a WebSocket on a wrong path'));
      socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    this.strangers.spoke(socket);
    this.wss.handleUpgrade(request, socket, head, (ws) => {
      ws.on('error', () => ws.terminate());
      socket.setNoDelay(true);
      if (this.#welcome !== undefined) this.challenge(ws, socket, this.#welcome);
      else {
        this.pending.set(ws, socket);
        ws.once('close', () => this.pending.delete(ws));
      }
    });
  }

  private challenge(ws: WebSocket, socket: Socket, welcome: Welcome): void {
    const side = new ListenerHandshake(welcome, (identity) => welcome.admit(identity));
    const { strangerTimeoutMs: timeoutMs } = this.options;
    shakeHands(
      ws,
      side,
      (outcome) => {
        if (outcome.kind === 'refused') {
          // Who leaves in the middle wasn't turned away, and silence is told when the stranger's time is over.
          if (outcome.error.phase !== 'handshake') this.refuse(socket, outcome.error);
          return;
        }
        this.strangers.welcome(socket);
        welcome.onPeer(ws, socket, outcome.identity);
      },
      { timeoutMs, stranger: socket },
    );
    ws.send(side.challenge());
  }
}

const pathOf = (request: IncomingMessage): string => (request.url ?? '').split('?', 1)[0]!;

const strangerError = (code: CommError['code'], what: string): CommError =>
  new CommError(code, `${what}; is it meant for this port?`, { phase: 'handshake' });

function bind(server: Server, { host, port }: WsServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    if (!Number.isInteger(port) || port < 0 || port > 65535) {
      throw new CommError(
        'INVALID_ARGUMENT',
        `can't listen on port ${port}; pass a port from 1 to 65535, or 0 for any`,
      );
    }
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
