import { expect } from 'chai';
import fc from 'fast-check';
import type { Reduce } from '../../../comm/all_to_all/all_to_all.js';
import { ExpertError } from '../../../compute/base/errors.js';
import type { ActivationSpec } from '../../../compute/base/activation_spec.js';
import type { FfnTensors, FfnWeights } from '../../../compute/base/ffn_weights.js';
import { disposeFfn, Ffn, ffnTensors } from '../../../compute/tfjs/experts/ffn.js';
import { KernelMemories } from '../../../compute/wasm/memory/kernel_memories.js';
import { ResidentExperts } from '../../../compute/wasm/experts/resident_experts.js';
import { numRowsOf, weightsOf } from '../../../compute/base/weight_rows.js';
import type { ReceivedRows } from '../../../base/received_rows.js';
import type { Expert, ExpertCompute } from '../../../compute/base/expert_compute.js';
import { createExpertShard, type ExpertShard } from '../../../experts/layer/shard.js';
import { deviceRows } from '../../../compute/tfjs/experts/device_rows.js';
import { hostRows } from '../../../compute/tfjs/experts/host_rows.js';
import { TensorExperts } from '../../../compute/tfjs/experts/tensor_experts.js';
import {
  numKernelRuns,
  rowsOf,
  selectBackend,
  tensorMemory,
  tensorTransfers,
  toTensor,
  type Tensor2D,
} from '../../../compute/tfjs/tf.js';
import { matrixOf } from '../../../compute/base/weight_matrix.js';
import { arrayReceived, valuesOf } from '../../kit/kernels/expert_calls.js';
import { errorOf } from '../../kit/rejects.js';
import { ffnRef, shardRef } from '../../refs/ffn_ref.js';
import { isSameBits, largestDifference, randomFrom, randomValues } from '../../refs/random.js';

const HIDDEN = 24;
const INTERMEDIATE = 20;
const NUM_TOPK = 3;
const NUM_SLOTS = 4;
const LAYER = 5;

const weightsFrom = (random: () => number): FfnWeights => ({
  gate: matrixOf(randomValues(random, INTERMEDIATE * HIDDEN, 0.5), INTERMEDIATE, HIDDEN),
  up: matrixOf(randomValues(random, INTERMEDIATE * HIDDEN, 0.5), INTERMEDIATE, HIDDEN),
  down: matrixOf(randomValues(random, HIDDEN * INTERMEDIATE, 0.5), HIDDEN, INTERMEDIATE),
  biases: randomValues(random, 2 * INTERMEDIATE + HIDDEN),
});

const experts = Array.from({ length: NUM_SLOTS }, (_, slot) => weightsFrom(randomFrom(100 + slot)));

const KINDS = ['tensors', 'tensors with a memory of their own', 'kernels'] as const;
/** gpt-oss's activation, with a limit that is met. */
const CLAMPED: ActivationSpec = { kind: 'clamped_swiglu', limit: 1, alpha: 1.702 };
const SIZES = { hidden: HIDDEN, numTopk: NUM_TOPK, activation: CLAMPED };

/** A full shard on either compute, and the bytes or tensors that it holds. */
function fullShard(kind: (typeof KINDS)[number]): { readonly shard: ExpertShard; readonly held: () => number } {
  if (kind !== 'kernels') {
    const exchange = kind === 'tensors' ? hostRows : deviceRows;
    return { shard: filled(new TensorExperts({ ...SIZES, exchange })), held: () => tensorMemory().numTensors };
  }
  const memories = new KernelMemories();
  return {
    shard: filled(new ResidentExperts(memories, SIZES)),
    held: () => memories.stats().heldBytes,
  };
}

function filled<E extends Expert>(compute: ExpertCompute<E>): ExpertShard {
  const shard = createExpertShard(compute, 'f32');
  shard.replace(LAYER, new Map(experts.map((weights, slot) => [slot, shard.load(weights, 'f32')])));
  return shard;
}

/** What a dispatch would bring: the slots of each row, −1 = elsewhere. */
function received(reduce: Reduce, slots: readonly (readonly number[])[], seed = 1): ReceivedRows {
  const random = randomFrom(seed);
  const recvTopkIdx = Int32Array.from(slots.flat());
  const x = randomValues(random, slots.length * HIDDEN);
  const weights = recvTopkIdx.length === 0 ? [] : [...randomValues(random, recvTopkIdx.length)];
  const own = reduce === 'rank' ? weights.map((w, i) => (recvTopkIdx[i]! < 0 ? 0 : w)) : [];
  return arrayReceived(x, HIDDEN, recvTopkIdx, Float32Array.from(own), reduce);
}

const row = fc
  .shuffledSubarray([0, 1, 2, 3, -1, -1], { minLength: NUM_TOPK, maxLength: NUM_TOPK })
  .filter((slots) => slots.some((slot) => slot >= 0));
const rows = fc.array(row, { maxLength: 12 });
const reduces: readonly Reduce[] = ['rank', 'source'];

