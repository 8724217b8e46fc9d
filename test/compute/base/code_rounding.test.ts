import { expect } from 'chai';
import fc from 'fast-check';
import { roundGroup, type RoundedType } from '../../../compute/base/code_rounding.js';
import { candidatesRef, codeRef, errorRef } from '../../refs/rounding_ref.js';
import { randomFrom } from '../../refs/random.js';

const TYPES: readonly RoundedType[] = ['int8', 'int4', 'uint4'];
const FOUR_BITS = ['int4', 'uint4'] as const;

/** Codes and what they stand for, of values somewhere in an array. */
function rounded(type: RoundedType, given: readonly number[]) {
  const values = Float32Array.from([9e9, ...given, -9e9]);
  const codes = new Int8Array(values.length).fill(99);
  const { scale, zero } = roundGroup(type, values, 1, values.length - 1, codes);
  expect([codes[0], codes.at(-1)]).to.deep.equal([99, 99]);
  const own = [...codes.subarray(1, -1)];
  return { scale, zero, codes: own, values: own.map((code) => (code - zero) * scale) };
}

/** Values like those of weights: of some size, around some middle. */
const groups = fc
  .tuple(fc.integer({ min: 1, max: 70 }), fc.integer({ min: -40, max: 30 }), fc.nat())
  .map(([length, size, seed]) => {
    const random = randomFrom(seed);
    const middle = random() - 0.5;
    return Array.from({ length }, () => Math.fround(2 ** size * (middle + random() + random() - 1)));
  });

describe('rounding numbers to codes', () => {
  for (const type of FOUR_BITS) {
    it(`${type}: the scale is the candidate of the least squared error, and codes are the nearest`, () => {
      fc.assert(
        fc.property(groups, (values) => {
          const { scale, zero, codes } = rounded(type, values);
          const candidates = candidatesRef(type, values);
          expect(candidates.some((each) => Object.is(each.scale, scale) && each.zero === zero)).to.equal(true);
          const least = Math.min(...candidates.map((each) => errorRef(type, values, each)));
          expect(errorRef(type, values, { scale, zero })).to.be.at.most(least * (1 + 1e-5));
          for (const [i, value] of values.entries()) {
            const [expected, far] = [codeRef(type, value, { scale, zero }), Math.abs(value / scale + zero - codes[i]!)];
            if (codes[i] !== expected) expect(far).to.be.closeTo(0.5, 1e-5); // between two, to the last bits of float32
          }
        }),
      );
    });

    it(`${type}: no value is further from its own than from that of any other code`, () => {
      const [values] = fc.sample(groups, { numRuns: 1, seed: 3 });
      const { scale, zero, values: made } = rounded(type, values!);
      const all = Array.from({ length: 16 }, (_, i) => ((type === 'int4' ? i - 8 : i) - zero) * scale);
      for (const [i, value] of values!.entries()) {
        const nearest = Math.min(...all.map((each) => Math.abs(each - value)));
        expect(Math.abs(made[i]! - value)).to.be.at.most(nearest * (1 + 1e-6));
      }
    });
  }

  it('int8: a 127th of the largest magnitude is the scale', () => {
    expect(rounded('int8', [1, -254, 3, 4.5])).to.deep.include({ scale: 2, zero: 0, codes: [0, -127, 2, 2] });
  });

  it('between two codes the even one is taken', () => {
    expect(rounded('int8', [127, 0.5, 1.5, -2.5, -3.5]).codes).to.deep.equal([127, 0, 2, -2, -4]);
    const { scale, codes } = rounded('int4', [8, 0.5, 1.5, -2.5, 3, 5]);
    expect([scale, codes]).to.deep.equal([-1, [-8, 0, -2, 2, -3, -5]]);
  });

  it('multiples of a scale come back as they are where they reach its largest code', () => {
    const scale = 0.0078125;
    for (const [type, codes] of [
      ['int4', [-8, -3, 0, 1, 7]],
      ['int4', [7, -7, 3, 0, 1]],
      ['uint4', [-4, 0, 3, 11, 7]],
      ['int8', [127, -127, 55, 0]],
    ] as const) {
      const values = codes.map((code) => code * scale);
      expect(
        rounded(type, values).values.map((value) => value + 0),
        type,
      ).to.deep.equal(values);
    }
  });

  it('zeros are zeros, the least and the largest numbers are finite, and what isn’t finite has no scale', () => {
    for (const type of TYPES) {
      expect(rounded(type, [0, -0, 0])).to.deep.equal({ scale: 0, zero: 0, codes: [0, 0, 0], values: [0, 0, 0] });
      const most = type === 'int8' ? (2 - 2 ** -23) * 2 ** 127 : 2.1e37;
      for (const value of [2 ** -149, -(2 ** -140), most, -most]) {
        const { values } = rounded(type, [value, value / 2, 0]);
        for (const each of values) expect(Math.abs(each)).to.be.at.most(Math.abs(value) * 1.1, `${type} ${value}`);
      }
      expect(
        rounded(type, [most, -most]).values.every((each) => Number.isFinite(Math.fround(each))),
        type,
      ).to.equal(true);
      const beyond = type === 'int8' ? [] : [2 ** 124, -(2 ** 124)];
      for (const wrong of [NaN, Infinity, -Infinity, ...beyond])
        expect(rounded(type, [1, wrong]).scale, type).to.deep.equal(NaN);
    }
  });

  it('what a group becomes does not depend on where it lies, nor on zeros behind it', () => {
    for (const type of TYPES) {
      const values = Array.from({ length: 30 }, (_, i) => Math.fround(Math.sin(i * i)));
      const { codes, scale, zero } = rounded(type, values);
      const padded = rounded(type, [...values, 0, 0]);
      expect([padded.scale, padded.zero, padded.codes.slice(0, 30)]).to.deep.equal([scale, zero, codes]);
    }
  });
});
