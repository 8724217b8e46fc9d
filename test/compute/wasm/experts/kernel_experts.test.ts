import { expect } from 'chai';
import fc from 'fast-check';
import type { Reduce } from '../../../../base/received_rows.js';
import { ExpertError } from '../../../../compute/base/errors.js';
import { KernelExpert } from '../../../../compute/wasm/experts/kernel_expert.js';
import { KernelExperts, type KernelRows } from '../../../../compute/wasm/experts/kernel_experts.js';
import { KernelMemory } from '../../../../compute/wasm/memory/kernel_memory.js';
import type { KernelGroup } from '../../../../compute/wasm/experts/kernel_workspace.js';
import { RESIDENT_DTYPES, type ResidentDtype } from '../../../../compute/wasm/memory/resident_dtype.js';
import { expertMatrices } from '../../../kit/kernels/kernel_rows.js';
import { errorOf } from '../../../kit/rejects.js';
import { isSameBits, largestDifference, randomFrom, randomValues } from '../../../refs/random.js';
import { expertsRef } from '../../../refs/swiglu_ref.js';

const HIDDEN = 35;
const NUM_TOPK = 3;
const INTERMEDIATE = [20, 33, 32, 7, 64];
const REDUCES: readonly Reduce[] = ['rank', 'source'];

const weights = INTERMEDIATE.map((intermediate, i) => expertMatrices(HIDDEN, intermediate, randomFrom(50 + i)));

/** Experts 0 … 4, in turns over the memories. */
const expertsIn = (memories: readonly KernelMemory[], dtype: ResidentDtype): KernelExpert[] =>
  weights.map((matrices, i) => KernelExpert.from(memories[i % memories.length]!, matrices, dtype));

const refs = (experts: readonly KernelExpert[]) =>
  experts.map(({ shape, gate, up, down }) => ({
    ...shape,
    gate: gate.toFloat32(),
    up: up.toFloat32(),
    down: down.toFloat32(),
  }));

/** Distinct experts of a row, −1 = elsewhere. */
const row = fc.shuffledSubarray([0, 1, 2, 3, 4, -1, -1, -1], { minLength: NUM_TOPK, maxLength: NUM_TOPK });
const routing = fc.array(row, { maxLength: 12 });

function groupsOf(slots: readonly number[], experts: readonly KernelExpert[]): KernelGroup[] {
  const groups = new Map<number, number[]>();
  slots.forEach((slot, choice) => {
    if (slot >= 0) groups.set(slot, [...(groups.get(slot) ?? []), choice]);
  });
  return Array.from(groups, ([slot, choices]) => ({ expert: experts[slot]!, choices }));
}

function received(reduce: Reduce, numRows: number, seed = 1): KernelRows {
  const random = randomFrom(seed);
  const recvX = randomValues(random, numRows * HIDDEN);
  const recvTopkWeights = reduce === 'rank' ? randomValues(random, numRows * NUM_TOPK) : new Float32Array(0);
  return { numRecvTokens: numRows, recvX, recvTopkWeights, reduce };
}

