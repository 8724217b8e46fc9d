import { expect } from 'chai';
import fc from 'fast-check';
import { ROPE_LAYOUTS } from '../../../../compute/wasm/memory/layouts.js';
import { attentionFactor, inverseFrequencies } from '../../../../lib/model/spec/rope_angles.js';
import type { RopeSpec, YarnSpec } from '../../../../lib/model/spec/spec.js';
import { KernelValues } from '../../../kit/kernels/kernel_values.js';
import { randomFrom, randomValues } from '../../../refs/random.js';
import { rotateRef } from '../../../refs/rope_ref.js';

const YARN: YarnSpec = {
  kind: 'yarn',
  factor: 4,
  originalMaxPositions: 16,
  betaFast: 32,
  betaSlow: 1,
  mscale: null,
  mscaleAllDim: null,
  truncate: true,
  attentionFactor: null,
};

/** Cosines, then sines, of each position. */
function anglesOf(spec: RopeSpec, positions: readonly number[]): number[] {
  const factor = attentionFactor(spec.scaling);
  const velocities = [...inverseFrequencies(spec)];
  return positions.flatMap((position) => [
    ...velocities.map((velocity) => Math.cos(position * velocity) * factor),
    ...velocities.map((velocity) => Math.sin(position * velocity) * factor),
  ]);
}

const cases = fc.record({
  pairs: fc.integer({ min: 1, max: 20 }),
  rest: fc.nat(5),
  numHeads: fc.integer({ min: 1, max: 5 }),
  gap: fc.nat(4),
  positions: fc.array(fc.nat(5000), { maxLength: 4 }),
  layout: fc.constantFrom(...ROPE_LAYOUTS),
  hasYarn: fc.boolean(),
  seed: fc.nat(),
});

describe('RoPE kernel', () => {
  const values = new KernelValues();
  afterEach(() => values.free());

  it('rotates the first channels of each head as the reference does, for both layouts, and leaves the rest as it is', () => {
    fc.assert(
      fc.property(cases, ({ pairs, rest, numHeads, gap, positions, layout, hasYarn, seed }) => {
        const dim = 2 * pairs;
        const spec: RopeSpec = { dim, theta: 1e4, layout, scaling: hasYarn ? YARN : null };
        const headDim = dim + rest;
        const width = numHeads * headDim;
        const x = randomValues(randomFrom(seed), positions.length * width, 3);
        const address = values.rows(x, width, width + gap, 9);
        const angles = values.floats(anglesOf(spec, positions));
        const { rope } = values.memory.kernels;
        rope(address, positions.length, width + gap, numHeads, headDim, angles, dim, ROPE_LAYOUTS.indexOf(layout));
        const rotated = values.readRows(address, positions.length, width, width + gap);
        for (let head = 0; head < positions.length * numHeads; head++) {
          const before = [...x.subarray(head * headDim, (head + 1) * headDim)];
          const after = [...rotated.subarray(head * headDim, (head + 1) * headDim)];
          const expected = rotateRef(before.slice(0, dim), positions[Math.floor(head / numHeads)]!, spec);
          expected.forEach((value, i) => expect(after[i]).to.be.closeTo(value, 2e-6));
          expect(after.slice(dim)).to.deep.equal(before.slice(dim));
        }
        values.free();
      }),
      { numRuns: 300 },
    );
  });

  it('at position 0 nothing changes, bit for bit', () => {
    for (const [layout, name] of ROPE_LAYOUTS.entries()) {
      const spec: RopeSpec = { dim: 10, theta: 1e4, layout: name, scaling: null };
      const x = Float32Array.of(1e30, -1e-30, 3, -4, 5, 6, 7, -8, 9, 1e-38);
      const address = values.floats(x);
      values.memory.kernels.rope(address, 1, 0, 1, 0, values.floats(anglesOf(spec, [0])), 10, layout);
      expect([...values.memory.floats(address, 10)]).to.deep.equal([...x]);
    }
  });
});
