/** Asks a played server, itself or through a router, and sees how long each token was on its way. */
import { Agent, request as httpRequest } from 'node:http';
import { once } from 'node:events';
import { clockNs } from './orders.js';

/** One answer. */
export interface Paced {
  /** Of each token: from when its server told it until it was here. */
  readonly lateMs: readonly number[];
  /** From asking to the end of the answer. */
  readonly tookMs: number;
}

const AT = /"at":"(\d+)"/g;
const NS_PER_MS = 1e6;

/** Keeps its connections. */
export class PacedClient {
  private readonly agent = new Agent({ keepAlive: true });

  /** Rejects where the server doesn't answer. @throws Error: it refuses */
  async ask(url: string, prompt: string, numTokens: number): Promise<Paced> {
    const body = JSON.stringify({ model: 'moe-7m', prompt, max_tokens: numTokens, stream: true });
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const startMs = performance.now();
    const asked = httpRequest(`${url}/v1/completions`, { method: 'POST', headers, agent: this.agent });
    asked.end(body);
    const [response] = (await once(asked, 'response')) as [import('node:http').IncomingMessage];
    const lateMs: number[] = [];
    for await (const piece of response.setEncoding('latin1')) {
      const now = clockNs();
      for (const [, at] of (piece as string).matchAll(AT)) lateMs.push(Number(now - BigInt(at!)) / NS_PER_MS);
    }
    if (response.statusCode !== 200 || lateMs.length !== numTokens)
      throw new Error(`${url} answered with ${response.statusCode} and ${lateMs.length} of ${numTokens} tokens`);
    return { lateMs, tookMs: performance.now() - startMs };
  }

  /** Closes its connections. */
  close(): void {
    this.agent.destroy();
  }
}
