/** A product as chunks that threads take: some panels of weights, and of many rows a block that stays in a cache. */
import { blockRows, linearPanels } from './linear.as';
import { Matrix, PANEL, here, numPanels, panelBytes } from '../memory/memory.as';
import { chunksFor, isParallel, parallel } from '../threads/parallel.as';

/** What all chunks of a product have in common. */
@unmanaged
class Product {
  x: usize;
  w: usize;
  y: usize;
  numRows: i32;
  yStride: i32;
  /** Of a chunk. */
  rows: i32;
  panels: i32;
  /** Of a block of rows. */
  numChunks: i32;
}

const productAt: usize = memory.data(offsetof<Product>(), 16);

/** x: numRows rows of W.stride floats, zeros in the padding. y: numRows rows of `yStride` floats; columns W.rows … yStride − 1 stay as they are. */
export function linear(x: usize, numRows: i32, weight: usize, y: usize, yStride: i32): void {
  const w = changetype<Matrix>(weight);
  const count = numPanels(w);
  const numChunks = isParallel() ? chunksFor(<i64>count * panelWork(w, min(numRows, blockRows(w))), count >> 2) : 1;
  if (numChunks < 2) return linearPanels(x, numRows, w, 0, count, y, yStride);
  const p = changetype<Product>(here(productAt));
  p.x = x;
  p.w = weight;
  p.y = y;
  p.numRows = numRows;
  p.yStride = yStride;
  p.rows = blockRows(w);
  // Single rows take four panels at once.
  p.panels = (count / numChunks + 3) & ~3;
  p.numChunks = (count + p.panels - 1) / p.panels;
  parallel(chunk, p.numChunks * ((numRows + p.rows - 1) / p.rows), changetype<usize>(p));
}

/** Neighbouring chunks share rows of x. */
function chunk(args: usize, index: i32): void {
  const p = changetype<Product>(args);
  const w = changetype<Matrix>(p.w);
  const row = (index / p.numChunks) * p.rows;
  const panel = (index % p.numChunks) * p.panels;
  const x = p.x + ((<usize>row * <usize>w.stride) << 2);
  const y = p.y + ((<usize>row * <usize>p.yStride) << 2);
  linearPanels(x, min(p.rows, p.numRows - row), w, panel, min(panel + p.panels, numPanels(w)), y, p.yStride);
}

/** As {@link chunksFor} counts it: reading the weights of a panel, and multiplying. */
export function panelWork(w: Matrix, numRows: i32): i64 {
  return <i64>panelBytes(w) / 24 + ((<i64>PANEL * <i64>w.stride * <i64>numRows) >> 5);
}
