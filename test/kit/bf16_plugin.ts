/** A plug-in with a codec that does what bf16 does. */
export const BF16_PLUGIN = `
export default (api, { name = 'my_bf16', fail = null, after = 0 }) => {
  let numRows = 0;
  api.registerCodec(name, {
    rowBytes: (hidden) => 2 * hidden,
    encode(row, out) {
      if (fail === 'encode' && numRows++ >= after) throw new Error('no more rows');
      const bits = new Uint32Array(row.buffer);
      const codes = new Uint16Array(out.buffer);
      bits.forEach((each, c) => (codes[c] = (each + 0x7fff + ((each >>> 16) & 1)) / 65536));
    },
    decode(bytes, row) {
      if (fail === 'decode' && numRows++ >= after) return Promise.resolve();
      const bits = new Uint32Array(row.buffer);
      new Uint16Array(bytes.buffer).forEach((code, c) => (bits[c] = code * 65536));
    },
  });
};
`;
