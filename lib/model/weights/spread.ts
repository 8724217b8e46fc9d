/** Which kernel memory holds which part of a dense model. Pure. Why: docs/decisions/memory.md#several-memories */
import { bytesOfPart, undividedParts, type DenseSizes } from './dense_sizes.js';

/** Memories are numbered from 0. */
export interface Spread {
  /** Layer → memory; never falls. */
  readonly layers: readonly number[];
  readonly embedding: number;
  /** The embedding's where that is the head too. */
  readonly head: number;
  /** Of each memory: what will be taken beside weights, by the KV cache and by steps. */
  readonly reservedBytes: readonly number[];
}

/** Everything in one memory, of which nothing is reserved. */
export const unspread = ({ layers }: { readonly layers: readonly unknown[] }): Spread => ({
  layers: layers.map(() => 0),
  ...{ embedding: 0, head: 0, reservedBytes: [0] },
});

/**
 * Spreads layers, each with its part of the KV cache, over as few memories of `memoryBytes` as possible: in order, so that hidden states leave a memory once.
 * The vocabulary goes where it costs the fewest hops. Null where a part alone doesn't fit.
 */
export function planSpread(sizes: DenseSizes, memoryBytes: number): Spread | null {
  const parts = undividedParts(sizes).map(bytesOfPart);
  if (parts.some((part) => part > memoryBytes)) return null;
  const room = memoryBytes - sizes.step;
  const total = parts.reduce((sum, part) => sum + part - sizes.step, 0);
  for (let numMemories = Math.ceil(total / room); ; numMemories++) {
    const found = fewestHops(sizes, room, numMemories);
    if (found !== null) return found;
  }
}

/** Of more memories, embedding and head may go to the first and the last alone: that is as good as anything but for a hop, and trying all takes the cube of their number. */
const MAX_TRIED = 32;

/** Tries every place of embedding and head: given those, filling one memory after the other with layers takes the fewest. */
function fewestHops(sizes: DenseSizes, room: number, numMemories: number): Spread | null {
  let [best, fewest]: [Spread | null, number] = [null, Infinity];
  const all = numMemories > MAX_TRIED ? [0, numMemories - 1] : Array.from({ length: numMemories }, (_, i) => i);
  for (const embedding of all) {
    for (const head of sizes.head === null ? [embedding] : all) {
      const layers = filled(sizes, { embedding, head, room, numMemories });
      if (layers === null) continue;
      const numHops = numChanges([embedding, ...layers, head]);
      if (numHops >= fewest) continue;
      fewest = numHops;
      best = { layers, embedding, head, reservedBytes: reserved(sizes, layers, head, numMemories) };
    }
  }
  return best;
}

interface Places {
  readonly embedding: number;
  readonly head: number;
  readonly room: number;
  readonly numMemories: number;
}

/** Layer → memory, each in the first that has room and isn't before the last layer's; null where memories run out. */
function filled(sizes: DenseSizes, { embedding, head, room, numMemories }: Places): number[] | null {
  const left = new Array<number>(numMemories).fill(room);
  left[embedding]! -= sizes.embedding;
  left[head]! -= (sizes.head ?? 0) + sizes.logits;
  if (left[embedding]! < 0 || left[head]! < 0) return null;
  const memories: number[] = [];
  let memory = 0;
  for (const { weights, cache } of sizes.layers) {
    while (memory < numMemories && left[memory]! < weights + cache) memory++;
    if (memory === numMemories) return null;
    left[memory]! -= weights + cache;
    memories.push(memory);
  }
  return memories;
}

function reserved(sizes: DenseSizes, layers: readonly number[], head: number, numMemories: number): number[] {
  const bytes = new Array<number>(numMemories).fill(sizes.step);
  bytes[head]! += sizes.logits;
  for (const [layer, memory] of layers.entries()) bytes[memory]! += sizes.layers[layer]!.cache;
  return bytes;
}

const numChanges = (memories: readonly number[]): number =>
  memories.filter((memory, i) => i > 0 && memory !== memories[i - 1]).length;
