import { expect } from 'chai';
import fc from 'fast-check';
import { KernelExpert, ffnScratchBytes } from '../../../../compute/wasm/experts/kernel_expert.js';
import { KernelMemory } from '../../../../compute/wasm/memory/kernel_memory.js';
import { CHOICE_DTYPES, type ResidentDtype } from '../../../../compute/wasm/memory/resident_dtype.js';
import { expertMatrices, f32Matrix, placeRows } from '../../../kit/kernels/kernel_rows.js';
import { isSameBits, largestDifference, randomFrom, randomValues } from '../../../refs/random.js';
import { swigluRef } from '../../../refs/swiglu_ref.js';

const memory = new KernelMemory();

const expertFrom = (hidden: number, intermediate: number, seed: number, dtype: ResidentDtype): KernelExpert =>
  KernelExpert.from(memory, expertMatrices(hidden, intermediate, randomFrom(seed)), dtype);

/** The same weights as the arithmetic sees them. */
const valuesOf = ({ shape, gate, up, down }: KernelExpert) => ({
  ...shape,
  gate: gate.toFloat32(),
  up: up.toFloat32(),
  down: down.toFloat32(),
});

/** Scratch that may hold anything holds NaN, and what lies behind it must stay. */
function ffn(x: Float32Array, { shape, gate, up, down }: KernelExpert): Float32Array {
  const { hidden } = shape;
  const numRows = x.length / hidden;
  const xAt = placeRows(memory, x, hidden);
  const yAt = memory.allocate(4 * x.length);
  const scratchFloats = ffnScratchBytes(shape, numRows, 1) / 4;
  const scratchAt = memory.allocate(4 * scratchFloats + 64);
  const scratch = memory.floats(scratchAt, scratchFloats + 16).fill(NaN);
  scratch.fill(7, scratchFloats);
  memory.kernels.ffn(xAt, numRows, gate.address, up.address, down.address, scratchAt, yAt, hidden);
  expect(scratch.subarray(scratchFloats).every((value) => value === 7)).to.equal(true);
  const y = memory.floats(yAt, x.length).slice();
  for (const address of [xAt, yAt, scratchAt]) memory.free(address);
  return y;
}

describe('feed-forward kernel', () => {
  afterEach(() => expect(memory.usedBytes, 'bytes left behind').to.equal(0));

  for (const dtype of CHOICE_DTYPES) {
    it(`agrees with the float64 reference (${dtype})`, () => {
      const size = fc.integer({ min: 1, max: 70 });
      fc.assert(
        fc.property(size, size, fc.integer({ min: 0, max: 9 }), fc.nat(), (hidden, intermediate, numRows, seed) => {
          const expert = expertFrom(hidden, intermediate, seed, dtype);
          const x = randomValues(randomFrom(seed), numRows * hidden, 2);
          expect(largestDifference(ffn(x, expert), swigluRef(x, valuesOf(expert)))).to.be.below(2e-4);
          expert.dispose();
        }),
        { numRuns: 80 },
      );
    });

    it(`a row has the same bits among 1 to 70 rows and in the second block of many (${dtype})`, () => {
      const [hidden, intermediate] = [40, 23];
      const expert = expertFrom(hidden, intermediate, 3, dtype);
      const x = randomValues(randomFrom(4), 150 * hidden);
      const all = ffn(x, expert);
      for (const numRows of [1, 2, 3, 4, 5, 7, 63, 64, 65, 70]) {
        for (const from of [0, 61, 150 - numRows]) {
          const part = ffn(x.slice(from * hidden, (from + numRows) * hidden), expert);
          expect(isSameBits(part, all.slice(from * hidden, (from + numRows) * hidden))).to.equal(true);
        }
      }
      expert.dispose();
    });
  }

  it('gates of any size: the activation is right at its extremes, and NaN and infinity propagate as in float32', () => {
    // gate = 2x₀, up = x₁ = 1, so that y = silu(2x₀): infinite for 3e38, without an infinite x, which would make 0 · x NaN.
    const expert = new KernelExpert(memory, { hidden: 2, intermediate: 1 }, 'f32');
    expert.gate.set(f32Matrix(1, 2, Float32Array.of(2, 0)));
    expert.up.set(f32Matrix(1, 2, Float32Array.of(0, 1)));
    expert.down.set(f32Matrix(2, 1, Float32Array.of(1, 1)));
    const halves = [0, -0, 1e-30, 0.7, -0.7, -44, 44, -50, 50, 3e38, -3e38, NaN];
    const y = ffn(Float32Array.from(halves.flatMap((half) => [half, 1])), expert);
    halves.forEach((half, i) => {
      const gate = Math.fround(2 * Math.fround(half));
      const silu = gate / (1 + Math.fround(Math.exp(-gate)));
      if (Number.isFinite(silu))
        expect(Math.abs(y[2 * i]! - silu), `silu(${gate})`).to.be.at.most(Math.abs(silu) * 3e-7);
      else expect(y[2 * i], `silu(${gate})`).to.deep.equal(silu);
    });
    expert.dispose();
  });
});
