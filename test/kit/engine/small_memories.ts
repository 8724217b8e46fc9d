/** Memories so small that a tiny model's dense part needs several of them. */
import type { ReservedBytes } from '../../../compute/wasm/memory/kernel_memories.js';
import { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import {
  bytesOfPart,
  denseSizesOf,
  undividedParts,
  type DenseSizes,
  type DenseSizesOptions,
} from '../../../lib/model/weights/dense_sizes.js';
import { planSpread, type Spread } from '../../../lib/model/weights/spread.js';

export interface SmallMemories {
  readonly spread: Spread;
  readonly reserved: Required<Pick<ReservedBytes, 'limitBytes' | 'eachBytes'>>;
}

/** The longest prompt of a test, in one step. */
const MAX_TOKENS = 288;
/** For what experts compute. */
const EACH_BYTES = 2 ** 20;

/** The smallest memories of which a dense part needs so many: layers lie as far apart as they can. */
export function smallMemories(
  options: Pick<DenseSizesOptions, 'spec' | 'weights' | 'residence' | 'blockSize'>,
  numMemories: number,
): SmallMemories {
  const sizes = denseSizesOf({
    ...options,
    numKvBlocks: Math.ceil(2048 / options.blockSize),
    maxNumBatchedTokens: MAX_TOKENS,
    numThreads: 1,
  });
  const found = smallestSpread(sizes, numMemories);
  const limitBytes = found.memoryBytes + EACH_BYTES + ownBytes();
  return { spread: found.spread, reserved: { limitBytes, eachBytes: EACH_BYTES } };
}

/** How the smallest memories of which so many suffice are filled. */
export function smallestSpread(sizes: DenseSizes, numMemories: number): { spread: Spread; memoryBytes: number } {
  const total = undividedParts(sizes).reduce((sum, part) => sum + bytesOfPart(part), 0);
  for (let memoryBytes = 0; memoryBytes <= total; memoryBytes += total / 500) {
    const spread = planSpread(sizes, memoryBytes);
    if (spread?.reservedBytes.length === numMemories) return { spread, memoryBytes };
  }
  throw new Error(`no size of memories spreads this model over ${numMemories}`);
}

/** What a memory takes for itself. */
const ownBytes = (): number => new KernelMemory().allocate(64) + 2 ** 16;