/** A copy of what the experts made. */
const outputOf = async (shard: ExpertShard, recv: ReceivedRows, layer = LAYER): Promise<Float32Array> =>
  valuesOf(shard.forward(layer, recv));

/** Runs a forward and counts the kernels it took. */
async function kernelsOf(shard: ExpertShard, recv: ReceivedRows): Promise<number> {
  const before = numKernelRuns();
  await outputOf(shard, recv);
  return numKernelRuns() - before;
}

describe('feed-forward network', () => {
  before(() => selectBackend('wasm'));

  it('agrees with the float64 reference', async () => {
    const plain = new Ffn({ ...experts[0]!, biases: undefined });
    const clamped = new Ffn(experts[0]!, CLAMPED);
    for (const [numRows, ffn] of [1, 2, 7, 33].flatMap((n) => [[n, plain] as const, [n, clamped] as const])) {
      const x = randomValues(randomFrom(numRows), numRows * HIDDEN, 2);
      const x_NH = toTensor(x, [numRows, HIDDEN]);
      const y_NH = ffn.forward(x_NH);
      const expected = Array.from({ length: numRows }, (_, n) =>
        ffn === plain
          ? ffnRef(x.subarray(n * HIDDEN, (n + 1) * HIDDEN), { ...experts[0]!, biases: undefined })
          : ffnRef(x.subarray(n * HIDDEN, (n + 1) * HIDDEN), experts[0]!, CLAMPED),
      );
      expect(largestDifference(await rowsOf(y_NH), expected.flat())).to.be.below(1e-5);
      x_NH.dispose();
      y_NH.dispose();
    }
    for (const ffn of [plain, clamped]) ffn.dispose();
  });

  it('leaves no tensor behind', () => {
    const before = tensorMemory().numTensors;
    const ffn = new Ffn(experts[0]!);
    const x_NH = toTensor(new Float32Array(2 * HIDDEN), [2, HIDDEN]);
    ffn.forward(x_NH).dispose();
    expect(tensorMemory().numTensors).to.equal(before + 5);
    x_NH.dispose();
    ffn.dispose();
    expect(tensorMemory().numTensors).to.equal(before);
  });
});

