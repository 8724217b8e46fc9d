import { expect } from 'chai';
import fc from 'fast-check';
import { floatRows } from '../../../../base/float_rows.js';
import { RowsInPlace, type ReceivedRows, type Reduce } from '../../../../base/received_rows.js';
import { SWIGLU, type ActivationSpec } from '../../../../compute/base/activation_spec.js';
import { ExpertError } from '../../../../compute/base/errors.js';
import { KernelExpert } from '../../../../compute/wasm/experts/kernel_expert.js';
import { KernelExperts } from '../../../../compute/wasm/experts/kernel_experts.js';
import { KernelMemory } from '../../../../compute/wasm/memory/kernel_memory.js';
import { KernelRows } from '../../../../compute/wasm/memory/kernel_rows.js';
import { padded, CHOICE_DTYPES, type ResidentDtype } from '../../../../compute/wasm/memory/resident_dtype.js';
import { arrayReceived, groupsOf, valuesOf } from '../../../kit/kernels/expert_calls.js';
import { biasedMatrices, expertMatrices } from '../../../kit/kernels/kernel_rows.js';
import { errorOf } from '../../../kit/rejects.js';
import { isSameBits, largestDifference, randomFrom, randomValues } from '../../../refs/random.js';
import { expertsRef } from '../../../refs/swiglu_ref.js';

const HIDDEN = 35;
const NUM_TOPK = 3;
const INTERMEDIATE = [20, 33, 32, 7, 64];
const REDUCES: readonly Reduce[] = ['rank', 'source'];

/** Every second one has biases. */
const weights = INTERMEDIATE.map((intermediate, i) =>
  (i % 2 === 0 ? expertMatrices : biasedMatrices)(HIDDEN, intermediate, randomFrom(50 + i)),
);
/** Of each expert, two kinds beside each other. */
const ACTIVATIONS = INTERMEDIATE.map((_, i): ActivationSpec =>
  i < 3 ? SWIGLU : { kind: 'clamped_swiglu', limit: 0.4, alpha: 1.702 },
);

/** Experts 0 … 4, in turns over the memories. */
const expertsIn = (memories: readonly KernelMemory[], dtype: ResidentDtype): KernelExpert[] =>
  weights.map((matrices, i) => KernelExpert.from(memories[i % memories.length]!, matrices, dtype, ACTIVATIONS[i]));

const refs = (experts: readonly KernelExpert[]) =>
  experts.map(({ shape, gate, up, down }, i) => ({
    ...shape,
    biases: weights[i]!.biases,
    activation: ACTIVATIONS[i],
    gate: gate.toFloat32(),
    up: up.toFloat32(),
    down: down.toFloat32(),
  }));

/** Distinct experts of a row, −1 = elsewhere. */
const row = fc.shuffledSubarray([0, 1, 2, 3, 4, -1, -1, -1], { minLength: NUM_TOPK, maxLength: NUM_TOPK });
const routing = fc.array(row, { maxLength: 12 });

function received(reduce: Reduce, slots: readonly number[], seed = 1): ReceivedRows {
  const numRows = slots.length / NUM_TOPK;
  const random = randomFrom(seed);
  const x = randomValues(random, numRows * HIDDEN);
  const weights = reduce === 'rank' ? randomValues(random, numRows * NUM_TOPK) : new Float32Array(0);
  return arrayReceived(x, HIDDEN, Int32Array.from(slots), weights, reduce);
}

