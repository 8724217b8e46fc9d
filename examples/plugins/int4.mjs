/** A wire codec: four bits per channel, and the largest value of each 32 channels as float32; 5 bits in all. For comm.wire.dispatch and comm.wire.combine. */
const numGroups = (hidden) => Math.ceil(hidden / 32);

/** @type {import('expertwire').Plugin} */
export default (api) =>
  api.registerCodec('int4', {
    rowBytes: (hidden) => 4 * numGroups(hidden) + Math.ceil(hidden / 2),
    encode(row, out) {
      const most = new Float32Array(out.buffer, 0, numGroups(row.length));
      const codes = out.subarray(most.byteLength);
      for (let c = 0; c < row.length; c++) most[c >> 5] = Math.max(most[c >> 5], Math.abs(row[c]), 1e-30);
      for (let c = 0; c < row.length; c++) {
        const code = 8 + Math.round((7 * row[c]) / most[c >> 5]); // 1 … 15
        codes[c >> 1] |= code << (4 * (c & 1));
      }
    },
    decode(bytes, row) {
      const most = new Float32Array(bytes.buffer, 0, numGroups(row.length));
      const codes = bytes.subarray(most.byteLength);
      for (let c = 0; c < row.length; c++) {
        const code = (codes[c >> 1] >> (4 * (c & 1))) & 15;
        row[c] = ((code - 8) * most[c >> 5]) / 7;
      }
    },
  });
