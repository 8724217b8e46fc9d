import { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';

const GUARD_BYTES = 64;
const GUARD = 0xa5;

/** A kernel memory in which writing behind a block is found out, when the block is given back at the latest. */
export class GuardedMemory extends KernelMemory {
  /** Address → bytes that were asked for. */
  private readonly guarded = new Map<number, number>();

  override allocate(numBytes: number): number {
    const address = super.allocate(numBytes + GUARD_BYTES);
    this.guarded.set(address, numBytes);
    this.bytes(address + numBytes, GUARD_BYTES).fill(GUARD);
    return address;
  }

  override free(address: number): void {
    this.check(address);
    this.guarded.delete(address);
    super.free(address);
  }

  private check(address: number): void {
    const numBytes = this.guarded.get(address);
    if (numBytes === undefined) return;
    const isIntact = this.bytes(address + numBytes, GUARD_BYTES).every((byte) => byte === GUARD);
    if (!isIntact) throw new Error(`something wrote behind a block of ${numBytes} bytes`);
  }
}
