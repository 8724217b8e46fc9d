/** One attention layer, loaded from a checkpoint as models are, against a float64 reference and against itself under other schedules. */
import { expect } from 'chai';
import fc from 'fast-check';
import { selectBackend, tensorMemory } from '../../../../compute/tfjs/tf.js';
import {
  CASES,
  FORMS,
  gqaSpec,
  HIDDEN,
  inTurn,
  mixed,
  mlaSpec,
  randomWeights,
  reference,
  sequencesFrom,
  type Sequence,
} from '../../../kit/kernels/attention_cases.js';
import { cachedBlockBytes } from '../../../../lib/model/weights/footprint.js';
import { TfjsAttention } from '../../../kit/kernels/tfjs_attention.js';
import { isSameBits, largestDifference } from '../../../refs/random.js';

/** A long sequence of which only the last few tokens are generated: each takes a step. */
const promptOf = (seed: number, length: number): Sequence[] =>
  sequencesFrom(seed, [length]).map((sequence) => ({ ...sequence, promptLength: length - 4 }));

describe('attention', () => {
  before(() => selectBackend('wasm'));

  for (const { name, spec, form } of CASES) {
    describe(name, () => {
      const weights = randomWeights(spec);
      let layer: TfjsAttention;
      let numTensorsBefore = 0;

      before(async () => {
        numTensorsBefore = tensorMemory().numTensors;
        layer = await TfjsAttention.load(spec, weights, form);
      });
      after(() => {
        layer.dispose();
        expect(tensorMemory().numTensors, 'tensors left behind').to.equal(numTensorsBefore);
      });

      it('agrees with the float64 reference', async () => {
        const sequences = sequencesFrom(1, [1, 2, 19, 33]);
        const expected = sequences.map((sequence) => reference(sequence, weights, spec));
        for (const blockSize of [1, 3, 16]) {
          for (const schedule of [inTurn(sequences), mixed(sequences, blockSize)]) {
            const outputs = await layer.run(sequences, schedule, blockSize);
            outputs.forEach((output, i) => expect(largestDifference(output, expected[i]!)).to.be.below(1e-5));
          }
        }
      });

      it('has the same bits for any chunks, batch mixes and block sizes', async () => {
        const sizes = fc.array(fc.integer({ min: 1, max: 24 }), { minLength: 1, maxLength: 4 });
        await fc.assert(
          fc.asyncProperty(fc.nat(), sizes, fc.constantFrom(1, 3, 16), async (seed, lengths, blockSize) => {
            const sequences = sequencesFrom(seed, lengths);
            const alone = await layer.run(sequences, inTurn(sequences), 16);
            const together = await layer.run(sequences, mixed(sequences, seed + 1), blockSize);
            together.forEach((output, i) => expect(isSameBits(output, alone[i]!), `sequence ${i}`).to.equal(true));
          }),
          { numRuns: 25 },
        );
      });

      it('has the same bits for any chunks of a sequence of several segments, near the reference', async () => {
        const sequences = promptOf(5, 520);
        const alone = await layer.run(sequences, inTurn(sequences), 16);
        const expected = reference(sequences[0]!, weights, spec);
        expect(largestDifference(alone[0]!, expected)).to.be.below(1e-5);
        for (const blockSize of [16, 128]) {
          const together = await layer.run(sequences, mixed(sequences, blockSize), blockSize);
          expect(isSameBits(together[0]!, alone[0]!), `blocks of ${blockSize}`).to.equal(true);
        }
      });

      it('keeps no more of the past than the check of memory counts', async () => {
        const length = 512;
        const sequences = promptOf(6, length);
        await layer.run(sequences, inTurn(sequences), 16);
        const counted = length * cachedBlockBytes(spec, { compute: 'tensors' }, 1);
        expect(layer.cachedBytes)
          .to.be.above(counted / 4)
          .and.at.most(counted);
      });

      it('leaves no tensor of a step behind', async () => {
        const sequences = sequencesFrom(2, [7, 5]);
        const loaded = tensorMemory().numTensors;
        await layer.run(sequences, mixed(sequences, 1), 3);
        expect(tensorMemory().numTensors).to.equal(loaded);
      });
    });
  }

  it('naive and absorbed agree within 1e-5, and auto is naive for prompts and absorbed for generated tokens', async () => {
    const spec = mlaSpec({});
    const weights = randomWeights(spec);
    const layers = await Promise.all(FORMS.map((form) => TfjsAttention.load(spec, weights, form)));
    const [naive, absorbed, auto] = layers as [TfjsAttention, TfjsAttention, TfjsAttention];
    const sequences = sequencesFrom(3, [20, 31]).map((sequence) => ({ ...sequence, promptLength: 12 }));
    const run = (layer: TfjsAttention): Promise<Float32Array[]> => layer.run(sequences, inTurn(sequences), 16);
    const [n, a, both] = [await run(naive), await run(absorbed), await run(auto)];
    sequences.forEach((_, i) => {
      expect(largestDifference(n[i]!, a[i]!)).to.be.above(0).and.below(1e-5);
      expect(isSameBits(both[i]!.subarray(0, 12 * HIDDEN), n[i]!.subarray(0, 12 * HIDDEN))).to.equal(true);
      expect(isSameBits(both[i]!.subarray(12 * HIDDEN), a[i]!.subarray(12 * HIDDEN))).to.equal(true);
    });
    for (const layer of layers) layer.dispose();
  });

  it('a step that runs again over the same positions gives the same bits', async () => {
    for (const spec of [mlaSpec({}), gqaSpec({})]) {
      const layer = await TfjsAttention.load(spec, randomWeights(spec), 'auto');
      const sequences = sequencesFrom(4, [9, 14]);
      const schedule = mixed(sequences, 5);
      const once = await layer.run(sequences, schedule, 3);
      const twice = await layer.run(sequences, schedule, 3, 2);
      once.forEach((output, i) => expect(isSameBits(output, twice[i]!)).to.equal(true));
      layer.dispose();
    }
  });
});
