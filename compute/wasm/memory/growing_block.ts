import type { KernelMemory } from './kernel_memory.js';

/**
 * A block that is as large as it ever had to be: what steps use again and again without a further allocation.
 * Why: docs/decisions/memory.md#scratch-memory-is-asked-for
 */
export class GrowingBlock {
  /** 0 before the first {@link reserve}. */
  address = 0;
  numBytes = 0;

  constructor(private readonly memory: KernelMemory) {}

  /**
   * The address of at least `numBytes`. A block that has to grow becomes half as large again where there is room for that beside what is promised to others, and loses what it held.
   * @throws ExpertError OUT_OF_MEMORY; then it has no bytes
   */
  reserve(numBytes: number): number {
    if (numBytes <= this.numBytes && this.address !== 0) return this.address;
    const roomy = Math.ceil(1.5 * this.numBytes);
    this.dispose();
    const size = roomy > numBytes && this.memory.hasRoom(roomy) ? roomy : numBytes;
    this.address = this.memory.allocateScratch(size);
    this.numBytes = size;
    return this.address;
  }

  /** Gives the memory back. Idempotent; {@link reserve} takes memory again. */
  dispose(): void {
    if (this.address !== 0) this.memory.free(this.address);
    this.address = 0;
    this.numBytes = 0;
  }
}
