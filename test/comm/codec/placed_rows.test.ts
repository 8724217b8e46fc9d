import { expect } from 'chai';
import type { FloatRows } from '../../../base/float_rows.js';
import { WIRE_DTYPES, decodeRows, encodeRows, roundTripRows, wireRowBytes } from '../../../comm/codec/wire_dtype.js';
import { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { KernelMemoryRows } from '../../kit/comm/kernel_memory_rows.js';
import { bits, decoded, encoded, expectSame, floats, randomRows } from '../../kit/comm/wire_values.js';

/** Rows of whole vectors and others; the last takes several pieces. */
const WIDTHS = [16, 128, 130, 144, 1024, 16_384 + 160];
const NUM_ROWS = 40;
/** Some follow each other. */
const PICKED = Int32Array.of(3, 4, 5, 0, 0, 39, 1, 2, 38);

/** What an array of the same rows gives is held against the reference elsewhere. */
describe('wire dtypes of rows in a kernel memory', () => {
  for (const dtype of WIRE_DTYPES) {
    for (const hidden of WIDTHS) {
      const numRows = hidden > 16_384 ? 2 : NUM_ROWS;
      const x = floats(randomRows(hidden, numRows, hidden).flat());
      const picked = numRows === NUM_ROWS ? PICKED : Int32Array.of(1, 0, 1);

      it(`${dtype}, ${hidden} channels: the bytes and values of an array, at any alignment, and nothing beside them`, () => {
        for (const stride of [hidden, hidden + 32]) {
          const memory = new KernelMemory();
          const rows = new KernelMemoryRows(numRows, hidden, stride, memory).set(x);
          const out = new KernelMemoryRows(numRows + 2, hidden, stride, memory);
          // 1. Out of the memory.
          for (const [n, chosen] of [[numRows, null] as const, [picked.length, picked] as const]) {
            const expected = encoded(dtype, x, chosen, n, hidden);
            for (const offset of [0, 1, 4]) {
              const guarded = new Uint8Array(expected.length + 64).fill(0xa5);
              encodeRows(dtype, rows, chosen, n, hidden, guarded.subarray(offset, offset + expected.length));
              expectSame(guarded.subarray(offset, offset + expected.length), expected, 'bytes');
              guarded.fill(0xa5, offset, offset + expected.length);
              expect(guarded.every((byte) => byte === 0xa5)).to.equal(true);
            }
          }
          expectSame(bits(rows.values()), bits(x), 'x');
          // 2. Into it, also when it has grown.
          const wire = encoded(dtype, x, null, numRows, hidden);
          for (const offset of [0, 3, 4]) {
            const shifted = new Uint8Array(wire.length + 8);
            shifted.set(wire, offset);
            rows.move();
            decodeRows(dtype, shifted.subarray(offset, offset + wire.length), numRows, hidden, out, 1);
            expectSame(bits(after(out, 1, numRows)), bits(decoded(dtype, wire, numRows, hidden)), 'values');
          }
          // 3. Inside it, and between two.
          for (const target of [out, new KernelMemoryRows(numRows + 2, hidden, stride)]) {
            roundTripRows(dtype, rows, null, numRows, hidden, target, 1);
            expectSame(bits(after(target, 1, numRows)), bits(decoded(dtype, wire, numRows, hidden)), 'round trip');
            expect(target.isClean(numRows + 1)).to.equal(true);
          }
          expect(rows.isClean(numRows)).to.equal(true);
        }
      });
    }

    it(`${dtype}: rounds rows in their place`, () => {
      const [hidden, numRows] = [256, 100];
      const x = floats(randomRows(1, numRows, hidden).flat());
      const rows = new KernelMemoryRows(numRows, hidden).set(x);
      roundTripRows(dtype, rows, null, numRows, hidden, rows, 0);
      const wire = encoded(dtype, x, null, numRows, hidden);
      expectSame(bits(rows.values()), bits(decoded(dtype, wire, numRows, hidden)), 'rounded');
      expect(rows.isClean(numRows)).to.equal(true);
    });
  }

  it('no rows are no bytes', () => {
    for (const dtype of WIRE_DTYPES) {
      const none = new KernelMemoryRows(0, 128);
      encodeRows(dtype, none, null, 0, 128, new Uint8Array(0));
      decodeRows(dtype, new Uint8Array(0), 0, 128, none, 0);
      expect(wireRowBytes(dtype, 128) * none.numRows).to.equal(0);
      expect(none.isClean(0)).to.equal(true);
    }
  });
});

/** [numRows·H] of the rows from `first` on. */
function after(rows: KernelMemoryRows & FloatRows, first: number, numRows: number): Float32Array {
  return rows.values(first + numRows).slice(first * rows.hidden);
}
