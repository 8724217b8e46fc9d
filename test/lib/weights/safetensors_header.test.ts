import { expect } from 'chai';
import fc from 'fast-check';
import { WeightError, type WeightErrorCode } from '../../../lib/weights/errors.js';
import {
  MAX_HEADER_BYTES,
  parseHeaderLength,
  parseSafetensorsHeader,
  type TensorInfo,
} from '../../../lib/weights/safetensors_header.js';
import { errorOf } from '../../kit/rejects.js';
import { safetensorsFile, writeSafetensors } from '../../kit/model/safetensors_writer.js';

/** Both steps of reading a header, on a file in memory. */
function parse(file: Uint8Array): ReadonlyMap<string, TensorInfo> {
  const length = parseHeaderLength(file.subarray(0, 8), file.byteLength, 'a.safetensors');
  return parseSafetensorsHeader(file.subarray(8, 8 + length), file.byteLength, 'a.safetensors');
}

/** A file whose header is this object, followed by `dataBytes` bytes. */
function withHeader(header: unknown, dataBytes = 8): Uint8Array {
  return safetensorsFile(JSON.stringify(header), new Uint8Array(dataBytes));
}

/** A file with one tensor of which some fields are replaced. */
function withEntry(changes: Readonly<Record<string, unknown>>): Uint8Array {
  return withHeader({ a: { dtype: 'F32', shape: [2], data_offsets: [0, 8], ...changes } });
}

function withLength(length: bigint): Uint8Array {
  const file = Buffer.from(withEntry({}));
  file.writeBigUInt64LE(length);
  return file;
}

const entry = (begin: number, end: number) => ({ dtype: 'U8', shape: [end - begin], data_offsets: [begin, end] });
const MALFORMED: WeightErrorCode = 'MALFORMED_SAFETENSORS';

const WRONG: readonly (readonly [claim: string, file: Uint8Array, message: RegExp, code?: WeightErrorCode])[] = [
  ['an empty file', new Uint8Array(0), /0 bytes, fewer than the 8/],
  ['a file of 7 bytes', new Uint8Array(7), /7 bytes, fewer than the 8/],
  ['a header length beyond the file', withLength(9999n), /9999 bytes, but the file has/],
  ['a header length above the limit', withLength(BigInt(MAX_HEADER_BYTES) + 1n), /100000001 bytes, above the limit/],
  ['a header length above 2^53', withLength(2n ** 63n), /9223372036854775808 bytes, above the limit/],
  ['an empty header', safetensorsFile(''), /not valid JSON/],
  ['a header that is not UTF-8', safetensorsFile(Uint8Array.of(0x7b, 0xff, 0x7d)), /not valid UTF-8/],
  ['a header with a byte order mark', safetensorsFile('\ufeff{}'), /not valid JSON/],
  ['a header that is not JSON', safetensorsFile('{"a":'), /not valid JSON/],
  ['a header that is a list', safetensorsFile('[]'), /not a JSON object/],
  ['a header that is null', safetensorsFile('null'), /not a JSON object/],
  ['a header with white space before the brace', safetensorsFile(' {}'), /not a JSON object/],
  ['two tensors of one name', safetensorsFile('{"a":{},"\\u0061":{}}'), /holds the key "a" twice/],
  ['an entry with two shapes', safetensorsFile('{"a":{"shape":[],"shape":[]}}'), /holds the key "shape" twice/],
  ['metadata that are a list', withHeader({ __metadata__: [] }, 0), /__metadata__ is \[\], not an object/],
  ['metadata with a number', withHeader({ __metadata__: { n: 1 } }, 0), /__metadata__\.n is 1, not a string/],
  ['an entry that is a list', withHeader({ a: [] }), /"a": its entry is \[\], not an object/],
  ['an entry that is null', withHeader({ a: null }), /"a": its entry is null, not an object/],
  ['a missing dtype', withEntry({ dtype: undefined }), /its dtype is undefined/],
  ['a dtype that is a number', withEntry({ dtype: 32 }), /its dtype is 32, not a string/],
  ['a dtype that the format lacks', withEntry({ dtype: 'F33' }), /"a".*"F33".*BF16/, 'UNKNOWN_DTYPE'],
  ['a missing shape', withEntry({ shape: undefined }), /its shape is undefined/],
  ['a shape that is a number', withEntry({ shape: 2 }), /its shape is 2, not a list/],
  ['a shape with a negative size', withEntry({ shape: [-2] }), /its shape is \[-2\]/],
  ['a shape with a fraction', withEntry({ shape: [1.5] }), /its shape is \[1.5\]/],
  ['a shape with a string', withEntry({ shape: ['2'] }), /its shape is \["2"\]/],
  ['a shape with a size above 2^53', withEntry({ shape: [2 ** 53] }), /its shape is \[9007199254740992\]/],
  ['a shape whose product overflows', withEntry({ shape: [2 ** 40, 2 ** 40] }), /is too large/],
  ['missing offsets', withEntry({ data_offsets: undefined }), /its data_offsets are undefined/],
  ['one offset', withEntry({ data_offsets: [0] }), /its data_offsets are \[0\]/],
  ['three offsets', withEntry({ data_offsets: [0, 8, 8] }), /its data_offsets are \[0,8,8\]/],
  ['offsets that are not integers', withEntry({ data_offsets: [0, 8.5] }), /its data_offsets are \[0,8.5\]/],
  ['a negative offset', withEntry({ data_offsets: [-8, 0] }), /its data_offsets are \[-8,0\]/],
  ['descending offsets', withEntry({ data_offsets: [8, 0] }), /its data_offsets are \[8,0\]/],
  ['offsets that disagree with the shape', withEntry({ shape: [3] }), /needs 12 bytes, data_offsets span 8/],
  ['half a byte of data', withHeader({ a: { dtype: 'F4', shape: [1], data_offsets: [0, 1] } }, 1), /needs 0.5 bytes/],
  ['data beyond the file', withHeader({ a: entry(0, 9) }), /ends at byte \d+, but the file has/],
  ['two tensors that overlap', withHeader({ a: entry(0, 5), b: entry(4, 8) }), /"b".*overlaps another tensor/],
  ['two tensors on the same bytes', withHeader({ a: entry(0, 8), b: entry(0, 8) }), /"b".*overlaps another tensor/],
  ['a hole between tensors', withHeader({ a: entry(0, 4), b: entry(5, 8) }), /belong to no tensor/],
  ['a hole before the first tensor', withHeader({ a: entry(1, 8) }), /belong to no tensor/],
  ['bytes behind the last tensor', withHeader({ a: entry(0, 7) }), /tensors end at byte \d+, but the file has/],
  ['data without any tensor', withHeader({}), /tensors end at byte \d+, but the file has/],
];

