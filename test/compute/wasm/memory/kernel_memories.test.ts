import { expect } from 'chai';
import { arrayReceived, groupsOf, valuesOf } from '../../../kit/kernels/expert_calls.js';
import { workspaceBytes } from '../../../../compute/wasm/experts/kernel_workspace.js';
import { KernelMemories } from '../../../../compute/wasm/memory/kernel_memories.js';
import { PLAIN_KERNELS } from '../../../../compute/wasm/memory/kernel_settings.js';
import { ResidentExperts } from '../../../../compute/wasm/experts/resident_experts.js';
import { createExpertShard } from '../../../../experts/layer/shard.js';
import { matrixOf } from '../../../../compute/base/weight_matrix.js';
import { memoryOf, startCrew } from '../../../kit/kernels/crews.js';
import { isSameBits, randomFrom, randomValues } from '../../../refs/random.js';

const HIDDEN = 64;
const INTERMEDIATE = 32;
const MIB = 2 ** 20;

const weightsOf = (seed: number) => {
  const random = randomFrom(seed);
  const matrix = (rows: number, columns: number) => matrixOf(randomValues(random, rows * columns, 0.3), rows, columns);
  return { gate: matrix(INTERMEDIATE, HIDDEN), up: matrix(INTERMEDIATE, HIDDEN), down: matrix(HIDDEN, INTERMEDIATE) };
};

describe('memories of a rank', () => {
  it('experts go where there is room, past what is reserved, and into further memories', () => {
    const memories = new KernelMemories({ denseBytes: [MIB], eachBytes: MIB / 16, limitBytes: 2 * MIB });
    const first = memories.dense[0]!;
    expect(memories.withRoom(MIB / 8)).to.equal(first);
    first.allocate(MIB / 8);
    const second = memories.withRoom(MIB);
    expect(second).not.to.equal(first);
    expect(memories.withRoom(MIB)).to.equal(second);
    second.allocate(MIB / 2);
    second.allocateScratch(1000);
    expect(memories.withRoom(MIB / 16)).to.equal(first);
    expect(memories.stats()).to.deep.include({ numMemories: 2, heldBytes: (5 * MIB) / 8, scratchBytes: 1024 });
  });

  it('no expert goes where what was reserved is free for a while', () => {
    const memories = new KernelMemories({ denseBytes: [MIB], limitBytes: 2.25 * MIB });
    const first = memories.dense[0]!;
    const weights = first.allocate((15 * MIB) / 16);
    const [block] = [first.allocate(MIB / 2), first.allocate(MIB / 4)];
    first.free(block);
    expect(memories.withRoom(MIB / 4)).not.to.equal(first);
    first.allocate(MIB / 2);
    first.free(weights);
    expect(memories.withRoom(MIB / 8)).to.equal(first);
  });

  it('each memory of dense weights keeps what is reserved in it, and experts fill what it has beside that', () => {
    const memories = new KernelMemories({ denseBytes: [MIB, 0, MIB / 2], limitBytes: 2 * MIB });
    expect(memories.stats().numMemories).to.equal(3);
    const [first, second, third] = memories.dense;
    const filled = Array.from({ length: 6 }, () => {
      const memory = memories.withRoom(MIB / 2);
      memory.allocate(MIB / 2);
      return memory;
    });
    expect(filled).to.deep.equal([first, second, second, second, third, third]);
    expect(memories.dense).not.to.include(memories.withRoom(MIB / 2));
  });

  it('memories are as large as the weights to come from the start, each up to what is reserved in it', () => {
    const limitBytes = 16 * MIB;
    const sizes = (weightBytes: number): number[] => {
      const memories = new KernelMemories({ denseBytes: [MIB, MIB], limitBytes, weightBytes });
      return memories.dense.map(({ reservedBytes }) => Math.floor(reservedBytes / MIB));
    };
    expect(sizes(0)).to.deep.equal([1, 1]);
    expect(sizes(8 * MIB)).to.deep.equal([8, 1]);
    expect(sizes(18 * MIB)).to.deep.equal([15, 3]);
    expect(sizes(2 ** 40)).to.deep.equal([15, 15]);
    const memories = new KernelMemories({ denseBytes: [0], limitBytes, weightBytes: 30 * MIB });
    memories.dense[0]!.allocate(15 * MIB);
    expect(memories.dense[0]!.reservedBytes, 'weights took none of the process').to.equal(16 * MIB);
    expect(memories.withRoom(2 * MIB).reservedBytes).to.be.within(14 * MIB, 15 * MIB);
  });

  for (const numThreads of [1, 4]) {
    it(`experts leave room for the largest call on them, ${numThreads} threads`, async () => {
      const crew = numThreads === 1 ? null : await startCrew(numThreads);
      const [numRows, numTopk] = [300, 2];
      const call = { hidden: HIDDEN, intermediate: INTERMEDIATE, numTopk, numRows, numThreads };
      const { rows, scratch } = workspaceBytes({ ...call, numPairs: numRows * numTopk, numGroups: numTopk });
      const own = memoryOf(crew).allocate(64); // areas of the kernels, of each thread
      const memories = new KernelMemories(
        { denseBytes: [], eachBytes: rows + scratch, limitBytes: own + MIB + rows + scratch },
        PLAIN_KERNELS,
        crew,
      );
      const compute = new ResidentExperts(memories, { hidden: HIDDEN, numTopk });
      const loaded = [compute.load(weightsOf(0), 'bf16')];
      while (memories.stats().numMemories === 1) loaded.push(compute.load(weightsOf(0), 'bf16'));
      const run = async (count: number): Promise<void> => {
        const slots = Int32Array.from({ length: count * numTopk }, (_, choice) => choice % numTopk);
        const weights = new Float32Array(count * numTopk);
        const recv = arrayReceived(new Float32Array(count * HIDDEN), HIDDEN, slots, weights, 'rank');
        await compute.forward(groupsOf(Array.from(slots), loaded), recv);
      };
      await run(1);
      expect(memories.stats().scratchBytes, 'a row').to.be.below((rows + scratch) / 20);
      await run(numRows / 2);
      await run(numRows);
      expect(memories.stats().scratchBytes).to.equal(rows + scratch);
      await crew?.close();
    });
  }

  it('an expert computes the same bits in any of them, beside any other', async () => {
    const all = Array.from({ length: 12 }, (_, i) => weightsOf(i));
    const slots = [0, 11, 5, 7, 3, 2];
    const x = randomValues(randomFrom(99), 2 * HIDDEN);
    const weights = Float32Array.from(slots, (slot) => 0.1 * slot);
    const recv = arrayReceived(x, HIDDEN, Int32Array.from(slots), weights, 'rank');
    const run = async (memories: KernelMemories): Promise<Float32Array> => {
      const compute = new ResidentExperts(memories, { hidden: HIDDEN, numTopk: 3 });
      const shard = createExpertShard(compute, 'f32');
      shard.replace(0, new Map(all.map((weights, slot) => [slot, shard.load(weights, 'f32')])));
      const out = await valuesOf(shard.forward(0, recv));
      shard.dispose();
      expect(memories.stats()).to.include({ heldBytes: 0, scratchBytes: 0 });
      return out;
    };
    const small = new KernelMemories({ eachBytes: 200 * 1024, limitBytes: 600 * 1024 });
    expect(isSameBits(await run(small), await run(new KernelMemories()))).to.equal(true);
    expect(small.stats().numMemories).to.be.above(1);
  });
});
