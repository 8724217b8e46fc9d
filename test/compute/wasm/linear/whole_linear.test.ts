import { expect } from 'chai';
import { groupHeadBytes, weightRowBytes, type WeightMatrix } from '../../../../compute/base/weight_matrix.js';
import { KernelMatrix } from '../../../../compute/wasm/memory/kernel_matrix.js';
import { KernelMemory } from '../../../../compute/wasm/memory/kernel_memory.js';
import { PLAIN_KERNELS } from '../../../../compute/wasm/memory/kernel_settings.js';
import { placeRows } from '../../../kit/kernels/kernel_rows.js';
import { randomFrom } from '../../../refs/random.js';

const GROUP = 32;
const MOST = { int16: 32767, int8: 127 } as const;
const RANGE = { int8: [-128, 127], int4: [-8, 7], uint4: [0, 15] } as const;
type WholeDtype = keyof typeof RANGE;

/** Whole numbers of a range: its ends in all the ways that neighbours can have them, then random ones. */
function wholeRows(numRows: number, columns: number, [least, most]: readonly [number, number], random: () => number) {
  const ends = [
    () => least,
    () => most,
    (i: number) => (i % 2 === 0 ? least : most),
    (i: number) => (i % 4 < 2 ? most : least),
    (i: number) => (i % 4 === 0 ? least : most),
    (i: number) => (i % 4 === 1 ? most : least),
  ];
  const some = (): number => least + Math.floor(random() * (most - least + 1));
  return Array.from({ length: numRows }, (_, row) => Array.from({ length: columns }, (_, i) => (ends[row] ?? some)(i)));
}

/** Those codes with scales of 1, and of uint4 a zero for each group. */
function weightsOf(dtype: WholeDtype, codes: readonly number[][], zeros: readonly number[][]): WeightMatrix {
  const columns = codes[0]!.length;
  const rowBytes = weightRowBytes(dtype, columns);
  const bytes = new Uint8Array(codes.length * rowBytes);
  const view = new DataView(bytes.buffer);
  for (const [row, values] of codes.entries()) {
    for (const [i, code] of values.entries()) {
      const group = row * rowBytes + weightRowBytes(dtype, GROUP * Math.floor(i / GROUP));
      view.setFloat32(group, 1, true);
      if (dtype === 'uint4') view.setFloat32(group + 4, zeros[row]![Math.floor(i / GROUP)]!, true);
      const at = group + groupHeadBytes(dtype);
      if (dtype === 'int8') view.setInt8(at + (i % GROUP), code);
      else bytes[at + ((i % GROUP) >> 1)]! |= (code & 15) << (4 * (i & 1));
    }
  }
  return { dtype, rows: codes.length, columns, bytes };
}

describe('sums of whole numbers', () => {
  for (const fma of [false, true]) {
    for (const activations of ['int16', 'int8'] as const) {
      for (const dtype of Object.keys(RANGE) as WholeDtype[]) {
        it(`have every bit, at the ends of both ranges too (${dtype} × ${activations}, ${fma ? 'fused' : 'plain'})`, () => {
          const random = randomFrom(7);
          const memory = new KernelMemory(undefined, { ...PLAIN_KERNELS, fma, activations });
          // Four panels at once and one that isn't full; 1100 inputs of 32 rows are more than a block.
          const [numOutputs, numRows, columns] = [69, 39, 1120];
          const codes = wholeRows(numOutputs, columns, RANGE[dtype], random);
          const zeros = codes.map((_, row) => codes[0]!.map(() => (dtype === 'uint4' ? (row * 5) % 16 : 0)));
          const weight = KernelMatrix.from(memory, weightsOf(dtype, codes, zeros), dtype);
          const most = MOST[activations];
          const x = wholeRows(numRows, columns, [-most, most], random);
          // A group's largest magnitude says what its codes stand for.
          for (const row of x) for (let i = 0; i < columns; i += GROUP) row[i + (i % 31)] = most;
          for (const batch of [x, x.slice(0, 3), ...x.slice(0, 8).map((row) => [row])]) {
            const xAt = placeRows(memory, Float32Array.from(batch.flat()), columns);
            const yAt = memory.allocate(4 * batch.length * numOutputs);
            memory.kernels.linear(xAt, batch.length, weight.address, yAt, numOutputs);
            const expected = batch.flatMap((row) => codes.map((each, output) => product(row, each, zeros[output]!)));
            expect([...memory.floats(yAt, expected.length)]).to.deep.equal(expected);
            memory.free(xAt);
            memory.free(yAt);
          }
        });
      }
    }
  }
});

/** Of each group a whole number, which a float32 holds as nearly as it can; their sum rounds from one to the next. */
function product(x: readonly number[], codes: readonly number[], zeros: readonly number[]): number {
  let sum = 0;
  for (let group = 0; group * GROUP < x.length; group++) {
    let whole = 0;
    for (let i = group * GROUP; i < (group + 1) * GROUP; i++) whole += x[i]! * (codes[i]! - zeros[group]!);
    sum = Math.fround(sum + Math.fround(whole));
  }
  return sum;
}