describe('safetensors header', () => {
  for (const [claim, file, message, code = MALFORMED] of WRONG) {
    it(`refuses ${claim}`, async () => {
      const error = await errorOf(WeightError, () => parse(file));
      expect(error.code).to.equal(code);
      expect(error.message).to.match(message);
      expect(error.message).to.match(new RegExp(`^${code}: a\\.safetensors: .*; (download|write) `));
      expect(error.file).to.equal('a.safetensors');
    });
  }

  it('refuses a file cut off at any byte, and never with another kind of error', async () => {
    const file = writeSafetensors([
      { name: 'a', dtype: 'F32', shape: [2], bytes: new Uint8Array(8) },
      { name: 'b', dtype: 'BF16', shape: [3, 1], bytes: new Uint8Array(6) },
    ]);
    for (let length = 0; length < file.byteLength; length++) {
      await errorOf(WeightError, () => parse(file.subarray(0, length)));
    }
    expect(parse(file).size).to.equal(2);
  });

  it('any bytes at all are either parsed or refused with a WeightError', () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), fc.uint8Array({ maxLength: 9 }), (header, data) => {
        try {
          parse(safetensorsFile(header, data));
        } catch (error) {
          expect(error).to.be.instanceOf(WeightError);
        }
      }),
    );
  });

  it('accepts scalars, empty tensors, metadata, padding and types that cannot be read', () => {
    const tensors = {
      __metadata__: { format: 'pt' },
      scalar: { dtype: 'F32', shape: [], data_offsets: [0, 4] },
      empty: { dtype: 'F32', shape: [3, 0], data_offsets: [4, 4] },
      fp8: { dtype: 'F8_E4M3', shape: [2, 2], data_offsets: [4, 8] },
    };
    const header = `${JSON.stringify(tensors)}   `;
    const parsed = parse(safetensorsFile(header, new Uint8Array(8)));
    const dataBegin = 8 + header.length;
    expect([...parsed.values()]).to.deep.equal([
      { name: 'scalar', dtype: 'F32', shape: [], begin: dataBegin, end: dataBegin + 4, file: 'a.safetensors' },
      { name: 'empty', dtype: 'F32', shape: [3, 0], begin: dataBegin + 4, end: dataBegin + 4, file: 'a.safetensors' },
      { name: 'fp8', dtype: 'F8_E4M3', shape: [2, 2], begin: dataBegin + 4, end: dataBegin + 8, file: 'a.safetensors' },
    ]);
  });

  it('takes metadata that are null for none', () => {
    const tensors = { __metadata__: null, scalar: { dtype: 'F32', shape: [], data_offsets: [0, 4] } };
    expect([...parse(safetensorsFile(JSON.stringify(tensors), new Uint8Array(4))).keys()]).to.deep.equal(['scalar']);
  });

  it('orders tensors by their bytes, whatever the order of the header', () => {
    expect([...parse(withHeader({ b: entry(4, 8), a: entry(0, 4) })).keys()]).to.deep.equal(['a', 'b']);
  });
});
