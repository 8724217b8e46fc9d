/** Instances that play a part behind a router: each answers as a test says, and remembers what it was asked. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A request, as far as tests look at it. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  /** Fulfilled when its connection is over or the answer is out: whether the client went before. */
  readonly left: Promise<boolean>;
}

/** What becomes of the n-th request. */
export type Play = (response: ServerResponse, asked: Asked, index: number) => unknown;

export interface PlayedInstance {
  readonly url: string;
  readonly asked: readonly Asked[];
  /** It is gone, with all its connections. */
  die(): Promise<void>;
}

/** Runs `use` with an instance for each play, and ends them whatever happens. GET /health is 200 and isn't counted. */
export async function withInstances<T>(
  plays: readonly Play[],
  use: (instances: readonly PlayedInstance[]) => Promise<T>,
): Promise<T> {
  const started: PlayedInstance[] = [];
  try {
    for (const play of plays) started.push(await playedInstance(play));
    return await use(started);
  } finally {
    for (const instance of started) await instance.die();
  }
}

async function playedInstance(play: Play): Promise<PlayedInstance> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    if (request.url === '/health') response.end('{}');
    else
      void textOf(request).then((text) => {
        const { method = '', url: path = '', headers } = request;
        const left = once(response, 'close').then(() => !response.writableFinished);
        const one = { method, path, headers, text, left };
        asked.push(one);
        return play(response, one, asked.length - 1);
      });
  });
  return { ...(await served(server, () => server.closeAllConnections())), asked };
}

/** One that doesn't speak HTTP: `talk` has each connection to itself once something was asked over it. */
export async function withTalker<T>(talk: (socket: Socket) => void, use: (url: string) => Promise<T>): Promise<T> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket.on('error', () => undefined));
    socket.once('data', () => talk(socket));
  });
  const { url, die } = await served(server, () => {
    for (const socket of sockets) socket.destroy();
  });
  try {
    return await use(url);
  } finally {
    await die();
  }
}

async function served(server: Server, cut: () => void): Promise<Pick<PlayedInstance, 'url' | 'die'>> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const die = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    cut();
    await closed;
  };
  return { url: `http://127.0.0.1:${port}`, die };
}

/** Nobody listens there. */
export async function deadUrl(): Promise<string> {
  const { url, die } = await served(createTcpServer(), () => undefined);
  await die();
  return url;
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const piece of request.setEncoding('utf8')) text += piece as string;
  return text;
}

/** Begins a stream of events. */
export const beginEvents = (response: ServerResponse): ServerResponse =>
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });

/** An event that tells a text. */
export const event = (text: string): string => `data: {"choices":[{"index":0,"text":"${text}"}]}\n\n`;
export const DONE = 'data: [DONE]\n\n';

/** Answers with events of these texts. */
export const streamOf =
  (...texts: readonly string[]): Play =>
  (response) =>
    void beginEvents(response).end(texts.map(event).join('') + DONE);

/** Answers with JSON. */
export const jsonOf =
  (status: number, value: object, headers: Readonly<Record<string, string>> = {}): Play =>
  (response) =>
    void response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
