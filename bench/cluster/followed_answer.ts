/** A streamed answer that goes on while something else happens to it: its tokens, and when each came. */
import { setTimeout as delay } from 'node:timers/promises';
import { BenchError } from '../base/errors.js';
import { tokensOf } from '../resume/token_stream.js';

/** Longer than any prompt takes. */
const STALL_MS = 60_000;

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

  constructor(
    url: string,
    private readonly request: FollowedRequest,
    signal: AbortSignal,
  ) {
    this.over = this.follow(url, AbortSignal.any([signal, this.stop.signal])).catch((error: unknown) => {
      this.failure = error instanceof Error ? error : new Error(String(error));
    });
    void this.over.then(() => {
      this.isOver = true;
      this.wake();
    });
  }

  /** Resolves when so many tokens are there. Rejects with what ended it before. @throws BenchError NOT_MOVED: it has fewer, or no more of them come */
  async reaches(numTokens: number): Promise<void> {
    while (this.tokenIds.length < numTokens) {
      if (this.failure !== null) throw this.failure;
      if (this.isOver) throw this.stuck('ended');
      const waits = new AbortController();
      const woken = new Promise<void>((resolve) => this.waking.push(resolve));
      const late = delay(STALL_MS, undefined, { signal: waits.signal }).then(() => {
        throw this.stuck(`has stood still for ${STALL_MS / 1000} s`);
      });
      await Promise.race([woken, late]).finally(() => waits.abort());
    }
  }

  /** Gives the rest up. Idempotent. */
  async end(): Promise<void> {
    this.stop.abort();
    await this.over;
  }

  private async follow(url: string, signal: AbortSignal): Promise<void> {
    const { id, promptTokenIds: prompt, maxNewTokens: max_tokens } = this.request;
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

  private stuck(how: string): BenchError {
    return new BenchError(
      'NOT_MOVED',
      `answer ${this.request.id} ${how} behind ${this.tokenIds.length} tokens; report it`,
    );
  }

  private wake(): void {
    const { waking } = this;
    this.waking = [];
    for (const each of waking) each();
  }
}
