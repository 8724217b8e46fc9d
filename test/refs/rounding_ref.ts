/** Rounding to four bits as its rule reads, in float64, one value at a time. */

/** What codes stand for. */
export interface RefScale {
  readonly scale: number;
  readonly zero: number;
}

/** All scales that a group may get, the first one counting where errors are equal. */
export function candidatesRef(type: 'int4' | 'uint4', values: readonly number[]): RefScale[] {
  const [least, largest] = [Math.min(0, ...values), Math.max(0, ...values)];
  if (type === 'int4') {
    const extreme = largest >= -least ? largest : least;
    return [-8, -7.5, -8.5, -7, -9].map((divisor) => ({ scale: bf16Ref(extreme / divisor), zero: 0 }));
  }
  return [1, 0.95, 0.9, 0.85, 0.8].map((share) => {
    const scale = bf16Ref(((largest - least) / 15) * share);
    return { scale, zero: scale === 0 ? 0 : nearestCode((-least * share) / scale, 0, 15) };
  });
}

/** The code of a value: of those there are, the one next to it; of two as near, the even one. */
export const codeRef = (type: 'int4' | 'uint4', value: number, { scale, zero }: RefScale): number =>
  scale === 0 ? 0 : type === 'int4' ? nearestCode(value / scale, -8, 7) : nearestCode(value / scale + zero, 0, 15);

/** Sum of squares of what rounding changes. */
export const errorRef = (type: 'int4' | 'uint4', values: readonly number[], of: RefScale): number =>
  values.reduce((sum, value) => sum + (value - (codeRef(type, value, of) - of.zero) * of.scale) ** 2, 0);

function nearestCode(x: number, low: number, high: number): number {
  let best = low;
  for (let code = low; code <= high; code++) {
    const [distance, former] = [Math.abs(code - x), Math.abs(best - x)];
    if (distance < former || (distance === former && code % 2 === 0)) best = code;
  }
  return best;
}

/** The bfloat16 number next to it, found among its two neighbours; of two as near, the one with an even last bit. */
function bf16Ref(value: number): number {
  const floats = Float32Array.of(value);
  const bits = new Uint32Array(floats.buffer);
  const float = floats[0]!;
  const below = bits[0]! & 0xffff0000;
  const [low, high] = [below, below + 0x10000].map((pattern) => {
    bits[0] = pattern;
    return floats[0]!;
  }) as [number, number];
  const [down, up] = [Math.abs(float - low), Math.abs(high - float)];
  if (down !== up) return down < up ? low : high;
  return (below >>> 16) % 2 === 0 ? low : high;
}
