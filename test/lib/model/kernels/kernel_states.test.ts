/** Layers without keys and values as kernels, against a float64 reference, and against themselves under other schedules. */
import { expect } from 'chai';
import fc from 'fast-check';
import { InternalError } from '../../../../base/coded_error.js';
import type { Crew } from '../../../../compute/wasm/threads/crew.js';
import type { SequencePart } from '../../../../lib/model/decoder/decoder.js';
import type { KernelKvCache } from '../../../../lib/model/kernels/kernel_kv_cache.js';
import type { DeltaRuleMixer, StateMixer } from '../../../../lib/model/spec/spec.js';
import {
  EPS,
  HIDDEN,
  inTurn,
  mixed,
  runSchedule,
  sequencesFrom,
  type Schedule,
  type Sequence,
} from '../../../kit/kernels/attention_cases.js';
import { startCrew } from '../../../kit/kernels/crews.js';
import { KernelMixerLayer, randomMixerWeights } from '../../../kit/kernels/kernel_mixer.js';
import { errorOf } from '../../../kit/rejects.js';
import { normRef } from '../../../refs/attention_ref.js';
import { isSameBits, largestDifference } from '../../../refs/random.js';
import { stepBytes } from '../../../../lib/model/weights/step_sizes.js';
import { deltaRuleRef, shortConvRef } from '../../../refs/state_ref.js';

const DELTA: DeltaRuleMixer = {
  ...{ kind: 'delta_rule', numKeyHeads: 2, numValueHeads: 4, keyHeadDim: 12, valueHeadDim: 20, width: 4 },
  projections: 'by_head',
};
const CASES: readonly (readonly [string, StateMixer])[] = [
  ['short convolution', { kind: 'short_conv', width: 3, hasBias: false }],
  ['short convolution of four, with biases', { kind: 'short_conv', width: 4, hasBias: true }],
  ['delta rule, projections by head', DELTA],
  ['delta rule, projections apart', { ...DELTA, projections: 'apart' }],
  [
    'delta rule of whole panels, a key head per value head',
    { ...DELTA, numValueHeads: 2, keyHeadDim: 16, valueHeadDim: 32 },
  ],
  ['delta rule of odd sizes', { ...DELTA, numKeyHeads: 1, numValueHeads: 3, keyHeadDim: 5, valueHeadDim: 7, width: 2 }],
];

const rowsOf = (x: Float32Array): number[][] =>
  Array.from({ length: x.length / HIDDEN }, (_, t) => [...x.subarray(t * HIDDEN, (t + 1) * HIDDEN)]);

/** Runs sequences, each with its own state. */
async function run(layer: KernelMixerLayer, sequences: readonly Sequence[], schedule: Schedule, blockSize = 16) {
  const cache = layer.createCache(blockSize);
  const withStates = (parts: readonly SequencePart[]): SequencePart[] =>
    parts.map((part) => ({ ...part, state: { sequence: part.blocks[0]!, keeps: [] } }));
  const outputs = await runSchedule(sequences, schedule, (x, parts) => layer.forward(x, withStates(parts), cache));
  cache.dispose();
  return outputs;
}

