/**
 * Keys and values of a block in panels, so that what is read together lies together. Keys: [channel][token] for 16 tokens each, so that 16 scores are computed side by
 * side, each in one accumulator over ascending channels. Values: [token][channel] for 16 channels each. The last panel is as narrow as what is left: no block size
 * wastes memory.
 */

/** Tokens of a panel of keys, and channels of a panel of values. */
export const PANEL: i32 = 16;

/** How many tokens or channels, of `count`, the panel has that begins with `first`, a multiple of PANEL. */
export function panelWidth(count: i32, first: i32): i32 {
  return min(PANEL, count - first);
}

/** Puts a key of `dim` floats into its place. `keys`: where the block's keys begin, of `width` channels each. */
export function storeKey(keys: usize, blockSize: i32, width: i32, token: i32, key: usize, dim: i32): void {
  const first = token & ~(PANEL - 1);
  const apart: usize = (<usize>panelWidth(blockSize, first)) << 2;
  let to = keys + ((<usize>(first * width + token - first)) << 2);
  for (const end = key + ((<usize>dim) << 2); key < end; key += 4, to += apart) store<f32>(to, load<f32>(key));
}

/** The same for a value. */
export function storeValue(values: usize, blockSize: i32, width: i32, token: i32, value: usize, dim: i32): void {
  for (let first = 0; first < dim; first += PANEL, value += 4 * PANEL) {
    const to = values + ((<usize>(first * blockSize + token * panelWidth(width, first))) << 2);
    memory.copy(to, value, (<usize>panelWidth(dim, first)) << 2);
  }
}
