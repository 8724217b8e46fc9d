/** A stream that runs on while something befalls it, and when its tokens came. */
import { EngineError } from '../../lib/protocol/errors.js';
import type { GenerationRequest, TokenSource } from '../../lib/protocol/request.js';

/** Begins at once; greedy. Its owner ends it. */
export class RunningStream {
  readonly startMs = performance.now();
  readonly tokenIds: number[] = [];
  /** One per token; times by performance.now(). */
  readonly tokenMs: number[] = [];
  private readonly given = new AbortController();
  private readonly over: Promise<void>;
  private waiting: { readonly numTokens: number; readonly resolve: () => void }[] = [];

  constructor(source: TokenSource, request: GenerationRequest, signal: AbortSignal) {
    this.over = this.follow(source, request, AbortSignal.any([signal, this.given.signal]));
    this.over.catch(() => undefined); // told by whoever waits
  }

  /** Resolves when so many tokens came. Rejects with what the request failed with. */
  async reaches(numTokens: number): Promise<void> {
    if (this.tokenIds.length >= numTokens) return;
    const reached = new Promise<void>((resolve) => this.waiting.push({ numTokens, resolve }));
    await Promise.race([reached, this.over]);
  }

  /** Gives it up. Idempotent; rejects as {@link reaches}. */
  async end(): Promise<void> {
    this.given.abort();
    await this.over;
  }

  private async follow(source: TokenSource, request: GenerationRequest, signal: AbortSignal): Promise<void> {
    try {
      for await (const event of source.generate({ ...request, ignoreEos: true }, signal))
        if (event.kind === 'token') this.take(event.tokenId);
    } catch (error) {
      const isGivenUp = error instanceof EngineError && error.code === 'CLOSED' && this.given.signal.aborted;
      if (!isGivenUp) throw error;
    }
  }

  private take(tokenId: number): void {
    this.tokenIds.push(tokenId);
    this.tokenMs.push(performance.now());
    const { length } = this.tokenIds;
    for (const { numTokens, resolve } of this.waiting) if (length >= numTokens) resolve();
    this.waiting = this.waiting.filter(({ numTokens }) => length < numTokens);
  }
}
