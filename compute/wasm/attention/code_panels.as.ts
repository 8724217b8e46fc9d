/**
 * Keys and values of int8 in a block (stored_rows.as.ts): the words of its tokens, then their codes in panels as others have (panels.as.ts), but of neighbours in the order of
 * summation, two channels of a key or one channel of two tokens' values, pairs of bytes: what a product of whole numbers takes at once. A block has an even number of tokens, the last
 * one more than are used where those are odd.
 * Why: docs/decisions/kernels.md#attention-in-whole-numbers
 */
import { PANEL, panelWidth } from './panels.as';

/** Tokens that a block has room for. */
export function roomOf(blockSize: i32): i32 {
  return (blockSize + 1) & ~1;
}

/** From where a block's keys or values begin to the first code. */
export function wordsBytes(blockSize: i32): usize {
  return (<usize>roomOf(blockSize)) << 2;
}

/** Bytes of a block's keys or values. */
export function codedBytes(blockSize: i32, width: i32): usize {
  return <usize>roomOf(blockSize) * <usize>(4 + width);
}

/** Puts a key's `dim` codes into their places. `keys`: where the block's keys begin, of `width` channels each. */
export function storeKeyCodes(keys: usize, blockSize: i32, width: i32, token: i32, codes: usize, dim: i32): void {
  const first = token & ~(PANEL - 1);
  const apart = (<usize>panelWidth(roomOf(blockSize), first)) << 1;
  let to = keys + wordsBytes(blockSize) + <usize>(first * width + 2 * (token - first));
  const end = codes + <usize>dim;
  for (; codes + 2 <= end; codes += 2, to += apart) store<u16>(to, load<u16>(codes));
  if (codes < end) store<u8>(to, load<u8>(codes));
}

/** The same for a value. */
export function storeValueCodes(values: usize, blockSize: i32, width: i32, token: i32, codes: usize, dim: i32): void {
  const panels = values + wordsBytes(blockSize) + <usize>(token & 1);
  for (let first = 0; first < dim; first += PANEL) {
    let to = panels + <usize>(first * roomOf(blockSize) + (token & ~1) * panelWidth(width, first));
    const end = codes + <usize>panelWidth(dim, first);
    for (; codes < end; codes++, to += 2) store<u8>(to, load<u8>(codes));
  }
}
