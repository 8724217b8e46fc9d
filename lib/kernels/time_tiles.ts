/** Which tile multiplies fastest, by a product that the caches hold. */
import { KernelMatrix } from '../../compute/wasm/memory/kernel_matrix.js';
import { KernelMemory } from '../../compute/wasm/memory/kernel_memory.js';
import type { KernelSettings } from '../../compute/wasm/memory/kernel_settings.js';

/** What linear.as.ts has: rows of activations. */
const TILES = [2, 4, 6] as const;
/** A whole number of each. */
const NUM_ROWS = 24;
const [INPUTS, OUTPUTS] = [512, 256] as const;
/** Until V8 has optimised the product, where it does that while the product runs. */
const WARM_UPS = 12;
const ROUNDS = 40;

/** A product with one tile. */
export interface TimedTile {
  readonly rows: number;
  run(): void;
}

/** Products with all tiles, optimised as V8 is told at the time of the call. */
export function tilesFor(settings: Pick<KernelSettings, 'fma' | 'module'>): readonly TimedTile[] {
  const tiles = TILES.map((rows) => tileOf(rows, settings));
  for (let i = 0; i < WARM_UPS; i++) for (const tile of tiles) tile.run();
  return tiles;
}

/** Of each group the fastest tile and its time: all run in turns, and of each the shortest time counts, which what else the machine does can't change. */
export function timeTiles(groups: readonly { readonly tiles: readonly TimedTile[] }[]): { rows: number; us: number }[] {
  const times = groups.map(({ tiles }) => tiles.map((tile) => ({ tile, us: Infinity })));
  for (let round = 0; round < ROUNDS; round++) {
    for (const time of times.flat()) time.us = Math.min(time.us, microseconds(time.tile));
  }
  return times.map((group) => {
    const [best] = group.toSorted((a, b) => a.us - b.us);
    return { rows: best!.tile.rows, us: best!.us };
  });
}

function tileOf(rows: number, settings: Pick<KernelSettings, 'fma' | 'module'>): TimedTile {
  const memory = new KernelMemory(undefined, { ...settings, tileRows: rows });
  const weights = new KernelMatrix(memory, OUTPUTS, INPUTS, 'f32');
  const [x, y] = [memory.allocate(4 * NUM_ROWS * INPUTS), memory.allocate(4 * NUM_ROWS * OUTPUTS)];
  return { rows, run: () => memory.kernels.linear(x, NUM_ROWS, weights.address, y, OUTPUTS) };
}

function microseconds(tile: TimedTile): number {
  const startMs = performance.now();
  tile.run();
  return 1000 * (performance.now() - startMs);
}
