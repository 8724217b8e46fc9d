/** The memories of one rank: the first ones hold dense weights, and experts go wherever there is room. Why: docs/decisions/memory.md#several-memories */
import type { Crew } from '../threads/crew.js';
import { KernelMemory, MAX_MEMORY_BYTES } from './kernel_memory.js';
import { PLAIN_KERNELS, type KernelSettings } from './kernel_settings.js';

/** Of a memory, what can be planned with: the rest is for the kernels' static areas, 240 KB for each of up to 65 threads, and for gaps between blocks. */
export const MEMORY_ROOM_BYTES = MAX_MEMORY_BYTES - 2 ** 25;

/** Where no expert may go. */
export interface ReservedBytes {
  /** Of each memory with dense weights: KV cache and activations to come. Default [0]: there is one such memory. */
  readonly denseBytes?: readonly number[];
  /** Of each: for what its experts compute. Default 0. */
  readonly eachBytes?: number;
  /** Of a memory. Default {@link MAX_MEMORY_BYTES}. */
  readonly limitBytes?: number;
  /** Of weights that will come, in all: memories are made so large at once. Default 0: they grow with each block. */
  readonly weightBytes?: number;
}

/** What the memories of a rank hold and did, all taken together. */
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
  /** Of activations and logits, into the memories and out of them, so far. */
  readonly numCopies: number;
  readonly copiedBytes: number;
}

/** Of a rank that has none. */
export const NO_KERNELS: KernelStats = {
  numMemories: 0,
  heldBytes: 0,
  scratchBytes: 0,
  reservedBytes: 0,
  numCalls: 0,
  numCopies: 0,
  copiedBytes: 0,
};

/** Finds room for experts. Memories for dense weights are there from the start; the others are added when experts need them. */
export class KernelMemories {
  /** For dense weights, KV cache and activations. */
  readonly dense: readonly KernelMemory[];
  private readonly memories: KernelMemory[];
  private readonly further: Required<Pick<ReservedBytes, 'eachBytes' | 'limitBytes'>>;
  /** Of weights to come, for which no memory was made large enough yet. */
  private expectedBytes: number;

  /** `settings`: of all of them. `crew`: threads that compute in them, default none. */
  constructor(
    { denseBytes = [0], eachBytes = 0, limitBytes = MAX_MEMORY_BYTES, weightBytes = 0 }: ReservedBytes = {},
    private readonly settings: KernelSettings = PLAIN_KERNELS,
    private readonly crew: Crew | null = null,
  ) {
    this.further = { eachBytes, limitBytes };
    this.expectedBytes = weightBytes;
    this.dense = denseBytes.map((bytes) => this.made(bytes));
    this.memories = [...this.dense];
  }

  /** A memory with room for an expert of so many bytes; a new one if need be. */
  withRoom(numBytes: number): KernelMemory {
    const found = this.memories.find((memory) => memory.hasRoom(numBytes));
    if (found !== undefined) return found;
    const memory = this.made(0);
    this.memories.push(memory);
    return memory;
  }

  /** A memory, as large as what it will hold of the weights to come. */
  private made(denseBytes: number): KernelMemory {
    const { eachBytes, limitBytes } = this.further;
    const promised = eachBytes + denseBytes;
    const memory = new KernelMemory(limitBytes, this.settings, this.crew, promised);
    const ownBytes = Math.max(0, Math.min(this.expectedBytes, limitBytes - promised));
    memory.expect(ownBytes);
    this.expectedBytes -= ownBytes;
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
      numCalls: sum((memory) => memory.counts.numCalls),
      numCopies: sum((memory) => memory.counts.numCopies),
      copiedBytes: sum((memory) => memory.counts.copiedBytes),
    };
  }
}
