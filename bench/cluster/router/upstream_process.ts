/** A server that plays: its tokens cost nothing, and each says when it was told. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { noteLine, ROUTER_HEADER } from '../../../lib/server/cluster/stream_notes.js';
import { obey } from '../../base/helper_process.js';
import { clockNs, type UpstreamNews, type UpstreamOrder } from './orders.js';

interface Body {
  readonly max_tokens: number;
}

/** As this engine's servers have it, but for what it tells. */
const eventOf = (n: number): string =>
  `data: {"id":"cmpl-1","object":"text_completion","created":1700000000,"model":"moe-7m","choices":[{"index":0,"text":" t${n}","logprobs":null,"finish_reason":null}],"at":"${clockNs()}"}\n\n`;

obey(async ({ gapMs }: UpstreamOrder): Promise<UpstreamNews> => {
  const server = createServer((request, response) => {
    if (request.method === 'GET') response.end('{}');
    else void answer(request, response, gapMs);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
});

async function answer(request: IncomingMessage, response: ServerResponse, gapMs: number): Promise<void> {
  let text = '';
  for await (const piece of request.setEncoding('utf8')) text += piece as string;
  const { max_tokens: numTokens } = JSON.parse(text) as Body;
  const hasNotes = request.headers[ROUTER_HEADER] === '1';
  const note = (...[told]: Parameters<typeof noteLine>): string => (hasNotes ? noteLine(told) : '');
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  if (hasNotes) response.write(`${note({ kind: 'begun', seed: 1, created: 1_700_000_000, isMovable: true })}\n`);
  let n = 0;
  const tell = (): void => {
    response.write(note({ kind: 'tokens', tokenIds: [n] }) + eventOf(n));
    if (++n < numTokens) return;
    clearInterval(timer);
    response.end(`${note({ kind: 'done' })}data: [DONE]\n\n`);
  };
  const timer = setInterval(tell, gapMs);
  response.on('close', () => clearInterval(timer));
  tell();
}
