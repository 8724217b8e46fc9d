/** The requests that are being answered, so that a server can end without breaking one off. */
import type { FastifyReply } from 'fastify';

/** Counts requests that the end of the server waits for. */
export class RunningRequests {
  private numRunning = 0;
  private readonly waiting = new Set<() => void>();

  /** One more, until its answer is written or its client is gone. */
  add(reply: FastifyReply): void {
    this.numRunning++;
    reply.raw.once('close', () => {
      this.numRunning--;
      if (this.numRunning === 0) for (const resolve of this.waiting) resolve();
    });
  }

  /** How many there are. */
  get count(): number {
    return this.numRunning;
  }

  /** Resolves when there is none, at the latest after `timeoutMs`: how many there are then. */
  async idle(timeoutMs: number): Promise<number> {
    if (this.numRunning > 0) {
      await new Promise<void>((resolve) => {
        const settle = (): void => {
          clearTimeout(timer);
          this.waiting.delete(settle);
          resolve();
        };
        const timer = setTimeout(settle, timeoutMs);
        this.waiting.add(settle);
      });
    }
    return this.numRunning;
  }
}