for (const kind of KINDS)
  describe(`expert shard of ${kind}`, () => {
    let shard: ExpertShard;
    let held: () => number;
    let numTensorsBefore = 0;

    before(() => selectBackend('wasm'));
    beforeEach(() => {
      numTensorsBefore = tensorMemory().numTensors;
      ({ shard, held } = fullShard(kind));
    });
    afterEach(() => {
      shard.dispose();
      expect(tensorMemory().numTensors, 'tensors left behind').to.equal(numTensorsBefore);
      expect(held(), 'left behind').to.equal(kind === 'kernels' ? 0 : numTensorsBefore);
    });

    for (const reduce of reduces) {
      it(`agrees with the float64 reference for any routing (reduce: ${reduce})`, async () => {
        await fc.assert(
          fc.asyncProperty(rows, fc.nat(), async (slots, seed) => {
            const recv = received(reduce, slots, seed);
            const out = await outputOf(shard, recv);
            expect(largestDifference(out, shardRef(recv, experts, HIDDEN, NUM_TOPK, CLAMPED))).to.be.below(1e-5);
          }),
          { numRuns: 60 },
        );
      });

      it(`a row has the same bits whatever other rows come with it (reduce: ${reduce})`, async () => {
        await fc.assert(
          fc.asyncProperty(rows, async (slots) => {
            const together = received(reduce, slots);
            const out = await outputOf(shard, together);
            let next = 0;
            for (let n = 0; n < slots.length; n++) {
              const alone = await outputOf(shard, rowOf(together, n));
              expect(isSameBits(out.subarray(next, next + alone.length), alone), `row ${n}`).to.equal(true);
              next += alone.length;
            }
            expect(next).to.equal(out.length);
          }),
          { numRuns: 40 },
        );
      });

      it(`all tokens to one expert (reduce: ${reduce})`, async () => {
        const recv = received(
          reduce,
          Array.from({ length: 50 }, () => [-1, 2, -1]),
        );
        const out = await outputOf(shard, recv);
        expect(largestDifference(out, shardRef(recv, experts, HIDDEN, NUM_TOPK, CLAMPED))).to.be.below(1e-5);
      });

      it(`an empty receive gives nothing and runs no kernel (reduce: ${reduce})`, async () => {
        const before = numKernelRuns();
        expect(await outputOf(shard, received(reduce, []))).to.deep.equal(new Float32Array(0));
        expect(numKernelRuns()).to.equal(before);
      });
    }

    if (kind === 'tensors')
      it('takes as many kernel runs for one token as for a hundred, and more for more active experts', async () => {
        const counts: number[] = [];
        for (let numActive = 1; numActive <= NUM_TOPK; numActive++) {
          const slots = Array.from({ length: NUM_TOPK }, (_, k) => (k < numActive ? k : -1));
          const one = await kernelsOf(shard, received('rank', [slots]));
          const hundred = await kernelsOf(
            shard,
            received(
              'rank',
              Array.from({ length: 100 }, () => slots),
            ),
          );
          expect(hundred).to.equal(one);
          counts.push(one);
        }
        expect(counts).to.deep.equal([...new Set(counts)].sort((a, b) => a - b));
        expect(counts[2]! - counts[1]!).to.equal(5); // two products, what is added to each, and a slice
      });

    if (kind === 'tensors with a memory of their own')
      it('rows go there once and come back once, whatever the number of their choices', async () => {
        const numRows = 5;
        const slots = Array.from({ length: numRows }, (_, n) => [n % NUM_SLOTS, (n + 1) % NUM_SLOTS, -1]);
        const before = tensorTransfers();
        await outputOf(shard, received('rank', slots));
        const after = tensorTransfers();
        expect(after.numDownloads - before.numDownloads).to.equal(1);
        expect(after.downloadedBytes - before.downloadedBytes).to.equal(4 * numRows * HIDDEN);
        // The rows; which row each choice wants, and which choices each row sums with what weight.
        expect(after.numUploads - before.numUploads).to.equal(4);
        expect(after.uploadedBytes - before.uploadedBytes).to.equal(4 * (numRows * HIDDEN + 3 * 2 * numRows));
      });

    it('a choice for a slot without expert is MISSING_EXPERT with layer and slot', async () => {
      const others = Array.from({ length: NUM_SLOTS }, (_, slot) => slot).filter((slot) => slot !== 1);
      shard.replace(LAYER, new Map(others.map((slot) => [slot, slot])));
      const recv = received('rank', [[0, 1, -1]]);
      const error = await errorOf(ExpertError, () => outputOf(shard, recv));
      expect(error.code).to.equal('MISSING_EXPERT');
      expect(error.message).to.contain(`layer ${LAYER}`).and.contain('slot 1');
      const elsewhere = await errorOf(ExpertError, () => outputOf(shard, recv, LAYER + 1));
      expect(elsewhere.code).to.equal('MISSING_EXPERT');
      expect(elsewhere.message).to.contain(`layer ${LAYER + 1}`);
    });

    it('experts of different layers in the same slot are different experts', async () => {
      shard.replace(LAYER + 1, new Map([[0, shard.load(experts[1]!, 'f32')]]));
      const recv = received('source', [[0, -1, -1]]);
      const other = await outputOf(shard, recv, LAYER + 1);
      expect(largestDifference(other, ffnRef(recv.recvX, experts[1]!, CLAMPED))).to.be.below(1e-5);
      expect(largestDifference(await outputOf(shard, recv), ffnRef(recv.recvX, experts[0]!, CLAMPED))).to.be.below(
        1e-5,
      );
    });

    it('a slot gives its weights as tensors that the caller disposes', async () => {
      const [held2, expected] = [shard.weights(LAYER, 2), ffnTensors(experts[2]!)];
      const listed = ({ gateUp_H2I, down_IH, biases }: FfnTensors): Tensor2D[] => [
        ...[gateUp_H2I, down_IH, biases!.gateUp_2I, biases!.down_H],
      ];
      for (const [i, tensor] of listed(held2).entries())
        expect(isSameBits(await rowsOf(tensor), await rowsOf(listed(expected)[i]!))).to.equal(true);
      for (const tensors of [held2, expected]) disposeFfn(tensors);
      expect((await errorOf(ExpertError, () => shard.weights(LAYER, 9))).code).to.equal('MISSING_EXPERT');
    });

    it('rows of a slot, put together again, are the same expert in any slot', async () => {
      const shape = { hidden: HIDDEN, intermediate: INTERMEDIATE, dtype: 'f32' as const, hasBias: true };
      const pieces = [
        ...(await shard.rows(LAYER, 1, 0, 30)),
        ...(await shard.rows(LAYER, 1, 30, 31)),
        ...(await shard.rows(LAYER, 1, 31, numRowsOf(shape))),
      ];
      const copy = shard.load(weightsOf(shape, Buffer.concat(pieces)), 'f32');
      const before = held();
      shard.replace(
        LAYER,
        new Map<number, Expert | number>([
          [0, copy],
          [1, 1],
        ]),
      );
      expect(held()).to.be.below(before);
      expect(shard.stats().numExperts).to.equal(2);
      const one = await outputOf(shard, received('source', [[0, -1, -1]]));
      expect(isSameBits(one, await outputOf(shard, received('source', [[1, -1, -1]])))).to.equal(true);
      expect(largestDifference(one, ffnRef(received('source', [[0, -1, -1]]).recvX, experts[1]!, CLAMPED))).to.be.below(
        1e-5,
      );
    });
  });

/** The same dispatch with row n alone. */
function rowOf(recv: ReceivedRows, n: number): ReceivedRows {
  const [x, slots, weights] = [recv.recvX, recv.recvTopkIdx, recv.recvTopkWeights];
  return arrayReceived(
    x.slice(n * HIDDEN, (n + 1) * HIDDEN),
    HIDDEN,
    slots.slice(n * NUM_TOPK, (n + 1) * NUM_TOPK),
    weights.slice(n * NUM_TOPK, (n + 1) * NUM_TOPK),
    recv.reduce,
  );
}
