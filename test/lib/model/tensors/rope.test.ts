import { expect } from 'chai';
import fc from 'fast-check';
import { rowsOf, selectBackend, tensorMemory, toTensor } from '../../../../compute/tfjs/tf.js';
import { Rope } from '../../../../lib/model/tensors/rope.js';
import { attentionFactor, inverseFrequencies, ropeWithin, yarnMscale } from '../../../../lib/model/spec/rope_angles.js';
import type { LongropeFactors, RopeScaling, RopeSpec, YarnSpec } from '../../../../lib/model/spec/spec.js';
import { isSameBits, largestDifference, randomFrom, randomValues } from '../../../refs/random.js';
import { attentionFactorRef, inverseFrequenciesRef, rotateRef } from '../../../refs/rope_ref.js';

const V3_YARN: YarnSpec = {
  kind: 'yarn',
  factor: 40,
  originalMaxPositions: 4096,
  betaFast: 32,
  betaSlow: 1,
  mscale: 1,
  mscaleAllDim: 1,
  truncate: true,
  attentionFactor: null,
};
const V3: RopeSpec = { dim: 64, theta: 10000, layout: 'interleaved', scaling: V3_YARN };

const factor = fc.constantFrom(0.5, 1, 4, 40);
const originalMaxPositions = fc.constantFrom(8, 128, 4096);
const ropeFactors = (pairs: number): fc.Arbitrary<LongropeFactors> =>
  fc.record({
    ofPairs: fc.array(fc.constantFrom(1, 1.5, 3, 60), { minLength: pairs, maxLength: pairs }),
    attentionFactor: fc.constantFrom(1, 1.2),
  });
const scalings = (pairs: number): fc.Arbitrary<RopeScaling> =>
  fc.oneof(
    fc.record({ kind: fc.constant('linear' as const), factor }),
    fc.record({ kind: fc.constant('proportional' as const), numTurning: fc.integer({ min: 0, max: pairs }), factor }),
    fc.record({
      kind: fc.constant('llama3' as const),
      factor,
      lowFreqFactor: fc.constantFrom(0.5, 1),
      highFreqFactor: fc.constantFrom(2, 4),
      originalMaxPositions,
    }),
    fc.record({
      kind: fc.constant('longrope' as const),
      originalMaxPositions,
      short: ropeFactors(pairs),
      long: ropeFactors(pairs),
      inForce: fc.constantFrom('short' as const, 'long' as const),
    }),
    fc.record({
      kind: fc.constant('yarn' as const),
      factor,
      originalMaxPositions,
      betaFast: fc.constantFrom(32, 8),
      betaSlow: fc.constantFrom(1, 0.5),
      mscale: fc.constantFrom(null, 0.707, 1),
      mscaleAllDim: fc.constantFrom(null, 0.707, 1),
      truncate: fc.boolean(),
      attentionFactor: fc.constantFrom(null, 0.8),
    }),
  );

const specs: fc.Arbitrary<RopeSpec> = fc.integer({ min: 1, max: 20 }).chain((pairs) =>
  fc.record({
    dim: fc.constant(2 * pairs),
    theta: fc.constantFrom(10000, 1e6, 150000),
    layout: fc.constantFrom('interleaved' as const, 'half' as const),
    scaling: fc.option(scalings(pairs)),
  }),
);

/** Rotates rows of `numHeads` heads per position. */
async function rotate(
  spec: RopeSpec,
  positions: readonly number[],
  numHeads: number,
  x: Float32Array,
): Promise<Float32Array> {
  const rope = new Rope(spec);
  const angles = rope.angles(positions, numHeads);
  const x_NR = toTensor(x, [positions.length * numHeads, spec.dim]);
  const y_NR = rope.rotate(x_NR, angles);
  const y = await rowsOf(y_NR);
  for (const part of [x_NR, y_NR, angles, rope]) part.dispose();
  return y;
}

