/** Requests to an engine, and when their tokens came. */
import type { GenerationRequest, TokenSource } from '../../lib/protocol/request.js';
import { Slots } from '../serve/load/slots.js';

/** A request that is over; times by performance.now(). */
export interface Followed {
  readonly startMs: number;
  /** One per token; at least one. */
  readonly tokenMs: readonly number[];
  readonly numCachedTokens: number;
}

/** A prompt and how many tokens follow it. */
export interface Asked {
  readonly promptTokenIds: readonly number[];
  readonly maxNewTokens: number;
}

/** Runs a request to its end; `onToken` hears of each token. Greedy, and as long as asked for. */
export async function follow(
  engine: TokenSource,
  asked: Asked,
  signal: AbortSignal,
  onToken: (numTokens: number) => void = () => undefined,
): Promise<Followed> {
  const request: GenerationRequest = { ...asked, ignoreEos: true };
  const startMs = performance.now();
  const tokenMs: number[] = [];
  let numCachedTokens = 0;
  for await (const event of engine.generate(request, signal)) {
    if (event.kind === 'token') onToken(tokenMs.push(performance.now()));
    if (event.kind === 'finished') ({ numCachedTokens } = event);
  }
  return { startMs, tokenMs, numCachedTokens };
}

/** How requests that are many enter a batch. */
export type Batching =
  | 'continuous' // the next one as soon as one ends
  | 'static'; // the next `concurrency` when all of the last ones have ended

/** All requests in order, `concurrency` at a time. Returns how long that took. */
export async function runBatch(
  engine: TokenSource,
  asked: readonly Asked[],
  concurrency: number,
  batching: Batching,
  signal: AbortSignal,
): Promise<{ readonly ms: number; readonly followed: readonly Followed[] }> {
  const startMs = performance.now();
  const followed: Followed[] = [];
  const one = async (request: Asked): Promise<void> => void followed.push(await follow(engine, request, signal));
  switch (batching) {
    case 'continuous': {
      const slots = new Slots(concurrency);
      await Promise.all(
        asked.map(async (request) => {
          await slots.take();
          await one(request).finally(() => slots.give());
        }),
      );
      break;
    }
    case 'static':
      for (let i = 0; i < asked.length; i += concurrency)
        await Promise.all(asked.slice(i, i + concurrency).map((request) => one(request)));
  }
  return { ms: performance.now() - startMs, followed };
}

/** Tokens of all answers. */
export const numTokensOf = (followed: readonly Followed[]): number =>
  followed.reduce((sum, { tokenMs }) => sum + tokenMs.length, 0);

/** Time to the first token. */
export const ttftOf = ({ startMs, tokenMs }: Followed): number => tokenMs[0]! - startMs;
