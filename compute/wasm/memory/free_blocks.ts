/** Which parts of a memory are free: first fit, neighbours joined. Pure. */

interface Block {
  readonly address: number;
  readonly size: number;
}

/** The free parts of a memory that begins at `start` and may grow without end. Sizes and addresses are in bytes. */
export class FreeBlocks {
  /** Free blocks below `end`, by address; no two touch. */
  private readonly free: Block[] = [];
  /** Everything from here on was never handed out. */
  private end: number;

  constructor(start: number) {
    this.end = start;
  }

  /** The lowest address with `size` free bytes. `reserve(end)` is asked for memory up to `end` where none is free, and may throw: then nothing changed. */
  take(size: number, reserve: (end: number) => void): number {
    const index = this.free.findIndex((block) => block.size >= size);
    if (index < 0) return this.extend(size, reserve);
    const { address, size: found } = this.free[index]!;
    const rest = found > size ? [{ address: address + size, size: found - size }] : [];
    this.free.splice(index, 1, ...rest);
    return address;
  }

  /** Whether `take` would find `size` bytes below `limit`. */
  fits(size: number, limit: number): boolean {
    return this.end + size <= limit || this.free.some((block) => block.size >= size);
  }

  /** Gives back what {@link take} handed out. */
  give(address: number, size: number): void {
    let index = this.free.findIndex((block) => block.address > address);
    if (index < 0) index = this.free.length;
    const before = this.free[index - 1];
    const after = this.free[index];
    const joinsBefore = before !== undefined && endOf(before) === address;
    const joinsAfter = after?.address === address + size;
    const start = joinsBefore ? before.address : address;
    const end = joinsAfter ? endOf(after) : address + size;
    const from = joinsBefore ? index - 1 : index;
    this.free.splice(from, Number(joinsBefore) + Number(joinsAfter), { address: start, size: end - start });
    this.trim();
  }

  /** Nothing but free memory behind. */
  private trim(): void {
    const last = this.free.at(-1);
    if (last === undefined || endOf(last) !== this.end) return;
    this.end = last.address;
    this.free.pop();
  }

  private extend(size: number, reserve: (end: number) => void): number {
    const address = this.end;
    reserve(address + size);
    this.end = address + size;
    return address;
  }
}

const endOf = ({ address, size }: Block): number => address + size;
