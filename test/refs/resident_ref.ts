/** What resident dtypes make of a row of weights, the slow way. */
import { roundGroup } from '../../compute/base/code_rounding.js';
import { e4m3Values } from '../../compute/base/small_floats.js';
import type { ResidentDtype } from '../../compute/wasm/memory/resident_dtype.js';
import { bf16Of, bitsOf, floatOf } from './wire_dtype_ref.js';

const { fround } = Math;
const GROUP = 32;

/** The values that stand for `row` (float32 values). */
export function residentRef(row: ArrayLike<number>, dtype: ResidentDtype): number[] {
  const values = Array.from(row);
  if (dtype === 'f32') return values;
  if (dtype === 'bf16') return values.map((value) => floatOf(bf16Of(bitsOf(value)) * 65536));
  const groups = Array.from({ length: Math.ceil(values.length / GROUP) }, (_, i) =>
    values.slice(GROUP * i, GROUP * (i + 1)),
  );
  return groups.flatMap((group) => {
    if (dtype === 'int4' || dtype === 'uint4') return fourBitsOf(dtype, group);
    const scale = fround(Math.max(...group.map(Math.abs)) / (dtype === 'fp8' ? 448 : 127));
    return group.map((value) => {
      const quotient = scale === 0 ? 0 : fround(value / scale);
      return fround((dtype === 'fp8' ? nearestE4m3(quotient) : nearestEven(quotient)) * scale) + 0;
    });
  });
}

/** By the rule that has a reference of its own. */
function fourBitsOf(dtype: 'int4' | 'uint4', group: readonly number[]): number[] {
  const codes = new Int8Array(group.length);
  const { scale, zero } = roundGroup(dtype, Float32Array.from(group), 0, group.length, codes);
  return Array.from(codes, (code) => fround((code - zero) * scale));
}

/** That aren't negative, ascending. */
const E4M3 = [...e4m3Values().subarray(0, 127)];

/** Of two as near, the one with an even code. */
function nearestE4m3(value: number): number {
  const size = Math.abs(value);
  const code = E4M3.findIndex((each, i) => {
    const middle = (each + (E4M3[i + 1] ?? Infinity)) / 2;
    return size < middle || (size === middle && i % 2 === 0);
  });
  return Math.sign(value) * E4M3[code]!;
}

function nearestEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}
