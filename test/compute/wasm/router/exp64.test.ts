import { expect } from 'chai';
import { KernelMemory } from '../../../../compute/wasm/memory/kernel_memory.js';
import { randomFrom } from '../../../refs/random.js';
import { bitsOf, floatOf } from '../../../refs/wire_dtype_ref.js';

const { fround } = Math;
const memory = new KernelMemory();

function exp(values: readonly number[]): Float32Array {
  const [x, y] = [memory.allocate(4 * values.length), memory.allocate(4 * values.length)];
  memory.floats(x, values.length).set(values);
  memory.kernels.exp(x, values.length, y);
  const out = memory.floats(y, values.length).slice();
  memory.free(x);
  memory.free(y);
  return out;
}

/** Floats between two of the same sign. */
const ulpsBetween = (a: number, b: number): number => Math.abs(bitsOf(a) - bitsOf(b));

describe('exp of four floats', () => {
  it('is within one float of the nearest, from 0 through subnormals to infinity', () => {
    const random = randomFrom(1);
    const values = Array.from({ length: 200_000 }, () => fround(-106 + 196 * random()));
    values.push(...values.slice(0, 100_000).map((value) => fround(value / 64)));
    exp(values).forEach((y, i) => {
      expect(ulpsBetween(y, fround(Math.exp(values[i]!))), `exp(${values[i]!})`).to.be.at.most(1);
    });
  });

  it('is exact at 0, and right where it overflows, underflows and is not a number', () => {
    const largest = fround(88.72283172607422); // the largest whose exponential is finite
    const values = [0, -0, Infinity, -Infinity, NaN, 1e30, -1e30, largest, floatOf(bitsOf(largest) + 1), 1e-30, -1e-30];
    const [zero, minus, up, down, nan, much, little, last, beyond, ...tiny] = exp(values);
    expect([zero, minus, ...tiny]).to.deep.equal([1, 1, 1, 1]);
    expect([up, much, beyond]).to.deep.equal([Infinity, Infinity, Infinity]);
    expect([down, little]).to.deep.equal([0, 0]);
    expect(nan).to.be.NaN;
    expect(last).to.be.finite;
  });

  it('a value does not depend on its lane or on its neighbours', () => {
    const random = randomFrom(2);
    for (let i = 0; i < 500; i++) {
      const [a, b] = [fround(20 * random() - 10), fround(20 * random() - 10)];
      expect(new Set(exp([a, a, a, a])).size).to.equal(1);
      expect(exp([NaN, a, Infinity, b])[1]).to.equal(exp([a, b, b, b])[0]);
    }
  });
});