for (const numMemories of [1, 3]) {
  describe(`experts in ${numMemories} kernel memories`, () => {
    const memories = Array.from({ length: numMemories }, () => new KernelMemory());
    let runner: KernelExperts;
    beforeEach(() => (runner = new KernelExperts(HIDDEN, NUM_TOPK)));
    afterEach(() => {
      runner.dispose();
      runner.dispose();
      expect(
        memories.map(({ usedBytes }) => usedBytes),
        'bytes left behind',
      ).to.deep.equal(memories.map(() => 0));
    });

    for (const dtype of RESIDENT_DTYPES) {
      for (const reduce of REDUCES) {
        it(`agree with the float64 reference for any routing (${dtype}, reduce: ${reduce})`, async () => {
          const experts = expertsIn(memories, dtype);
          await fc.assert(
            fc.asyncProperty(routing, fc.nat(), async (rows, seed) => {
              const recv = received(reduce, rows.length, seed);
              const slots = rows.flat();
              const out = await runner.forward(groupsOf(slots, experts), recv);
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
          const recv = received('rank', rows.length);
          const all = await runner.forward(groupsOf(rows.flat(), experts), recv);
          for (const [n, slots] of rows.entries()) {
            const alone = await runner.forward(groupsOf(slots, experts), {
              ...recv,
              numRecvTokens: 1,
              recvX: recv.recvX.slice(n * HIDDEN, (n + 1) * HIDDEN),
              recvTopkWeights: recv.recvTopkWeights.slice(n * NUM_TOPK, (n + 1) * NUM_TOPK),
            });
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
      const groups = groupsOf(slots, experts);
      const recv = received('rank', 2);
      const rows = await runner.forward(groups, { ...recv, reduce: 'source' });
      const expected = new Float32Array(2 * HIDDEN);
      for (let choice = 0; choice < slots.length; choice++) {
        const start = Math.floor(choice / NUM_TOPK) * HIDDEN;
        for (let h = 0; h < HIDDEN; h++) {
          expected[start + h]! += Math.fround(recv.recvTopkWeights[choice]! * rows[choice * HIDDEN + h]!);
        }
      }
      expect(isSameBits(await runner.forward(groups, recv), expected)).to.equal(true);
      expect(isSameBits(await runner.forward(groups.toReversed(), recv), expected)).to.equal(true);
      for (const expert of experts) expert.dispose();
    });

    it('all of 150 rows to one expert, then none, then one: no growth after the largest batch', async () => {
      const experts = expertsIn(memories, 'f32');
      const slots = Array.from({ length: 150 }, () => [-1, 2, -1]).flat();
      const recv = received('rank', 150);
      const first = await runner.forward(groupsOf(slots, experts), recv);
      expect(
        largestDifference(first, expertsRef(recv.recvX, slots, recv.recvTopkWeights, refs(experts), HIDDEN).perRow),
      ).to.be.below(2e-5);
      const taken = memories.map(({ reservedBytes, usedBytes }) => ({ reservedBytes, usedBytes }));
      for (let i = 0; i < 200; i++) {
        const numRows = [0, 1, 149, 150, 20][i % 5]!;
        const some = received('rank', numRows);
        const out = await runner.forward(groupsOf(slots.slice(0, numRows * NUM_TOPK), experts), some);
        expect(out.length).to.equal(numRows * HIDDEN);
      }
      expect(memories.map(({ reservedBytes, usedBytes }) => ({ reservedBytes, usedBytes }))).to.deep.equal(taken);
      expect(isSameBits(await runner.forward(groupsOf(slots, experts), recv), first)).to.equal(true);
      for (const expert of experts) expert.dispose();
    });

    it('rows without a local choice are zeros, or no rows', async () => {
      expect(await runner.forward([], received('rank', 2))).to.deep.equal(new Float32Array(2 * HIDDEN));
      expect(await runner.forward([], received('source', 2))).to.deep.equal(new Float32Array(0));
      const experts = expertsIn(memories, 'f32');
      const out = await runner.forward(groupsOf([-1, -1, -1, 0, -1, -1], experts), received('rank', 2));
      expect(out.subarray(0, HIDDEN).every((value) => value === 0)).to.equal(true);
      expect(out.subarray(HIDDEN).every((value) => value !== 0)).to.equal(true);
      for (const expert of experts) expert.dispose();
    });

    it('sizes that do not fit are refused', async () => {
      const wider = new KernelExpert(memories[0]!, { hidden: HIDDEN + 1, intermediate: 4 }, 'f32');
      const recv = received('rank', 1);
      for (const act of [
        () => runner.forward([{ expert: wider, choices: [0] }], recv),
        () => runner.forward([], { ...recv, numRecvTokens: 2 }),
      ])
        expect((await errorOf(ExpertError, act)).code).to.equal('INVALID_ARGUMENT');
      wider.dispose();
    });
  });
}
