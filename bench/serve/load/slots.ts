/** How many things run at a time: whoever finds no place waits, in order. */
export class Slots {
  private readonly waiting: (() => void)[] = [];

  /** `numFree`: Infinity for no limit. */
  constructor(private numFree: number) {}

  /** Resolves when there is a place. */
  async take(): Promise<void> {
    if (this.numFree > 0) {
      this.numFree--;
      return;
    }
    await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  /** Gives a place back, to whoever waits longest. */
  give(): void {
    const next = this.waiting.shift();
    if (next === undefined) this.numFree++;
    else next();
  }
}
