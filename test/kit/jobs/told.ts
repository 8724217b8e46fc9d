/** What was told, in order, and a way to wait until enough was. */
export class Told<T> {
  readonly all: T[] = [];
  private readonly waiting: (() => void)[] = [];

  readonly tell = (each: T): void => {
    this.all.push(each);
    for (const wake of this.waiting.splice(0)) wake();
  };

  /** Resolves once what was told makes it true. */
  async until(isTrue: (all: readonly T[]) => boolean): Promise<void> {
    while (!isTrue(this.all)) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  /** So many were told; gives them. */
  async have(count: number): Promise<readonly T[]> {
    await this.until((all) => all.length >= count);
    return this.all;
  }
}
