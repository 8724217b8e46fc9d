/** Blocks of a panel's inputs as floats. Why: docs/decisions/kernels.md#blocks-of-a-panel */
import { F32, Matrix, PANEL_ROW, here, panelBytes, wordsOf } from '../memory/memory.as';
import { decodePanel } from './convert.as';

/** Inputs of a panel that many rows go through at once: as floats they stay in the first-level cache, or near it. */
export const BLOCK_INPUTS: i32 = 512;

const decodedAt: usize = memory.data(64 * BLOCK_INPUTS, 64);

/** Floats [count][16]: inputs `input` … input + count − 1 of a panel, whole groups and a block at most. They are valid until the next call. */
export function blockOf(w: Matrix, panel: i32, input: i32, count: i32): usize {
  const data = w.data + <usize>panel * panelBytes(w) + <usize>wordsOf(w.dtype, input) * PANEL_ROW;
  if (w.dtype == F32) return data;
  const values = here(decodedAt);
  decodePanel(w.dtype, data, count, values);
  return values;
}