describe('layers with states, as kernels', function () {
  this.timeout(60_000);
  const crews: Crew[] = [];

  before(async () => crews.push(...(await Promise.all([2, 3].map((n) => startCrew(n))))));
  after(() => Promise.all(crews.map((crew) => crew.close())));

  for (const [name, mixer] of CASES) {
    describe(name, () => {
      const weights = randomMixerWeights(mixer, 3);
      let layer: KernelMixerLayer;

      before(async () => (layer = await KernelMixerLayer.load(mixer, weights)));
      after(() => {
        layer.dispose();
        expect(layer.memory.usedBytes, 'bytes left behind').to.equal(0);
      });

      it('agrees with the float64 reference', async () => {
        const sequences = sequencesFrom(1, [1, 2, 19, 33, 70]);
        for (const schedule of [inTurn(sequences), mixed(sequences, 1)]) {
          const outputs = await run(layer, sequences, schedule);
          for (const [i, { x }] of sequences.entries()) {
            const normed = rowsOf(x).map((row) => normRef(weights.input_layernorm!, row, EPS));
            const y =
              mixer.kind === 'short_conv'
                ? shortConvRef(normed, weights, mixer)
                : deltaRuleRef(normed, weights, mixer, EPS);
            const expected = y.flat().map((value, at) => value + x[at]!);
            const largest = Math.max(...expected.map(Math.abs));
            expect(largestDifference(outputs[i]!, expected)).to.be.below(1e-5 * largest);
          }
        }
      });

      it('has the same bits for any chunks, batch mixes, tiles and threads', async () => {
        const others = await Promise.all(crews.map((crew) => KernelMixerLayer.load(mixer, weights, { crew })));
        const tiles = fc.constantFrom(2, 4, 6);
        const sizes = fc.array(fc.integer({ min: 1, max: 70 }), { minLength: 1, maxLength: 4 });
        await fc.assert(
          fc.asyncProperty(fc.nat(), sizes, tiles, async (seed, lengths, tile) => {
            const sequences = sequencesFrom(seed, lengths);
            layer.memory.kernels.setTile(2);
            const alone = await run(layer, sequences, inTurn(sequences));
            layer.memory.kernels.setTile(tile);
            for (const each of [layer, ...others]) {
              const together = await run(each, sequences, mixed(sequences, seed + 1));
              together.forEach((output, i) => expect(isSameBits(output, alone[i]!), `sequence ${i}`).to.equal(true));
            }
          }),
          { numRuns: 10 },
        );
        for (const each of others) each.dispose();
      });

      it('a step takes no more memory than is planned', async () => {
        for (const numTokens of [1, 90]) {
          const fresh = await KernelMixerLayer.load(mixer, weights);
          const cache = fresh.createCache(16);
          const blocks = [0, 1, 2, 3, 4, 5];
          const part = {
            rowStart: 0,
            numTokens,
            position: 0,
            blocks,
            isPrompt: true,
            state: { sequence: 1, keeps: [] },
          };
          await fresh.forward(new Float32Array(numTokens * HIDDEN), [part], cache);
          const planned = stepBytes(fresh.spec, { numTokens, numThreads: 1, numKeys: 96 });
          expect(fresh.memory.scratchBytes).to.be.at.most(planned);
          cache.dispose();
          fresh.dispose();
        }
      });

      it('a sequence goes on from what a block keeps, here or elsewhere, as if it had computed all', async () => {
        const [blockSize, length] = [5, 23];
        const [{ x }] = sequencesFrom(8, [length]) as [Sequence];
        const blocks = [4, 2, 7, 1, 9];
        const partOf = (position: number, end: number, sequence: number, keeps: readonly number[]): SequencePart => ({
          ...{ rowStart: 0, numTokens: end - position, position, blocks, isPrompt: true, state: { sequence, keeps } },
        });
        const rows = (from: number, to: number): Float32Array => x.subarray(from * HIDDEN, to * HIDDEN);
        const [cache, other] = [layer.createCache(blockSize), layer.createCache(blockSize)];
        const whole = await layer.forward(x, [partOf(0, length, 1, [5, 15, 20])], cache);
        const from = async (position: number, held: KernelKvCache, sequence: number): Promise<boolean> => {
          const y = await layer.forward(rows(position, length), [partOf(position, length, sequence, [])], held);
          return isSameBits(y, whole.subarray(position * HIDDEN));
        };
        for (const position of [5, 15, 20]) expect(await from(position, cache, position), `${position}`).to.equal(true);
        expect(await from(15, cache, 1), 'the first sequence again').to.equal(true);
        other.write(7, await cache.read(7));
        expect(await from(15, other, 1), 'the block elsewhere').to.equal(true);
        const lacking = await errorOf(InternalError, () => from(10, cache, 99));
        expect(lacking.message).to.contain('sequence 99 goes on at 10 without a state: it has none');
        cache.states!.forget([7]);
        const late = await errorOf(InternalError, () => from(15, cache, 1));
        expect(late.message).to.contain('it has that of position 23');
        const used = layer.memory.usedBytes;
        cache.states!.end([1]);
        expect(layer.memory.usedBytes).to.be.below(used);
        for (const each of [cache, other]) each.dispose();
      });
    });
  }
});