for (const numMemories of [1, 3]) {
  describe(`experts in ${numMemories} kernel memories`, () => {
    const memories = Array.from({ length: numMemories }, () => new KernelMemory());
    let runner: KernelExperts;
    const run = (experts: readonly KernelExpert[], recv: ReceivedRows, slots: ArrayLike<number> = recv.recvTopkIdx) =>
      valuesOf(runner.forward(groupsOf(Array.from(slots), experts), recv));
    beforeEach(() => (runner = new KernelExperts(HIDDEN, NUM_TOPK)));
    afterEach(() => {
      runner.dispose();
      runner.dispose();
      expect(
        memories.map(({ usedBytes }) => usedBytes),
        'bytes left behind',
      ).to.deep.equal(memories.map(() => 0));
    });

    for (const dtype of CHOICE_DTYPES) {
      for (const reduce of REDUCES) {
        it(`agree with the float64 reference for any routing (${dtype}, reduce: ${reduce})`, async () => {
          const experts = expertsIn(memories, dtype);
          await fc.assert(
            fc.asyncProperty(routing, fc.nat(), async (rows, seed) => {
              const slots = rows.flat();
              fc.pre(slots.some((slot) => slot >= 0));
              const recv = received(reduce, slots, seed);
              const out = await run(experts, recv);
              const expected = expertsRef(recv.recvX, slots, recv.recvTopkWeights, refs(experts), HIDDEN);
              const wanted = reduce === 'rank' ? expected.perRow : expected.perChoice;
              expect(largestDifference(out, wanted)).to.be.below(2e-5);
            }),
            { numRuns: 25 },
          );
          for (const expert of experts) expert.dispose();
        });
      }
    }

    it('a row has the same bits alone and among others', async () => {
      const experts = expertsIn(memories, 'bf16');
      await fc.assert(
        fc.asyncProperty(routing, async (rows) => {
          fc.pre(rows.flat().some((slot) => slot >= 0));
          const recv = received('rank', rows.flat());
          const all = await run(experts, recv);
          for (const [n, slots] of rows.entries()) {
            if (slots.every((slot) => slot < 0)) continue;
            const x = recv.recvX.slice(n * HIDDEN, (n + 1) * HIDDEN);
            const weights = recv.recvTopkWeights.slice(n * NUM_TOPK, (n + 1) * NUM_TOPK);
            const alone = await run(experts, arrayReceived(x, HIDDEN, Int32Array.from(slots), weights, 'rank'));
            expect(isSameBits(alone, all.slice(n * HIDDEN, (n + 1) * HIDDEN)), `row ${n}`).to.equal(true);
          }
        }),
        { numRuns: 40 },
      );
      for (const expert of experts) expert.dispose();
    });

    it('the bits of a sum are those of its rows, weighted and added in ascending order of choices', async () => {
      const experts = expertsIn(memories, 'f32');
      const slots = [4, 1, 0, 2, 3, 1];
      const recv = received('rank', slots);
      const { inPlace, recvTopkIdx } = recv;
      const rows = await run(experts, new RowsInPlace(inPlace!, recvTopkIdx, new Float32Array(0), 'source'));
      const expected = new Float32Array(2 * HIDDEN);
      for (let choice = 0; choice < slots.length; choice++) {
        const start = Math.floor(choice / NUM_TOPK) * HIDDEN;
        for (let h = 0; h < HIDDEN; h++) {
          expected[start + h]! += Math.fround(recv.recvTopkWeights[choice]! * rows[choice * HIDDEN + h]!);
        }
      }
      expect(isSameBits(await run(experts, recv), expected)).to.equal(true);
      // The same experts in other slots: another order of groups.
      const turned = new RowsInPlace(
        inPlace!,
        recvTopkIdx.map((slot) => 4 - slot),
        recv.recvTopkWeights,
        'rank',
      );
      expect(isSameBits(await run(experts.toReversed(), turned), expected)).to.equal(true);
      for (const expert of experts) expert.dispose();
    });

    it('all of 150 rows to one expert, then fewer: no growth after the largest batch', async () => {
      const experts = expertsIn(memories, 'f32');
      const slots = Array.from({ length: 150 }, () => [-1, 2, -1]).flat();
      const recv = received('rank', slots);
      const first = await run(experts, recv);
      expect(
        largestDifference(first, expertsRef(recv.recvX, slots, recv.recvTopkWeights, refs(experts), HIDDEN).perRow),
      ).to.be.below(2e-5);
      const taken = memories.map(({ reservedBytes, usedBytes }) => ({ reservedBytes, usedBytes }));
      for (let i = 0; i < 200; i++) {
        const numRows = [1, 149, 150, 20][i % 4]!;
        const out = await run(experts, received('rank', slots.slice(0, numRows * NUM_TOPK)));
        expect(out.length).to.equal(numRows * HIDDEN);
      }
      expect(memories.map(({ reservedBytes, usedBytes }) => ({ reservedBytes, usedBytes }))).to.deep.equal(taken);
      expect(isSameBits(await run(experts, recv), first)).to.equal(true);
      for (const expert of experts) expert.dispose();
    });

    it('experts that come in any waves make the bits of those that are all there', async () => {
      const experts = expertsIn(memories, 'bf16');
      const cuts = fc.array(fc.nat(2), { minLength: INTERMEDIATE.length, maxLength: INTERMEDIATE.length });
      const reduces = fc.constantFrom(...REDUCES);
      await fc.assert(
        fc.asyncProperty(routing, reduces, cuts, fc.nat(2), async (rows, reduce, waveOf, home) => {
          fc.pre(rows.flat().some((slot) => slot >= 0));
          const recv = received(reduce, rows.flat());
          const groups = groupsOf(rows.flat(), experts);
          const numGroups = groups.experts.length;
          const coming = { ...groups, numGroups, intermediate: Math.max(...INTERMEDIATE) };
          const call = runner.begin(coming, recv, memories[home % numMemories]!);
          for (const wave of [2, 0, 1]) {
            const own = [...groups.experts.keys()].filter((g) => waveOf[g] === wave);
            const others = groups.experts.map((expert, g) => (own.includes(g) ? expert : (undefined as never))); // elsewhere
            if (own.length > 0) await call.run(others, own);
          }
          expect(isSameBits(await valuesOf(call.finish()), await run(experts, recv))).to.equal(true);
        }),
        { numRuns: 40 },
      );
      for (const expert of experts) expert.dispose();
    });

    it('rows without a local choice are zeros', async () => {
      const experts = expertsIn(memories, 'f32');
      const out = await run(experts, received('rank', [-1, -1, -1, 0, -1, -1]));
      expect(out.subarray(0, HIDDEN).every((value) => value === 0)).to.equal(true);
      expect(out.subarray(HIDDEN).every((value) => value !== 0)).to.equal(true);
      for (const expert of experts) expert.dispose();
    });

    it('sums stay while another turn computes', async () => {
      const experts = expertsIn(memories, 'f32');
      const [a, b] = [received('rank', [0, 1, 2], 1), received('rank', [0, 1, 2, 4, 3, -1], 2)];
      const groups = (recv: ReceivedRows) => groupsOf(Array.from(recv.recvTopkIdx), experts);
      for (const turn of [0, 1]) await runner.forward(groups(b), b, turn); // the largest
      const kept = await runner.forward(groups(a), a, 0);
      const before = await valuesOf(kept);
      await runner.forward(groups(b), b, 1);
      expect(isSameBits(await valuesOf(kept), before)).to.equal(true);
      for (const expert of experts) expert.dispose();
    });

    it('rows that lie in a memory are read there, with the bits of those that are copied', async () => {
      const experts = expertsIn(memories, 'bf16');
      const recv = received('rank', [0, 3, 2, 1, 4, -1]);
      const expected = await run(experts, recv);
      const memory = memories[0]!;
      const stride = padded(HIDDEN);
      const address = memory.allocate(4 * 2 * stride); // zeros
      const inPlace = new KernelRows(memory, address, 2, HIDDEN, stride);
      recv.copyRowsTo(inPlace);
      const { recvTopkIdx, recvTopkWeights } = recv;
      const before = memory.counts.numCopies;
      const out = await run(experts, new RowsInPlace(inPlace, recvTopkIdx, recvTopkWeights, 'rank'));
      expect(isSameBits(out, expected)).to.equal(true);
      expect(memory.counts.numCopies, 'copies into the memory of the rows').to.equal(before);
      memory.free(address);
      for (const expert of experts) expert.dispose();
    });

    it('sizes that do not fit are refused', async () => {
      const wider = new KernelExpert(memories[0]!, { hidden: HIDDEN + 1, intermediate: 4 }, 'f32');
      const narrower = floatRows(new Float32Array(HIDDEN - 1), HIDDEN - 1);
      const some = expertsIn(memories, 'f32');
      for (const [experts, recv] of [
        [[wider], received('rank', [0, -1, -1])],
        [some, new RowsInPlace(narrower, Int32Array.of(0, -1, -1), new Float32Array(3), 'rank')],
      ] as const)
        expect((await errorOf(ExpertError, () => run(experts, recv))).code).to.equal('INVALID_ARGUMENT');
      for (const expert of [wider, ...some]) expert.dispose();
    });
  });
}
