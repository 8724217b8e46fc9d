/** Who waits until nothing runs on a rank any more. */
interface Waiting {
  readonly rank: number;
  readonly resolve: () => void;
}

/** Told by whoever changes what runs. */
export class Drains {
  private waiting: readonly Waiting[] = [];

  constructor(private readonly isDrained: (rank: number) => boolean) {}

  /** Resolves as soon as no sequence runs on a rank. Rejects with the reason of `signal`, when that is aborted before. */
  wait(rank: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const forget = (): void => {
        this.waiting = this.waiting.filter((each) => each !== waiting);
        signal?.removeEventListener('abort', giveUp);
      };
      const giveUp = (): void => {
        forget();
        reject(signal!.reason as Error);
      };
      const waiting = {
        rank,
        resolve: () => {
          forget();
          resolve();
        },
      };
      this.waiting = [...this.waiting, waiting];
      signal?.addEventListener('abort', giveUp, { once: true });
      if (signal?.aborted === true) giveUp();
      else this.check();
    });
  }

  /** Something ended, moved or was lost. */
  check(): void {
    for (const { rank, resolve } of this.waiting) if (this.isDrained(rank)) resolve();
  }
}
