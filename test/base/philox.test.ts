import { expect } from 'chai';
import fc from 'fast-check';
import { philox4x32, uniform, type Words4 } from '../../base/philox.js';

const hex = (words: Words4): string => words.map((word) => word.toString(16).padStart(8, '0')).join(' ');
const MAX = 0xffffffff;

/** The generator with 64-bit products of big integers. */
function philoxRef(counter: readonly number[], key: readonly number[]): number[] {
  let [c0, c1, c2, c3] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
  let [k0, k1] = key.map(BigInt) as [bigint, bigint];
  for (let round = 0; round < 10; round++) {
    const [p0, p1] = [0xd2511f53n * c0, 0xcd9e8d57n * c2];
    [c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & 0xffffffffn, (p0 >> 32n) ^ c3 ^ k1, p0 & 0xffffffffn];
    k0 = (k0 + 0x9e3779b9n) & 0xffffffffn;
    k1 = (k1 + 0xbb67ae85n) & 0xffffffffn;
  }
  return [c0, c1, c2, c3].map(Number);
}

describe('philox', () => {
  it('gives the known answers of the Random123 library', () => {
    expect(hex(philox4x32([0, 0, 0, 0], [0, 0]))).to.equal('6627e8d5 e169c58d bc57ac4c 9b00dbd8');
    expect(hex(philox4x32([MAX, MAX, MAX, MAX], [MAX, MAX]))).to.equal('408f276d 41c83b0e a20bc7c6 6d5451fd');
    const pi: Words4 = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344];
    expect(hex(philox4x32(pi, [0xa4093822, 0x299f31d0]))).to.equal('d16cfe09 94fdcceb 5001e420 24126ea1');
  });

  it('agrees with 64-bit arithmetic for any counter and key', () => {
    const word = fc.oneof(fc.integer({ min: 0, max: MAX }), fc.constantFrom(0, 1, 0xffff, 0x10000, MAX));
    fc.assert(
      fc.property(fc.tuple(word, word, word, word), fc.tuple(word, word), (counter, key) => {
        expect([...philox4x32(counter, key)]).to.deep.equal(philoxRef(counter, key));
      }),
    );
  });

  it('uniform lies in [0, 1) and depends on seed, choice and position each, the seed beyond 32 bits too', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.nat(1000), fc.nat(), (seed, choice, position) => {
        const u = uniform(seed, choice, position);
        expect(u).to.be.at.least(0).and.below(1);
        expect(uniform(seed, choice, position)).to.equal(u);
        const others = [uniform(seed, choice + 1, position), uniform(seed, choice, position + 1)];
        others.push(
          uniform((seed + 2 ** 32) % 2 ** 53, choice, position),
          uniform((seed + 1) % 2 ** 53, choice, position),
        );
        for (const other of others) expect(other).to.not.equal(u);
      }),
    );
  });

  it('is even over the unit interval', () => {
    const NUM_BINS = 64;
    const NUM_DRAWS = 64_000;
    const counts = new Array<number>(NUM_BINS).fill(0);
    for (let position = 0; position < NUM_DRAWS; position++) counts[Math.floor(uniform(7, 0, position) * NUM_BINS)]!++;
    const expected = NUM_DRAWS / NUM_BINS;
    const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    expect(chiSquare).to.be.below(103.4); // 63 degrees of freedom, p = 0.001
  });
});
