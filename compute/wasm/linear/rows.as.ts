/** Rows of floats between the kernels. */

/** Zeros in columns `width` … `stride` − 1 of rows that begin every `stride` floats. */
export function clearPadding(x: usize, numRows: i32, width: i32, stride: i32): void {
  if (width == stride) return;
  const start: usize = (<usize>width) << 2;
  const rowBytes: usize = (<usize>stride) << 2;
  for (let row = 0; row < numRows; row++, x += rowBytes) memory.fill(x + start, 0, rowBytes - start);
}

/** x *= factor for rows of `width` floats that begin every `stride` floats. */
export function scaleRows(x: usize, numRows: i32, width: i32, stride: i32, factor: f32): void {
  if (factor == 1) return;
  const rowBytes: usize = (<usize>stride) << 2;
  for (let row = 0; row < numRows; row++, x += rowBytes) scaleRow(x, width, factor);
}

function scaleRow(x: usize, width: i32, factor: f32): void {
  const factors = f32x4.splat(factor);
  const end = x + ((<usize>width) << 2);
  for (; x + 16 <= end; x += 16) v128.store(x, f32x4.mul(v128.load(x), factors));
  for (; x < end; x += 4) store<f32>(x, load<f32>(x) * factor);
}

/** x += y for rows of `width` floats that begin every `stride` floats; x's padding stays as it is. */
export function addRows(x: usize, y: usize, numRows: i32, width: i32, stride: i32): void {
  const rowBytes: usize = (<usize>stride) << 2;
  for (let row = 0; row < numRows; row++, x += rowBytes, y += rowBytes) addRow(x, y, width);
}

/** Each row += vector [width]; rows begin every `stride` floats, and their padding stays as it is. */
export function addVector(x: usize, numRows: i32, vector: usize, width: i32, stride: i32): void {
  const rowBytes: usize = (<usize>stride) << 2;
  for (let row = 0; row < numRows; row++, x += rowBytes) addRow(x, vector, width);
}

/** Every float of such rows between −limit and limit; NaN stays. */
export function clampRows(x: usize, numRows: i32, width: i32, stride: i32, limit: f32): void {
  const rowBytes: usize = (<usize>stride) << 2;
  for (let row = 0; row < numRows; row++, x += rowBytes)
    for (let at = x, end = x + ((<usize>width) << 2); at < end; at += 4)
      store<f32>(at, min<f32>(max<f32>(load<f32>(at), -limit), limit));
}

function addRow(x: usize, y: usize, width: i32): void {
  const end = x + ((<usize>width) << 2);
  for (; x + 16 <= end; x += 16, y += 16) v128.store(x, f32x4.add(v128.load(x), v128.load(y)));
  for (; x < end; x += 4, y += 4) store<f32>(x, load<f32>(x) + load<f32>(y));
}

/** Rows of `width` floats, every fromStride floats → every toStride floats, with zeros behind them up to `toWidth`. */
export function copyRows(
  from: usize,
  fromStride: i32,
  numRows: i32,
  width: i32,
  to: usize,
  toStride: i32,
  toWidth: i32,
): void {
  const bytes: usize = (<usize>width) << 2;
  const padding: usize = ((<usize>toWidth) << 2) - bytes;
  for (let row = 0; row < numRows; row++) {
    memory.copy(to, from, bytes);
    if (padding > 0) memory.fill(to + bytes, 0, padding);
    from += (<usize>fromStride) << 2;
    to += (<usize>toStride) << 2;
  }
}

/** Heads of `dim` floats side by side → every `width` floats, with zeros behind them, in place: tokens have room for numHeads · width floats. */
export function spreadHeads(x: usize, numTokens: i32, numHeads: i32, dim: i32, width: i32): void {
  if (dim == width) return;
  const tokenBytes: usize = (<usize>(numHeads * width)) << 2;
  for (let t = 0; t < numTokens; t++, x += tokenBytes) {
    for (let head = numHeads - 1; head >= 0; head--) {
      const to = x + ((<usize>(head * width)) << 2);
      memory.copy(to, x + ((<usize>(head * dim)) << 2), (<usize>dim) << 2);
      memory.fill(to + ((<usize>dim) << 2), 0, (<usize>(width - dim)) << 2);
    }
  }
}
