/** The memories of one rank: the first holds what can't be divided, and experts go wherever there is room. */
import { KernelMemory, MAX_MEMORY_BYTES } from './kernel_memory.js';

export interface KernelStats {
  readonly numMemories: number;
  /** Of weights and KV cache. */
  readonly heldBytes: number;
  /** Of blocks that steps use again and again. */
  readonly scratchBytes: number;
  /** What the process gave. */
  readonly reservedBytes: number;
  /** Of kernels, so far. */
  readonly numCalls: number;
}

/** Of a rank that has none. */
export const NO_KERNELS: KernelStats = { numMemories: 0, heldBytes: 0, scratchBytes: 0, reservedBytes: 0, numCalls: 0 };

export class KernelMemories {
  /** For dense weights, KV cache and activations. */
  readonly first: KernelMemory;
  private readonly memories: KernelMemory[];
  private readonly limitBytes: number;
  private readonly reservedBytes: number;

  /** `reservedBytes`: of the first memory, where no expert may go. `limitBytes`: of each, default {@link MAX_MEMORY_BYTES}. */
  constructor(reservedBytes: number, limitBytes = MAX_MEMORY_BYTES) {
    this.first = new KernelMemory(limitBytes);
    this.memories = [this.first];
    this.limitBytes = limitBytes;
    this.reservedBytes = reservedBytes;
  }

  /** A memory with room for so many bytes in one piece, at least nearly; a new one if need be. */
  withRoom(numBytes: number): KernelMemory {
    const found = this.memories.find((memory) => this.roomOf(memory) >= numBytes);
    if (found !== undefined) return found;
    const memory = new KernelMemory(this.limitBytes);
    this.memories.push(memory);
    return memory;
  }

  /** Of all memories. */
  stats(): KernelStats {
    const sum = (of: (memory: KernelMemory) => number): number =>
      this.memories.reduce((total, memory) => total + of(memory), 0);
    return {
      numMemories: this.memories.length,
      heldBytes: sum((memory) => memory.usedBytes - memory.scratchBytes),
      scratchBytes: sum((memory) => memory.scratchBytes),
      reservedBytes: sum((memory) => memory.reservedBytes),
      numCalls: sum((memory) => memory.numCalls),
    };
  }

  private roomOf(memory: KernelMemory): number {
    return this.limitBytes - memory.usedBytes - (memory === this.first ? this.reservedBytes : 0);
  }
}
