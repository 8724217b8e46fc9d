/** Streams that ask one request after another while faults come. */
import type { GenerationRequest, TokenSource } from '../../../lib/protocol/request.js';
import { answerOf, type Answer } from './answer.js';

/** An answer, and which request it is of. */
export interface Answered {
  readonly request: number;
  readonly answer: Answer;
}

/** So many streams over the same requests in turn, until it is told to stop. */
export class Load {
  readonly answers: Answered[] = [];
  private numTokens = 0;
  private next = 0;
  private isOver = false;
  private readonly waiting = new Set<{ readonly at: number; readonly resolve: () => void }>();
  private readonly streams: Promise<unknown>;

  /** Begins at once. */
  constructor(
    private readonly source: TokenSource,
    private readonly requests: readonly GenerationRequest[],
    numStreams: number,
    private readonly signal: AbortSignal,
  ) {
    this.streams = Promise.all(Array.from({ length: numStreams }, () => this.stream()));
    this.streams.catch(() => undefined); // told by `stop`
  }

  /** Resolves when so many more tokens came, or when no more will. */
  async tokens(count: number): Promise<void> {
    const more = new Promise<void>((resolve) => this.waiting.add({ at: this.numTokens + count, resolve }));
    await Promise.race([more, this.streams]);
  }

  /** Waits for the requests that run. */
  async stop(): Promise<void> {
    this.isOver = true;
    await this.streams;
  }

  private async stream(): Promise<void> {
    while (!this.isOver) {
      const request = this.next++ % this.requests.length;
      const answer = await answerOf(this.source, this.requests[request]!, this.signal, () => this.count());
      this.answers.push({ request, answer });
      if (answer.error !== null && answer.tokenIds.length === 0) return; // the job is over: asking on would be a circle without end
    }
  }

  private count(): void {
    this.numTokens++;
    for (const each of this.waiting) {
      if (this.numTokens < each.at) continue;
      this.waiting.delete(each);
      each.resolve();
    }
  }
}
