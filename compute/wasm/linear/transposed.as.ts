/** y = x·W over resident matrices, for x as wide as W has rows: sums over W's rows, panel by panel, whatever the number of rows of x. */
import { BF16, F32, Matrix, PANEL, PANEL_ROW, here, numPanels, panelBytes } from '../memory/memory.as';
import { madd } from './math.as';
import { scaleBytes, scalesAt, valueOf } from './tiles.as';

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
  for (let panel = 0; panel < numPanels(w); panel++) {
    const numValues: usize = (<usize>min(PANEL, w.rows - panel * PANEL)) << 2;
    const data = w.data + <usize>panel * panelBytes(w);
    for (let row = 0; row < numRows; row++) {
      memory.copy(here(valuesAt), x + <usize>row * ((<usize>xStride) << 2) + <usize>panel * PANEL_ROW, numValues);
      memory.fill(here(valuesAt) + numValues, 0, PANEL_ROW - numValues);
      const to = y + <usize>row * ((<usize>yStride) << 2);
      if (panel == 0) memory.fill(to, 0, (<usize>width) << 2);
      if (w.dtype == F32) addPanel<f32>(data, to, width);
      else if (w.dtype == BF16) addPanel<u16>(data, to, width);
      else addPanel<i8>(data, to, width);
    }
  }
}

/** to += the values at hand times a panel; four columns at once. T: as in tiles.as.ts. */
function addPanel<T>(data: usize, to: usize, width: i32): void {
  const values = here(valuesAt);
  const p0 = v128.load(values);
  const p1 = v128.load(values, 16);
  const p2 = v128.load(values, 32);
  const p3 = v128.load(values, 48);
  let s0 = scalesAt<T>(data);
  let s1 = scalesAt<T>(data + 16);
  let s2 = scalesAt<T>(data + 32);
  let s3 = scalesAt<T>(data + 48);
  for (let column = 0; column < width; column += 4, to += 16) {
    if (sizeof<T>() == 1 && (column & 31) == 0) {
      s0 = scalesAt<T>(data);
      s1 = scalesAt<T>(data + 16);
      s2 = scalesAt<T>(data + 32);
      s3 = scalesAt<T>(data + 48);
      data += scaleBytes<T>();
    }
    const a = weighted<T>(data, 0, p0, p1, p2, p3, s0, s1, s2, s3);
    const b = weighted<T>(data, 1, p0, p1, p2, p3, s0, s1, s2, s3);
    const c = weighted<T>(data, 2, p0, p1, p2, p3, s0, s1, s2, s3);
    const d = weighted<T>(data, 3, p0, p1, p2, p3, s0, s1, s2, s3);
    v128.store(to, f32x4.add(v128.load(to), sums(a, b, c, d)));
    data += sizeof<T>() * PANEL_ROW;
  }
}

/** Four sums over a column's sixteen weights. */
function weighted<T>(
  data: usize,
  column: i32,
  p0: v128,
  p1: v128,
  p2: v128,
  p3: v128,
  s0: v128,
  s1: v128,
  s2: v128,
  s3: v128,
): v128 {
  const perWord: i32 = 4 / <i32>sizeof<T>();
  const at = data + <usize>(column / perWord) * PANEL_ROW;
  const index = column % perWord;
  const low = f32x4.mul(p0, valueOf<T>(v128.load(at), index, s0));
  const high = f32x4.mul(p1, valueOf<T>(v128.load(at, 16), index, s1));
  return f32x4.add(
    madd(p2, valueOf<T>(v128.load(at, 32), index, s2), low),
    madd(p3, valueOf<T>(v128.load(at, 48), index, s3), high),
  );
}

/** The four lanes of each vector summed up, as (0 + 1) + (2 + 3). */
function sums(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<i32>(a, b, 0, 4, 2, 6), v128.shuffle<i32>(a, b, 1, 5, 3, 7));
  const cd = f32x4.add(v128.shuffle<i32>(c, d, 0, 4, 2, 6), v128.shuffle<i32>(c, d, 1, 5, 3, 7));
  return f32x4.add(v128.shuffle<i32>(ab, cd, 0, 1, 4, 5), v128.shuffle<i32>(ab, cd, 2, 3, 6, 7));
}
