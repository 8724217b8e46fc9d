/** An engine that plays what a test gives it: no ranks, no model. */
import { modelSpecOf } from '../../../lib/model/families/registry.js';
import { EngineError } from '../../../lib/protocol/errors.js';
import type { GenerationRequest, TokenEvent, TokenLogprobs } from '../../../lib/protocol/request.js';
import type { ServedEngine } from '../../../lib/server/base/served_engine.js';
import type { Tokenizer } from '../../../lib/tokenizer/tokenizer.js';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repoRoot } from '../paths.js';

/** What becomes of a request. */
export type Play = (request: GenerationRequest, signal: AbortSignal | undefined) => AsyncIterable<TokenEvent>;

/** Tokens numbered from 0, one for each character, then the end. */
export function playText(text: string): Play {
  const tokens = Array.from(text, (character, tokenId) => tokenEvent(tokenId, character));
  return playEvents(...tokens, finishedEvent());
}

/** So many rounds of the event loop: what a step takes. */
const ROUNDS = 5;

/** These events, each token in a step of its own. */
export function playEvents(...events: readonly (TokenEvent | Error)[]): Play {
  return async function* () {
    for (const event of events) {
      const isStep = event instanceof Error || event.kind !== 'finished';
      for (let i = 0; isStep && i < ROUNDS; i++) await new Promise(setImmediate);
      if (event instanceof Error) throw event;
      yield event;
    }
  };
}

/** Tokens without end, until the request is given up. */
export const endless = (text = 'x'): Play =>
  async function* (_request, signal) {
    while (signal?.aborted !== true) {
      await new Promise(setImmediate);
      yield tokenEvent(1, text);
    }
    throw new EngineError('CLOSED', 'the request was cancelled by its caller');
  };

/** A token of the demo model; `with`: whatever is special. */
export function tokenEvent(
  tokenId: number,
  text: string,
  special: Partial<Extract<TokenEvent, { kind: 'token' }>> = {},
): TokenEvent {
  return { kind: 'token', tokenId, text, logprobs: null, routedExperts: null, ...special };
}

/** Log-probability −1, −2, … for the tokens of a place. */
export const logprobsOf = (chosen: number, ...others: readonly number[]): TokenLogprobs => ({
  logprob: -1,
  rank: 1,
  top: [chosen, ...others].map((tokenId, i) => ({ tokenId, logprob: -1 - i })),
});

/** How a request ends; `with`: whatever is special. */
export function finishedEvent(special: Partial<Extract<TokenEvent, { kind: 'finished' }>> = {}): TokenEvent {
  const none = { stoppedBy: null, numCachedTokens: 0, text: '', seed: 0, routedExperts: null, numDegradedTokens: 0 };
  return { kind: 'finished', reason: 'stop', ...none, ...special };
}

export class PlayedEngine implements ServedEngine {
  readonly spec = modelSpecOf(
    JSON.parse(readFileSync(join(repoRoot(), 'models/moe-7m/config.json'), 'utf8')) as Record<string, unknown>,
  );
  readonly limits = {
    maxNumSeqs: 64,
    maxNumBatchedTokens: 512,
    blockSize: 16,
    numKvBlocks: 1024,
    maxModelLen: 512,
    maxToldBytes: 1024,
  };
  readonly placement = [] as never;
  readonly numSeats = 1;
  failure: Error | null = null;
  /** What was asked, in order. */
  readonly requests: GenerationRequest[] = [];
  /** Requests whose events are still being read. */
  numRunning = 0;

  readonly tokenizer: Tokenizer | undefined;

  constructor(
    private readonly play: Play,
    tokenizer?: Tokenizer,
  ) {
    this.tokenizer = tokenizer;
  }

  get load(): ServedEngine['load'] {
    const blocks = { numKvBlocks: 1024, numUsedBlocks: 0, numCachedBlocks: 0, numPinnedBlocks: 0, tiers: [] };
    const ranks = [{ rank: 0, numRunning: this.numRunning, ...blocks, numPrefillTokens: 0 }];
    return { numWaiting: 0, ranks, imbalance: { kvUse: 1, numRunning: 1, prefillTokens: 1 } };
  }

  async *generate(request: GenerationRequest, signal?: AbortSignal): AsyncGenerator<TokenEvent, void, undefined> {
    this.requests.push(request);
    this.numRunning++;
    try {
      yield* this.play(request, signal);
    } finally {
      this.numRunning--;
    }
  }

  stats(): never {
    throw new Error('a played engine has no statistics');
  }

  watch: ServedEngine['watch'] = () => {
    return () => undefined;
  };
}
