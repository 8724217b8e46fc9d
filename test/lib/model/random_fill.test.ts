import { expect } from 'chai';
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { philox4x32 } from '../../../base/philox.js';
import { RandomFill, repeated, type RandomStream } from '../../../lib/model/random_fill.js';
import { encodeFloat32 } from '../../refs/encoded_floats_ref.js';

/** Words number `first` … of a stream, one by one. */
function* wordsRef({ seed, name }: RandomStream, first: number): Generator<number, never> {
  const digest = createHash('sha256').update(name).digest();
  const [high, low] = [digest.readUInt32LE(0), digest.readUInt32LE(4)];
  for (let at = first; ; at++) {
    const block = Math.floor(at / 4);
    const counter = [block >>> 0, Math.floor(block / 2 ** 32), low, high] as const;
    yield philox4x32(counter, [seed >>> 0, Math.floor(seed / 2 ** 32)])[at % 4]!;
  }
}

function uniformRef(stream: RandomStream, bound: number, first: number, count: number): Float32Array {
  const words = wordsRef(stream, first);
  return Float32Array.from({ length: count }, () => bound * ((words.next().value + 0.5) / 2 ** 31 - 1));
}

function codesRef(stream: RandomStream, keep: number, set: number, first: number, count: number): Uint8Array {
  const words = wordsRef(stream, first / 4);
  const bytes = new Uint8Array(Uint32Array.from({ length: Math.ceil(count / 4) }, () => words.next().value).buffer);
  return bytes.subarray(0, count).map((byte) => (byte & keep) | set);
}

describe('random bytes of tensors', () => {
  const random = new RandomFill();
  const streams = fc.record({ seed: fc.maxSafeNat(), name: fc.string() });
  /** Numbers of counters: also where their lower 32 bits turn over within a call. */
  const blocks = fc.oneof(fc.nat(100), fc.integer({ min: 2 ** 32 - 9, max: 2 ** 32 + 9 }));
  const counts = fc.integer({ min: 1, max: 200 });

  for (const dtype of ['BF16', 'F32'] as const) {
    it(`${dtype}: are those of the counters, one by one, wherever a call begins and ends`, () => {
      const size = dtype === 'BF16' ? 2 : 4;
      fc.assert(
        fc.property(streams, blocks, counts, fc.double({ min: 1e-6, max: 4 }), (stream, block, count, bound) => {
          const first = 8 * block;
          const out = new Uint8Array(size * count);
          random.uniform(stream, dtype, bound)(out, size * first);
          expect(out).to.deep.equal(encodeFloat32(uniformRef(stream, bound, first, count), dtype));
        }),
      );
    });
  }

  it('codes: the same, with the bits that are kept and those that are set', () => {
    const bits = fc.nat(255);
    fc.assert(
      fc.property(streams, blocks, counts, bits, bits, (stream, block, count, keep, set) => {
        const out = new Uint8Array(count);
        random.codes(stream, { keep, set })(out, 16 * block);
        expect(out).to.deep.equal(codesRef(stream, keep, set, 16 * block, count));
      }),
    );
  });

  it('are the same in one call, however long, and in several', () => {
    const fill = random.uniform({ seed: 5, name: 'x' }, 'BF16', 1);
    const whole = new Uint8Array(3 * 2 ** 20 + 6);
    fill(whole, 0);
    const parts = new Uint8Array(whole.length);
    for (let at = 0; at < parts.length; at += 2 ** 16) fill(parts.subarray(at, at + 2 ** 16), at);
    expect(Buffer.compare(whole, parts)).to.equal(0);
    const ends = encodeFloat32(uniformRef({ seed: 5, name: 'x' }, 1, whole.length / 2 - 3, 3), 'BF16');
    expect(whole.subarray(-6)).to.deep.equal(ends);
  });

  it('an element is repeated to the end', () => {
    const out = new Uint8Array(8);
    repeated(Uint8Array.of(1, 2))(out, 0);
    expect([...out]).to.deep.equal([1, 2, 1, 2, 1, 2, 1, 2]);
  });
});
