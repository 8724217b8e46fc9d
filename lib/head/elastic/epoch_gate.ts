/** Until the head has taken note of an epoch: the job tells of one earlier. */
export class EpochGate {
  private waiting: readonly { readonly epoch: number; readonly resolve: () => void }[] = [];

  /** `epoch`: that the head knows. */
  constructor(private epoch: number) {}

  /** Resolves when the head knows this epoch. */
  async reached(epoch: number): Promise<void> {
    if (epoch <= this.epoch) return;
    await new Promise<void>((resolve) => {
      this.waiting = [...this.waiting, { epoch, resolve }];
    });
  }

  /** The head knows this epoch from now on. */
  enter(epoch: number): void {
    this.epoch = epoch;
    const { waiting } = this;
    this.waiting = waiting.filter((each) => each.epoch > epoch);
    for (const each of waiting) if (each.epoch <= epoch) each.resolve();
  }

  /** No later one will come: nobody waits any more. */
  close(): void {
    this.enter(Infinity);
  }
}
