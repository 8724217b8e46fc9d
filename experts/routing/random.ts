/** Seeded numbers for synthetic loads. */

/** Numbers in [0, 1): mulberry32, after T. Ettinger's public-domain code. The same seed gives the same sequence on every machine. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Standard normal numbers: Box and Muller. */
export function normalFrom(random: () => number): () => number {
  return () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** 0 … length−1 in random order: Fisher and Yates. */
export function permutation(length: number, random: () => number): Int32Array {
  const order = Int32Array.from({ length }, (_, i) => i);
  for (let i = length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/** One number in [0, 1) for a seed and counters: whatever was drawn before. MurmurHash3's mixing (A. Appleby, public domain), word by word. */
export function hashUniform(seed: number, ...counters: readonly number[]): number {
  let hash = seed >>> 0;
  for (const counter of counters) {
    const word = Math.imul(rotated(Math.imul(counter, 0xcc9e2d51), 15), 0x1b873593);
    hash = (Math.imul(rotated(hash ^ word, 13), 5) + 0xe6546b64) >>> 0;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

const rotated = (word: number, bits: number): number => (word << bits) | (word >>> (32 - bits));
