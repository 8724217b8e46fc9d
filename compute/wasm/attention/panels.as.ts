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

/** Puts a key of `dim` elements into its place. `keys`: where the block's keys begin, of `width` channels each. T: the element, u32 or u16. */
export function storeKey<T>(keys: usize, blockSize: i32, width: i32, token: i32, key: usize, dim: i32): void {
  const first = token & ~(PANEL - 1);
  const apart = <usize>panelWidth(blockSize, first) * sizeof<T>();
  let to = keys + <usize>(first * width + token - first) * sizeof<T>();
  for (const end = key + <usize>dim * sizeof<T>(); key < end; key += sizeof<T>(), to += apart)
    store<T>(to, load<T>(key));
}

/** The same for a value. */
export function storeValue<T>(values: usize, blockSize: i32, width: i32, token: i32, value: usize, dim: i32): void {
  for (let first = 0; first < dim; first += PANEL, value += <usize>PANEL * sizeof<T>()) {
    const to = values + <usize>(first * blockSize + token * panelWidth(width, first)) * sizeof<T>();
    memory.copy(to, value, <usize>panelWidth(dim, first) * sizeof<T>());
  }
}

/** Four elements as floats, and those 4, 8 and 12 behind them. T: f32, or u16 for bf16. */
export function four<T>(at: usize): v128 {
  return sizeof<T>() == 4 ? v128.load(at) : i32x4.shl(v128.load16x4_u(at), 16);
}
export function secondFour<T>(at: usize): v128 {
  return sizeof<T>() == 4 ? v128.load(at, 16) : i32x4.shl(v128.load16x4_u(at, 8), 16);
}
export function thirdFour<T>(at: usize): v128 {
  return sizeof<T>() == 4 ? v128.load(at, 32) : i32x4.shl(v128.load16x4_u(at, 16), 16);
}
export function fourthFour<T>(at: usize): v128 {
  return sizeof<T>() == 4 ? v128.load(at, 48) : i32x4.shl(v128.load16x4_u(at, 24), 16);
}
