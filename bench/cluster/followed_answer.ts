/** A streamed answer that goes on while something else happens to it: its tokens, and when each came. */
import { tokensOf } from '../resume/token_stream.js';

/** What is asked. */
export interface FollowedRequest {
  readonly id: string;
  readonly promptTokenIds: readonly number[];
  readonly maxNewTokens: number;
}

/** Sampled, so that each token depends on all before it. */
const SAMPLING = { temperature: 0.9, seed: 1, ignore_eos: true };

/** Asks at once. Its owner ends it. */
export class FollowedAnswer {
  readonly tokenIds: number[] = [];
  /** One per token; by performance.now(). */
  readonly atMs: number[] = [];
  private readonly stop = new AbortController();
  private readonly over: Promise<void>;
  private waking: (() => void)[] = [];
  private failure: Error | null = null;
  private isOver = false;

  constructor(url: string, request: FollowedRequest, signal: AbortSignal) {
    this.over = this.follow(url, request, AbortSignal.any([signal, this.stop.signal])).catch((error: unknown) => {
      this.failure = error instanceof Error ? error : new Error(String(error));
    });
    void this.over.then(() => {
      this.isOver = true;
      this.wake();
    });
  }

  /** Resolves when so many tokens are there. Rejects with what ended it before; @throws Error: it has fewer */
  async reaches(numTokens: number): Promise<void> {
    while (this.tokenIds.length < numTokens) {
      if (this.failure !== null) throw this.failure;
      if (this.isOver) throw new Error(`the answer ended behind ${this.tokenIds.length} tokens`);
      await new Promise<void>((resolve) => this.waking.push(resolve));
    }
  }

  /** Gives the rest up. Idempotent. */
  async end(): Promise<void> {
    this.stop.abort();
    await this.over;
  }

  private async follow(url: string, request: FollowedRequest, signal: AbortSignal): Promise<void> {
    const { id, promptTokenIds: prompt, maxNewTokens: max_tokens } = request;
    const answer = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-request-id': id },
      body: JSON.stringify({ prompt, max_tokens, ...SAMPLING, stream: true, return_token_ids: true }),
      signal,
    });
    for await (const token of tokensOf(answer)) {
      this.atMs.push(performance.now());
      this.tokenIds.push(token);
      this.wake();
    }
  }

  private wake(): void {
    const { waking } = this;
    this.waking = [];
    for (const each of waking) each();
  }
}
