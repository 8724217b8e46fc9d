import { expect } from 'chai';
import { WIRE_DTYPES, wireRowBytes } from '../../../comm/index.js';
import { encodeRows } from '../../../comm/codec/wire_dtype.js';
import { WireRows } from '../../../comm/codec/wire_rows.js';
import { randomFrom, randomValues } from '../../refs/random.js';

describe('rows in their wire dtype', () => {
  for (const dtype of WIRE_DTYPES) {
    for (const hidden of [4, 128, 130, 259]) {
      it(`are gathered and copied as if they had been encoded there: ${dtype}, ${hidden} channels`, () => {
        const x = randomValues(randomFrom(hidden), 12 * hidden, 3);
        const encoded = (rows: readonly number[]): Uint8Array => {
          const bytes = new Uint8Array(rows.length * wireRowBytes(dtype, hidden));
          encodeRows(dtype, x, Int32Array.from(rows), rows.length, hidden, bytes);
          return bytes;
        };
        const all = new WireRows(dtype, hidden, encoded([...new Array(12).keys()]));
        const rows = [1, 2, 3, 7, 9, 10, 0, 11, 11];
        const chosen = new WireRows(dtype, hidden, new Uint8Array(rows.length * wireRowBytes(dtype, hidden)));
        chosen.gather(all, Int32Array.from(rows));
        expect(chosen.bytes).to.deep.equal(encoded(rows));

        chosen.copy(all, 4, 6, 2);
        expect(chosen.bytes).to.deep.equal(encoded([1, 2, 3, 7, 9, 10, 4, 5, 11]));
      });
    }
  }

  it('may be none', () => {
    const none = new WireRows('fp8', 130, new Uint8Array(0));
    none.gather(new WireRows('fp8', 130, new Uint8Array(134 * 2)), new Int32Array(0));
    expect(none.bytes.byteLength).to.equal(0);
  });
});
