import { expect } from 'chai';
import fc from 'fast-check';
import type { ReceivedRows, Reduce } from '../../../base/received_rows.js';
import { ExpertError } from '../../../compute/base/errors.js';
import type { FfnWeights } from '../../../compute/base/ffn_weights.js';
import { storedOf, type StoredFfn } from '../../../compute/base/stored_matrix.js';
import { numRowsOf, weightsOf } from '../../../compute/base/weight_rows.js';
import { KernelExpert, expertBytes } from '../../../compute/wasm/experts/kernel_expert.js';
import { KernelExperts } from '../../../compute/wasm/experts/kernel_experts.js';
import { KernelMemories } from '../../../compute/wasm/memory/kernel_memories.js';
import { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { TieredExperts } from '../../../experts/tiers/tiered_experts.js';
import type { TieredExpert } from '../../../experts/tiers/tiered_expert.js';
import { createTierPolicy, TIER_POLICIES } from '../../../experts/tiers/tier_policy.js';
import { arrayReceived, groupsOf, valuesOf } from '../../kit/kernels/expert_calls.js';
import { biasedMatrices } from '../../kit/kernels/kernel_rows.js';
import { errorOf } from '../../kit/rejects.js';
import { isSameBits, randomFrom, randomValues } from '../../refs/random.js';

const SIZES = { hidden: 24, intermediate: 20, hasBias: true };
const NUM_TOPK = 3;
const NUM_EXPERTS = 5;
const LAYERS = [1, 2, 4];
const SWIGLU = { kind: 'swiglu' } as const;
const EACH_BYTES = expertBytes(SIZES, 'bf16', SWIGLU);

/** By layer and expert. */
const weights = LAYERS.map((layer) =>
  Array.from({ length: NUM_EXPERTS }, (_, i) => biasedMatrices(24, 20, randomFrom(100 * layer + i))),
);

/** A folder: reads take a turn of the event loop, and fail where they are told to. */
class Folder {
  failing: string | null = null;
  isChanged = false;
  numReads = 0;

  stored(layer: number, expert: number): StoredFfn {
    const { gate, up, down, biases } = this.weightsOf(layer, expert);
    const slow = (matrix: FfnWeights['gate']): StoredFfn['gate'] => {
      const stored = storedOf(matrix);
      return {
        ...stored,
        readRows: async (from, target) => {
          await new Promise(setImmediate);
          this.numReads++;
          if (this.failing === `${layer}.${expert}`) throw new Error('READ_FAILED: /m/a.safetensors: EIO; try again');
          await stored.readRows(from, target);
        },
      };
    };
    return { gate: slow(gate), up: slow(up), down: slow(down), biases: () => Promise.resolve(biases!) };
  }

  weightsOf(layer: number, expert: number): FfnWeights {
    return weights[LAYERS.indexOf(layer)]![expert]!;
  }

  checkUnchanged(): Promise<void> {
    return this.isChanged ? Promise.reject(new Error('CHECKPOINT_CHANGED')) : Promise.resolve();
  }
}

interface Tiers {
  readonly tiered: TieredExperts;
  readonly memories: KernelMemories;
  readonly folder: Folder;
  /** By layer and expert. */
  readonly experts: readonly (readonly TieredExpert[])[];
}

function tiersOf(numSlots: number, policy: (typeof TIER_POLICIES)[number] = 'frequency', limitBytes?: number): Tiers {
  const memories = new KernelMemories(limitBytes === undefined ? {} : { limitBytes, eachBytes: 9 * EACH_BYTES });
  const folder = new Folder();
  const tiered = new TieredExperts(memories, {
    ...{ sizes: SIZES, numTopk: NUM_TOPK, maxBytes: numSlots * EACH_BYTES, source: folder },
    layers: LAYERS.map((layer) => ({ layer, numExperts: NUM_EXPERTS })),
    slots: [{ dtype: 'bf16', numSlots }],
    policy: createTierPolicy(policy),
  });
  const experts = LAYERS.map((layer) => weights[0]!.map((_, expert) => tiered.open({ layer, expert }, 'bf16')));
  return { tiered, memories, folder, experts };
}

function received(reduce: Reduce, slots: readonly number[], seed = 1): ReceivedRows {
  const random = randomFrom(seed);
  const x = randomValues(random, (slots.length / NUM_TOPK) * SIZES.hidden);
  const own = reduce === 'rank' ? randomValues(random, slots.length) : new Float32Array(0);
  return arrayReceived(x, SIZES.hidden, Int32Array.from(slots), own, reduce);
}

const run = (tiered: TieredExperts, experts: readonly TieredExpert[], recv: ReceivedRows): Promise<Float32Array> =>
  valuesOf(tiered.forward(groupsOf(Array.from(recv.recvTopkIdx), experts), recv));

const row = fc
  .shuffledSubarray([0, 1, 2, 3, 4, -1, -1], { minLength: NUM_TOPK, maxLength: NUM_TOPK })
  .filter((slots) => slots.some((slot) => slot >= 0));
const call = fc.record({
  place: fc.nat(LAYERS.length - 1),
  rows: fc.array(row, { minLength: 1, maxLength: 5 }),
  reduce: fc.constantFrom<Reduce>('rank', 'source'),
});

describe('experts in tiers', () => {
  const memory = new KernelMemory();
  const resident = LAYERS.map((_, place) => weights[place]!.map((each) => KernelExpert.from(memory, each, 'bf16')));
  const runner = new KernelExperts(SIZES.hidden, NUM_TOPK);
  const expected = (place: number, recv: ReceivedRows): Promise<Float32Array> =>
    valuesOf(runner.forward(groupsOf(Array.from(recv.recvTopkIdx), resident[place]!), recv));

  for (const policy of TIER_POLICIES)
    it(`make the bits of experts that are all resident, with any number of places and any calls (${policy})`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 1, max: 9 }), fc.array(call, { maxLength: 12 }), async (numSlots, calls) => {
          const { tiered, memories, experts } = tiersOf(numSlots, policy);
          const taken = memories.stats().heldBytes;
          expect(taken).to.equal(numSlots * EACH_BYTES);
          for (const [i, { place, rows, reduce }] of calls.entries()) {
            const recv = received(reduce, rows.flat(), i);
            expect(isSameBits(await run(tiered, experts[place]!, recv), await expected(place, recv))).to.equal(true);
            const { heldBytes } = memories.stats();
            expect(heldBytes, 'never more than at the start').to.equal(taken);
          }
          expect(tiered.stats().residentBytes).to.equal(taken);
          tiered.dispose();
          await new Promise(setImmediate);
        }),
        { numRuns: 40 },
      );
    });

  it('places in several memories make the same bits', async () => {
    const start = new KernelMemory().allocate(64);
    const { tiered, memories, experts } = tiersOf(7, 'lru', start + 12 * EACH_BYTES);
    expect(memories.stats().numMemories).to.be.above(1);
    for (let i = 0; i < 12; i++) {
      const recv = received('rank', [0, 1, 2, 3, 4, i % 3], i);
      const place = i % 3;
      expect(isSameBits(await run(tiered, experts[place]!, recv), await expected(place, recv))).to.equal(true);
    }
    tiered.dispose();
  });

  it('what is resident computes at once, and is counted as a hit; what is read, as a wait', async () => {
    const { tiered, experts, folder } = tiersOf(3);
    const recv = received('rank', [0, 1, -1]);
    await run(tiered, experts[0]!, recv);
    const numReads = folder.numReads;
    const output = tiered.forward(groupsOf(Array.from(recv.recvTopkIdx), experts[0]!), recv);
    expect(output).to.not.be.instanceOf(Promise);
    expect(folder.numReads).to.equal(numReads);
    const { layers, numReads: counted, readBytes } = tiered.stats();
    expect([layers.hits[0], layers.waits[0], counted]).to.deep.equal([2, 2, 2]);
    expect(readBytes).to.be.above(0);
    tiered.dispose();
  });

  it('what is used often stays under frequency, while others come and go', async () => {
    const { tiered, experts } = tiersOf(3, 'frequency');
    for (let i = 0; i < 20; i++) {
      await run(tiered, experts[0]!, received('rank', [0, 1, -1]));
      await run(tiered, experts[1]!, received('rank', [i % NUM_EXPERTS, -1, -1]));
    }
    const { layers } = tiered.stats();
    expect(layers.waits[0]).to.be.within(2, 3); // until it was used more often than others
    expect(layers.waits[1]).to.be.above(10);
    tiered.dispose();
  });

  it('steps that want all experts find most of as many as there are places under frequency', async () => {
    const { tiered, experts } = tiersOf(10, 'frequency');
    const step = async (): Promise<void> => {
      for (const layer of experts) await run(tiered, layer, received('rank', [0, 1, 2, 3, 4, -1]));
    };
    const numHits = (): number => {
      const { hits, ahead } = tiered.stats().layers;
      return [...hits, ...ahead].reduce((a, b) => a + b, 0);
    };
    for (let i = 0; i < 5; i++) await step();
    const before = numHits();
    for (let i = 0; i < 20; i++) await step();
    expect((numHits() - before) / (20 * LAYERS.length * NUM_EXPERTS)).to.be.within(0.4, 10 / 15);
    tiered.dispose();
  });

  it('what always follows is read ahead, and found there', async () => {
    const { tiered, experts } = tiersOf(8, 'lru');
    for (let i = 0; i < 24; i++) {
      const first = i % NUM_EXPERTS;
      await run(tiered, experts[0]!, received('rank', [first, -1, -1]));
      for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate); // time to read
      await run(tiered, experts[1]!, received('rank', [(2 * first + 1) % NUM_EXPERTS, -1, -1]));
      for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
      await run(tiered, experts[2]!, received('rank', [(3 * first) % NUM_EXPERTS, -1, -1]));
    }
    const { layers, numAhead, numAheadUsed } = tiered.stats();
    expect(layers.ahead[1]).to.be.above(5);
    expect(numAheadUsed).to.be.at.most(numAhead).and.above(5);
    expect(layers.predicted[1]).to.be.above(10);
    tiered.dispose();
  });

  it('an expert that cannot be read ends the call with its name, what the folder said and what to do; the next call reads again', async () => {
    const { tiered, experts, folder } = tiersOf(2);
    folder.failing = '2.3';
    const recv = received('rank', [0, 3, 1]);
    const error = await errorOf(ExpertError, () => run(tiered, experts[1]!, recv));
    expect(error.code).to.equal('EXPERT_UNREADABLE');
    expect(error.message).to.include("expert 3 of layer 2 is not resident and can't be read: READ_FAILED");
    expect(error.advice).to.equal('try again');
    folder.failing = null;
    expect(isSameBits(await run(tiered, experts[1]!, recv), await expected(1, recv))).to.equal(true);
    tiered.dispose();
  });

  it('a folder that was written to is told of behind the step, once something was read', async () => {
    const { tiered, experts, folder } = tiersOf(2);
    folder.isChanged = true;
    await tiered.settle();
    await run(tiered, experts[1]!, received('rank', [0, 3, 1]));
    expect(String(await tiered.settle().catch(String))).to.include('CHECKPOINT_CHANGED');
    await tiered.settle();
    tiered.dispose();
  });

  it('a look at the folder while something is read is no look at what was read', async () => {
    const { tiered, experts, folder } = tiersOf(2);
    const reading = experts[2]![0]!.rows(0, 1);
    await tiered.settle();
    await reading;
    folder.isChanged = true;
    expect(String(await tiered.settle().catch(String))).to.include('CHECKPOINT_CHANGED');
    tiered.dispose();
  });

  it('rows of any expert are those that it has when it is resident', async () => {
    const { tiered, experts } = tiersOf(2);
    const numRows = numRowsOf(SIZES);
    for (const expert of [0, 1, 2, 0]) {
      const held = await experts[2]![expert]!.rows(0, numRows);
      expect(Buffer.concat(held).equals(Buffer.concat(await resident[2]![expert]!.rows(0, numRows)))).to.equal(true);
    }
    tiered.dispose();
  });

  it('an expert that another rank sent is resident where there is a place, and else must be what the folder has', async () => {
    const { tiered, memories } = tiersOf(1);
    const shape = { ...SIZES, dtype: 'bf16' } as const;
    const sent = async (expert: number): Promise<FfnWeights> =>
      weightsOf(shape, Buffer.concat(await resident[0]![expert]!.rows(0, numRowsOf(SIZES))));
    const taken = memories.stats().heldBytes;
    const [first, second, other] = [
      tiered.load(await sent(0), 'bf16', { layer: 1, expert: 0 }),
      tiered.load(await sent(1), 'bf16', { layer: 1, expert: 1 }),
      tiered.load(await sent(2), 'bf16', { layer: 1, expert: 3 }),
    ];
    expect([first, second, other].map(({ isReady }) => isReady)).to.deep.equal([true, false, false]);
    const recv = received('rank', [0, 1, -1]);
    expect(isSameBits(await run(tiered, [first, second], recv), await expected(0, recv))).to.equal(true);
    const error = await errorOf(ExpertError, () => run(tiered, [other], received('rank', [0, -1, -1])));
    expect(error.code).to.equal('EXPERT_UNREADABLE');
    expect(error.message).to.include('expert 3 of layer 1 is another one');
    expect(memories.stats().heldBytes).to.equal(taken);
    tiered.dispose();
  });

  /** Places of one type in a layer. */
  const placesOf = (dtype: 'f32' | 'int8', numSlots: number): TieredExperts =>
    new TieredExperts(new KernelMemories(), {
      ...{ sizes: SIZES, numTopk: NUM_TOPK, maxBytes: 0, source: new Folder(), policy: createTierPolicy('lru') },
      layers: [{ layer: 1, numExperts: NUM_EXPERTS }],
      slots: [{ dtype, numSlots }],
    });

  it('an expert that another rank sent is not sent on from a folder that has another one', async () => {
    const tiered = placesOf('f32', 1); // as in the folder, whose rows could be sent as they are
    const [first, same, another] = weights[0]! as [FfnWeights, FfnWeights, FfnWeights];
    tiered.load(first, 'f32', { layer: 1, expert: 0 }); // takes the place
    const good = tiered.load(same, 'f32', { layer: 1, expert: 1 });
    const bad = tiered.load(another, 'f32', { layer: 1, expert: 3 });
    expect(Buffer.from((await good.rows(0, 1))[0]!)).to.deep.equal(Buffer.from(same.gate.bytes.slice(0, 4 * 24)));
    const error = await errorOf(ExpertError, () => bad.rows(0, 1));
    expect(error.message).to.include('expert 3 of layer 1 is another one');
    tiered.dispose();
  });

  it('an expert from elsewhere whose weights can’t be kept is not held', async () => {
    const tiered = placesOf('int8', 1);
    const { gate, ...others } = weights[0]![0]!;
    const bytes = new Uint8Array(gate.bytes).fill(0xff, 0, 4); // no number, for which there is no code
    const load = (): unknown => tiered.load({ ...others, gate: { ...gate, bytes } }, 'int8', { layer: 1, expert: 0 });
    expect((await errorOf(ExpertError, () => Promise.resolve().then(load))).code).to.equal('NOT_FINITE');
    expect(tiered.stats()).to.include({ numHeld: 0, numResident: 0 });
    tiered.dispose();
  });

  it('experts that go leave their places, also while they are read', async () => {
    const { tiered, experts, memories } = tiersOf(3);
    await run(tiered, experts[0]!, received('rank', [0, 1, 2]));
    experts[0]![0]!.dispose();
    experts[0]![0]!.dispose();
    expect(tiered.stats()).to.include({ numHeld: 14, numResident: 2, numSlots: 3 });
    const reading = experts[1]![3]!.rows(0, 1);
    experts[1]![3]!.dispose();
    tiered.dispose();
    await Promise.allSettled([reading]);
    expect(memories.stats().heldBytes).to.equal(0);
  });

  it('who waits for an expert that goes, or for tiers that end, is told so', async () => {
    const { memories, folder } = tiersOf(1);
    const tiered = new TieredExperts(memories, {
      ...{ sizes: SIZES, numTopk: NUM_TOPK, maxBytes: 0, source: folder, policy: createTierPolicy('lru') },
      layers: [{ layer: 1, numExperts: NUM_EXPERTS }],
      slots: [{ dtype: 'int8', numSlots: 1 }], // of another type than the folder's: rows come by way of the place
    });
    const [read, waiting, last] = [0, 1, 2].map((expert) => tiered.open({ layer: 1, expert }, 'int8')) as [
      TieredExpert,
      TieredExpert,
      TieredExpert,
    ];
    const rows = [read, waiting].map((expert) => errorOf(ExpertError, () => expert.rows(0, 1)));
    read.dispose();
    waiting.dispose();
    for (const error of await Promise.all(rows))
      expect(error.message).to.match(/^MISSING_EXPERT: expert [01] of layer 1/);
    const call = errorOf(ExpertError, () => run(tiered, [last, last], received('rank', [0, -1, -1])));
    tiered.dispose();
    expect((await call).code).to.equal('MISSING_EXPERT');
  });

  it('a policy that throws ends the call alone: nothing stays wanted', async () => {
    const memories = new KernelMemories();
    let isFailing = true;
    const tiered = new TieredExperts(memories, {
      ...{ sizes: SIZES, numTopk: NUM_TOPK, maxBytes: 0, source: new Folder() },
      layers: LAYERS.map((layer) => ({ layer, numExperts: NUM_EXPERTS })),
      slots: [{ dtype: 'bf16', numSlots: 1 }],
      policy: () => {
        if (isFailing) throw new ExpertError('INVALID_ARGUMENT', 'of this test; go on');
        return 0;
      },
    });
    const experts = [0, 1].map((expert) => tiered.open({ layer: 1, expert }, 'bf16'));
    await run(tiered, experts, received('rank', [0, -1, -1]));
    await errorOf(ExpertError, () => run(tiered, experts, received('rank', [1, -1, -1])));
    isFailing = false;
    const recv = received('rank', [1, 0, -1]);
    expect(isSameBits(await run(tiered, experts, recv), await expected(0, recv))).to.equal(true);
    tiered.dispose();
  });
});
