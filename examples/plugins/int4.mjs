/** A wire codec: four bits per channel and a float32 scale per 32 of them, 5 bits in all. Use it with comm.wire.dispatch and comm.wire.combine. */
const GROUP = 32;
/** @type {import('expertwire').Plugin} */
export default (api) =>
  api.registerCodec('int4', {
    rowBytes: (hidden) => 4 * Math.ceil(hidden / GROUP) + Math.ceil(hidden / 2),
    encode(row, out) {
      const scales = new Float32Array(out.buffer, 0, Math.ceil(row.length / GROUP));
      for (const g of scales.keys()) {
        const values = row.subarray(g * GROUP, (g + 1) * GROUP);
        scales[g] = values.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-30) / 7;
      }
      row.forEach((x, c) => {
        const code = 8 + Math.round(x / scales[Math.floor(c / GROUP)]); // 1 … 15
        out[scales.byteLength + (c >> 1)] |= code << (4 * (c & 1));
      });
    },
    decode(bytes, row) {
      const scales = new Float32Array(bytes.buffer, 0, Math.ceil(row.length / GROUP));
      row.forEach((_, c) => {
        const code = (bytes[scales.byteLength + (c >> 1)] >> (4 * (c & 1))) & 15;
        row[c] = (code - 8) * scales[Math.floor(c / GROUP)];
      });
    },
  });
