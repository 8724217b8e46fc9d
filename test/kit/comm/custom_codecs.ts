/** Codecs as somebody else would write them, of dtypes that are there: what they give must be the same bits. */
import type { WireCodec } from '../../../comm/index.js';

/** Round to nearest, ties to even; NaN becomes quiet. */
export const bf16Codec: WireCodec = {
  name: 'my_bf16',
  rowBytes: (hidden) => 2 * hidden,
  encode(row, out) {
    const bits = new Uint32Array(row.buffer);
    const codes = new Uint16Array(out.buffer);
    for (const [c, x] of row.entries()) {
      const rounded = bits[c]! + 0x7fff + ((bits[c]! >>> 16) & 1);
      codes[c] = Number.isNaN(x) ? (bits[c]! >>> 16) | 0x40 : Math.floor(rounded / 65536);
    }
  },
  decode(bytes, row) {
    const codes = new Uint16Array(bytes.buffer);
    new Uint32Array(row.buffer).forEach((_, c, bits) => (bits[c] = codes[c]! * 65536));
  },
};

const GROUP = 128;
const { fround } = Math;

/** As int8, but the scales of a row stand before its own codes, so that rows begin at odd addresses. Finite numbers only. */
export const int8Codec: WireCodec = {
  name: 'my_int8',
  rowBytes: (hidden) => 4 * Math.ceil(hidden / GROUP) + hidden,
  encode(row, out) {
    const scales = new Float32Array(out.buffer, 0, Math.ceil(row.length / GROUP));
    const codes = new Int8Array(out.buffer, scales.byteLength);
    for (let group = 0; group < scales.length; group++) {
      const start = group * GROUP;
      const values = row.subarray(start, start + GROUP);
      const amax = values.reduce((most, x) => Math.max(most, Math.abs(x)), 127 * 2 ** -126);
      scales[group] = amax / 127;
      values.forEach((x, c) => (codes[start + c] = nearestEven(fround(x * fround(127 / amax)))));
    }
  },
  decode(bytes, row) {
    const scales = new Float32Array(bytes.buffer, 0, Math.ceil(row.length / GROUP));
    const codes = new Int8Array(bytes.buffer, scales.byteLength);
    codes.forEach((code, c) => (row[c] = code * scales[Math.floor(c / GROUP)]!));
  },
};

function nearestEven(x: number): number {
  const low = Math.floor(x);
  if (x - low !== 0.5) return Math.round(x);
  return low % 2 === 0 ? low : low + 1;
}
