/** What resident dtypes make of a row of weights, the slow way. */
import type { ResidentDtype } from '../../compute/wasm/memory/resident_dtype.js';
import { bf16Of, bitsOf, floatOf } from './wire_dtype_ref.js';

const { fround } = Math;
const GROUP = 32;

/** The values that stand for `row` (float32 values). */
export function residentRef(row: ArrayLike<number>, dtype: ResidentDtype): number[] {
  const values = Array.from(row);
  if (dtype === 'f32') return values;
  if (dtype === 'bf16') return values.map((value) => floatOf(bf16Of(bitsOf(value)) * 65536));
  return values.map((value, i) => {
    const group = values.slice(i - (i % GROUP), i - (i % GROUP) + GROUP);
    const scale = fround(Math.max(...group.map(Math.abs)) / 127);
    return scale === 0 ? 0 : fround(nearestEven(fround(value / scale)) * scale) + 0;
  });
}

function nearestEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}
