/** How long one waits for a rank that may be silent, where no step finds that out. */
export class Patience {
  private timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly ms: number,
    private readonly onEnd: () => void,
  ) {}

  /** From now on; once. */
  begin(): void {
    this.timer ??= setTimeout(this.onEnd, this.ms);
  }

  /** What one waited for is there. */
  end(): void {
    if (this.timer !== null) clearTimeout(this.timer);
  }
}