describe('rope', () => {
  before(() => selectBackend('wasm'));

  it('rotates as complex products of adjacent channels, or as rotate_half, at any position', async () => {
    await fc.assert(
      fc.asyncProperty(
        specs,
        fc.array(fc.integer({ min: 0, max: 5000 }), { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 3 }),
        async (spec, positions, numHeads) => {
          const x = randomValues(randomFrom(spec.dim), positions.length * numHeads * spec.dim);
          const expected = positions.flatMap((position, t) =>
            Array.from({ length: numHeads }, (_, head) => {
              const start = (t * numHeads + head) * spec.dim;
              return rotateRef(x.subarray(start, start + spec.dim), position, spec);
            }).flat(),
          );
          expect(largestDifference(await rotate(spec, positions, numHeads, x), expected)).to.be.below(2e-6);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('position 0 changes no value', async () => {
    const x = randomValues(randomFrom(1), 2 * 8);
    for (const layout of ['interleaved', 'half'] as const) {
      expect(isSameBits(await rotate({ dim: 8, theta: 10000, layout, scaling: null }, [0, 0], 1, x), x)).to.equal(true);
    }
  });

  it('turns the first pair by one radian per position', async () => {
    const [cos, sin] = [Math.cos(1), Math.sin(1)];
    const interleaved = await rotate(
      { dim: 4, theta: 100, layout: 'interleaved', scaling: null },
      [1],
      1,
      Float32Array.of(1, 0, 0, 1),
    );
    expect(largestDifference(interleaved, [cos, sin, -Math.sin(0.1), Math.cos(0.1)])).to.be.below(1e-7);
    const half = await rotate(
      { dim: 4, theta: 100, layout: 'half', scaling: null },
      [1],
      1,
      Float32Array.of(1, 0, 0, 1),
    );
    expect(largestDifference(half, [cos, -Math.sin(0.1), sin, Math.cos(0.1)])).to.be.below(1e-7);
  });

  it('rotates heads of any width', async () => {
    const spec: RopeSpec = { dim: 512, theta: 10000, layout: 'half', scaling: null };
    const x = randomValues(randomFrom(2), spec.dim);
    expect(largestDifference(await rotate(spec, [77], 1, x), rotateRef(x, 77, spec))).to.be.below(2e-6);
  });

  it('leaves no tensor behind', async () => {
    const before = tensorMemory().numTensors;
    await rotate(V3, [0, 7], 2, new Float32Array(4 * 64));
    expect(tensorMemory().numTensors).to.equal(before);
  });
});

describe('scalings of rotations', () => {
  it('have the frequencies of their formulae for any shape', () => {
    fc.assert(
      fc.property(specs, (spec) => {
        const expected = inverseFrequenciesRef(spec);
        [...inverseFrequencies(spec)].forEach((value, i) =>
          expect(value).to.be.closeTo(expected[i]!, 1e-14 * expected[i]!),
        );
      }),
    );
  });

  it('LongRoPE takes its short factors where no sequence is longer than the original context, else the long ones for all', () => {
    const [short, long] = [2, 8].map((value) => ({ ofPairs: [value, value], attentionFactor: value }));
    const scaling: RopeScaling = {
      kind: 'longrope',
      originalMaxPositions: 32,
      short: short!,
      long: long!,
      inForce: 'long',
    };
    const spec: RopeSpec = { dim: 4, theta: 100, layout: 'half', scaling };
    const firstOf = (maxTokens: number): number[] => {
      const within = ropeWithin(spec, maxTokens);
      return [inverseFrequencies(within)[0]!, attentionFactor(within.scaling)];
    };
    expect([firstOf(32), firstOf(33)]).to.deep.equal([
      [1 / 2, 2],
      [1 / 8, 8],
    ]);
  });
});

describe('YaRN', () => {
  it('has the hand-computed frequencies of DeepSeek-V3: the ramp runs from pair 10 to pair 23', () => {
    const velocities = inverseFrequencies(V3);
    expect(velocities).to.have.length(32);
    expect(velocities[0]).to.equal(1);
    expect(velocities[10]).to.be.closeTo(10 ** -1.25, 1e-15);
    // Pair 16 of velocity 0.01 is 6/13 on the way to a fortieth.
    expect(velocities[16]).to.be.closeTo(0.0055, 1e-15);
    expect(velocities[23]).to.be.closeTo(10 ** -2.875 / 40, 1e-18);
    expect(velocities[31]).to.be.closeTo(10 ** -3.875 / 40, 1e-18);
  });

  it('without a range between the corrections still has finite frequencies', () => {
    const yarn = { ...V3_YARN, originalMaxPositions: 2, betaFast: 1, betaSlow: 1 };
    const velocities = [...inverseFrequencies({ ...V3, scaling: yarn })];
    expect(velocities.every((velocity) => Number.isFinite(velocity) && velocity > 0)).to.equal(true);
  });

  it('scales cos and sin by 1 where mscale equals mscale_all_dim, else by the ratio, or by mscale of the factor', async () => {
    const factorOf = async (yarn: YarnSpec): Promise<number> => {
      const spec: RopeSpec = { ...V3, scaling: yarn };
      const [first] = await rotate(
        spec,
        [0],
        1,
        Float32Array.from({ length: 64 }, () => 1),
      );
      expect(first).to.be.closeTo(attentionFactorRef(spec), 1e-6);
      return first!;
    };
    expect(await factorOf(V3_YARN)).to.equal(1);
    expect(await factorOf({ ...V3_YARN, mscale: 0.707, mscaleAllDim: 0.707 })).to.equal(1);
    expect(await factorOf({ ...V3_YARN, mscale: null, mscaleAllDim: null })).to.be.closeTo(1.36889, 1e-5);
    expect(await factorOf({ ...V3_YARN, mscale: 1, mscaleAllDim: 0.707 })).to.be.closeTo(1.36889 / 1.2608, 1e-5);
  });

  it('mscale² of DeepSeek-V3 is 1.87385, of V2-Lite 1.58963', () => {
    expect(yarnMscale(40) ** 2).to.be.closeTo(1.87385, 1e-5);
    expect(yarnMscale(40, 0.707) ** 2).to.be.closeTo(1.58963, 1e-5);
    expect(yarnMscale(1)).to.equal(1);
    expect(yarnMscale(0.5, 1)).to.equal(1);
    expect(yarnMscale(40, 0)).to.equal(1);
  });
});
