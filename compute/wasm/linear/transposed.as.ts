/** y = x·W over resident matrices, for x as wide as W has rows: sums over W's rows, panel by panel, whatever the number of rows of x. */
import { Matrix, PANEL, PANEL_ROW, here, numPanels } from '../memory/memory.as';
import { BLOCK_INPUTS, blockOf } from './blocks.as';
import { madd } from './math.as';

/** A row's values that go with a panel; zeros behind the last. */
const valuesAt: usize = memory.data(64, 64);

/**
 * x: numRows rows of W.rows floats, every xStride floats. y: numRows rows of `width` floats, every yStride floats; `width` is a multiple of 4 up to W.stride.
 */
export function linearTransposed(
  x: usize,
  numRows: i32,
  xStride: i32,
  weight: usize,
  y: usize,
  yStride: i32,
  width: i32,
): void {
  const w = changetype<Matrix>(weight);
  const values = here(valuesAt);
  const xBytes: usize = (<usize>xStride) << 2;
  const yBytes: usize = (<usize>yStride) << 2;
  for (let row = 0; row < numRows; row++) memory.fill(y + <usize>row * yBytes, 0, (<usize>width) << 2);
  for (let panel = 0; panel < numPanels(w); panel++, x += PANEL_ROW) {
    const numValues: usize = (<usize>min(PANEL, w.rows - panel * PANEL)) << 2;
    for (let column = 0; column < width; column += BLOCK_INPUTS) {
      const count = min(BLOCK_INPUTS, width - column);
      const block = blockOf(w, panel, column, (count + 31) & ~31);
      for (let row = 0; row < numRows; row++) {
        memory.copy(values, x + <usize>row * xBytes, numValues);
        memory.fill(values + numValues, 0, PANEL_ROW - numValues);
        addBlock(block, values, y + <usize>row * yBytes + ((<usize>column) << 2), count);
      }
    }
  }
}

/** to += sixteen values times floats [count][16]; four columns at once. */
function addBlock(block: usize, values: usize, to: usize, count: i32): void {
  const p = v128.load(values);
  const q = v128.load(values, 16);
  const r = v128.load(values, 32);
  const s = v128.load(values, 48);
  for (const end = to + ((<usize>count) << 2); to < end; to += 16, block += 4 * PANEL_ROW) {
    let low = f32x4.mul(p, v128.load(block));
    let high = f32x4.mul(q, v128.load(block, 16));
    const a = f32x4.add(madd(r, v128.load(block, 32), low), madd(s, v128.load(block, 48), high));
    low = f32x4.mul(p, v128.load(block, 64));
    high = f32x4.mul(q, v128.load(block, 80));
    const b = f32x4.add(madd(r, v128.load(block, 96), low), madd(s, v128.load(block, 112), high));
    low = f32x4.mul(p, v128.load(block, 128));
    high = f32x4.mul(q, v128.load(block, 144));
    const c = f32x4.add(madd(r, v128.load(block, 160), low), madd(s, v128.load(block, 176), high));
    low = f32x4.mul(p, v128.load(block, 192));
    high = f32x4.mul(q, v128.load(block, 208));
    const d = f32x4.add(madd(r, v128.load(block, 224), low), madd(s, v128.load(block, 240), high));
    // The four lanes of each, as (0 + 1) + (2 + 3).
    const ab = f32x4.add(v128.shuffle<i32>(a, b, 0, 4, 2, 6), v128.shuffle<i32>(a, b, 1, 5, 3, 7));
    const cd = f32x4.add(v128.shuffle<i32>(c, d, 0, 4, 2, 6), v128.shuffle<i32>(c, d, 1, 5, 3, 7));
    const sums = f32x4.add(v128.shuffle<i32>(ab, cd, 0, 1, 4, 5), v128.shuffle<i32>(ab, cd, 2, 3, 6, 7));
    v128.store(to, f32x4.add(v128.load(to), sums));
  }
}
