/** First fit, slow and obvious: one boolean per unit of memory. */
export class FreeBlocksRef {
  private readonly isUsed: boolean[] = [];

  constructor(private readonly start: number) {}

  /** The lowest run of `size` free units. */
  take(size: number): number {
    let address = this.start;
    while (Array.from({ length: size }, (_, i) => this.isUsed[address + i] ?? false).includes(true)) address++;
    for (let i = 0; i < size; i++) this.isUsed[address + i] = true;
    return address;
  }

  give(address: number, size: number): void {
    for (let i = 0; i < size; i++) this.isUsed[address + i] = false;
  }

  /** One behind the last unit in use. */
  get end(): number {
    return Math.max(this.start, this.isUsed.lastIndexOf(true) + 1);
  }
}
