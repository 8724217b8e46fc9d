/** Whose line is next: so many at a time of all batches together, and after what clients wait for. Why: docs/decisions/batches.md#last-of-all */

/** So often a batch looks whether clients still wait. */
const LOOK_EVERY_MS = 50;

/** Turns of lines. */
export class Turns {
  private readonly waiting = new Set<() => void>();
  private readonly idling = new Set<() => void>();
  private numRunning = 0;
  private isPaused = false;
  private timer: NodeJS.Timeout | null = null;

  /** `isBusy`: clients wait for those whose turn it is already. */
  constructor(
    private readonly width: number,
    private readonly isBusy: () => boolean,
  ) {}

  /** Resolves when it is one's turn, with how it ends. @throws the reason of the signal */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const begin = (): void => {
        signal.removeEventListener('abort', leave);
        this.waiting.delete(begin);
        this.numRunning++;
        resolve();
      };
      const leave = (): void => {
        this.waiting.delete(begin);
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', leave, { once: true });
      this.waiting.add(begin);
      this.next();
    });
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.numRunning--;
      this.next();
    };
  }

  /** Nobody's turn comes any more. Resolves when all that began are over. */
  async pause(): Promise<void> {
    this.isPaused = true;
    if (this.numRunning > 0) await new Promise<void>((resolve) => this.idling.add(resolve));
  }

  private next(): void {
    for (const begin of this.waiting) {
      if (!this.mayBegin) break;
      begin();
    }
    if (this.numRunning === 0) for (const resolve of this.idling) resolve();
    const isHeldUp = this.waiting.size > 0 && !this.isPaused && this.numRunning < this.width;
    if (!isHeldUp) this.stopLooking();
    else this.timer ??= setInterval(() => this.next(), LOOK_EVERY_MS).unref();
  }

  private stopLooking(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }

  /** One goes on however many clients wait: a batch ends at last. */
  private get mayBegin(): boolean {
    return !this.isPaused && this.numRunning < this.width && (this.numRunning === 0 || !this.isBusy());
  }
}
