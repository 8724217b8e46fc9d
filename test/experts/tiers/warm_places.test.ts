import { expect } from 'chai';
import fc from 'fast-check';
import type { FfnWeights } from '../../../compute/base/ffn_weights.js';
import { storedOf, type StoredFfn } from '../../../compute/base/stored_matrix.js';
import { numRowsOf } from '../../../compute/base/weight_rows.js';
import { convertMatrix, type WeightDtype, type WeightMatrix } from '../../../compute/base/weight_matrix.js';
import { KernelExpert, expertBytes } from '../../../compute/wasm/experts/kernel_expert.js';
import { KernelExperts } from '../../../compute/wasm/experts/kernel_experts.js';
import { KernelMemories } from '../../../compute/wasm/memory/kernel_memories.js';
import { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { createTierPolicy, TIER_POLICIES, type TierPolicy } from '../../../experts/tiers/tier_policy.js';
import { TieredExperts } from '../../../experts/tiers/tiered_experts.js';
import type { TieredExpert } from '../../../experts/tiers/tiered_expert.js';
import { arrayReceived, groupsOf, valuesOf } from '../../kit/kernels/expert_calls.js';
import { biasedMatrices } from '../../kit/kernels/kernel_rows.js';
import { isSameBits, randomFrom, randomValues } from '../../refs/random.js';

const SIZES = { hidden: 40, intermediate: 36, hasBias: true };
const NUM_TOPK = 2;
const NUM_EXPERTS = 5;
const LAYERS = [1, 2];
const bytesAs = (dtype: WeightDtype): number => expertBytes(SIZES, dtype, { kind: 'swiglu' });

/** By layer and expert, of bfloat16. */
const weights = LAYERS.map((layer) =>
  Array.from({ length: NUM_EXPERTS }, (_, i) => {
    const { gate, up, down, biases } = biasedMatrices(40, 36, randomFrom(10 * layer + i));
    const [ofGate, ofUp, ofDown] = [gate, up, down].map((each) => convertMatrix(each, 'bf16')) as [
      WeightMatrix,
      WeightMatrix,
      WeightMatrix,
    ];
    return { gate: ofGate, up: ofUp, down: ofDown, biases: biases! };
  }),
);

/** Weights that are read in a turn of the event loop. */
function stored({ gate, up, down, biases }: FfnWeights, onRead: () => void): StoredFfn {
  const slow = (matrix: FfnWeights['gate']): StoredFfn['gate'] => {
    const each = storedOf(matrix);
    return {
      ...each,
      readRows: async (from, target) => {
        await new Promise(setImmediate);
        onRead();
        await each.readRows(from, target);
      },
    };
  };
  return { gate: slow(gate), up: slow(up), down: slow(down), biases: () => Promise.resolve(biases!) };
}

interface Warm {
  readonly tiered: TieredExperts;
  readonly memories: KernelMemories;
  readonly experts: readonly (readonly TieredExpert[])[];
  readonly numReads: () => number;
}

interface WarmOptions {
  readonly numSlots: number;
  readonly numWarm: number;
  readonly own?: WeightDtype;
  readonly dtype?: WeightDtype;
  readonly policy?: TierPolicy;
}

function warmOf({ numSlots, numWarm, own = 'bf16', dtype = 'int8', policy }: WarmOptions, of = weights): Warm {
  const memories = new KernelMemories({});
  let numReads = 0;
  const source = {
    stored: (layer: number, expert: number) => stored(of[LAYERS.indexOf(layer)]![expert]!, () => numReads++),
    checkUnchanged: () => Promise.resolve(),
  };
  const tiered = new TieredExperts(memories, {
    ...{ sizes: SIZES, numTopk: NUM_TOPK, maxBytes: numSlots * bytesAs(own), source },
    layers: LAYERS.map((layer) => ({ layer, numExperts: NUM_EXPERTS })),
    slots: [{ dtype: own, numSlots }],
    warm: { dtype, numSlots: numWarm, maxBytes: numWarm * bytesAs(dtype) },
    policy: policy ?? createTierPolicy('frequency'),
  });
  const experts = LAYERS.map((layer) => of[0]!.map((_, expert) => tiered.open({ layer, expert }, own)));
  return { tiered, memories, experts, numReads: () => numReads };
}

/** What reads and copies beside calls take. */
async function quiet(): Promise<void> {
  for (let turn = 0; turn < 40; turn++) await new Promise(setImmediate);
}

const received = (slots: readonly number[], seed = 1) =>
  arrayReceived(
    randomValues(randomFrom(seed), (slots.length / NUM_TOPK) * SIZES.hidden),
    SIZES.hidden,
    Int32Array.from(slots),
    new Float32Array(0),
    'source',
  );

const run = (warm: Pick<Warm, 'tiered' | 'experts'>, place: number, slots: readonly number[], seed = 1) => {
  const recv = received(slots, seed);
  return valuesOf(warm.tiered.forward(groupsOf(Array.from(slots), warm.experts[place]!), recv));
};

const rowsOf = (values: Float32Array): Float32Array[] =>
  Array.from({ length: values.length / SIZES.hidden }, (_, i) =>
    values.subarray(i * SIZES.hidden, (i + 1) * SIZES.hidden),
  );

describe('warm copies of experts', () => {
  const memory = new KernelMemory();
  const runner = new KernelExperts(SIZES.hidden, NUM_TOPK);
  const residents = new Map<WeightDtype, KernelExpert[][]>();
  const resident = (dtype: WeightDtype): KernelExpert[][] => {
    const made =
      residents.get(dtype) ?? weights.map((each) => each.map((one) => KernelExpert.from(memory, one, dtype)));
    residents.set(dtype, made);
    return made;
  };
  const expected = (dtype: WeightDtype, place: number, slots: readonly number[], seed = 1) =>
    valuesOf(runner.forward(groupsOf(Array.from(slots), resident(dtype)[place]!), received(slots, seed)));

  for (const dtype of ['int8', 'fp8', 'int4', 'uint4'] as const) {
    it(`compute what experts that are resident as ${dtype} do, to the bit, without a read`, async () => {
      const warm = warmOf({ numSlots: 1, numWarm: 10, dtype });
      for (let e = 0; e < NUM_EXPERTS; e++) await run(warm, 0, [e, -1]);
      await quiet();
      const hot = warm.experts[0]!.findIndex(({ isReady }) => isReady);
      const others = [0, 1, 2, 3, 4].filter((e) => e !== hot);
      const before = warm.tiered.stats();
      const output = warm.tiered.forward(groupsOf(others, warm.experts[0]!), received(others));
      expect(output).to.not.be.instanceOf(Promise);
      expect(isSameBits(await valuesOf(output), await expected(dtype, 0, others))).to.equal(true);
      const { layers, warm: kept, waitMs } = warm.tiered.stats();
      expect(layers.warm[0]! - before.layers.warm[0]!).to.equal(4);
      expect([layers.waits[0], waitMs]).to.deep.equal([before.layers.waits[0], before.waitMs]);
      expect(kept).to.deep.include({ dtype, numSlots: 10, residentBytes: 10 * bytesAs(dtype) });
      await quiet();
      warm.tiered.dispose();
    });
  }

  it('are made of what is resident, whatever type that is', async () => {
    for (const [own, dtype] of [
      ['f32', 'bf16'],
      ['int8', 'int4'],
      ['uint4', 'int4'],
    ] as const) {
      const warm = warmOf({ numSlots: 1, numWarm: 2, own, dtype });
      for (const e of [0, 1]) await run(warm, 0, [e, -1]);
      await quiet();
      const copied = warm.experts[0]!.find(({ warm: copy }) => copy?.isReady)!;
      const numRows = numRowsOf(SIZES);
      const whole = resident(own)[0]![copied.expert]!;
      const { gate, up, down } = whole;
      const matrices = [gate, up, down].map((each) => ({
        ...{ dtype: own, rows: each.rows, columns: each.columns, bytes: each.readRows(0, each.rows) },
      }));
      const [ofGate, ofUp, ofDown] = matrices as [FfnWeights['gate'], FfnWeights['gate'], FfnWeights['gate']];
      const again = KernelExpert.from(memory, { gate: ofGate, up: ofUp, down: ofDown, biases: whole.biases()! }, dtype);
      const bytesOf = async (expert: KernelExpert): Promise<Buffer> => Buffer.concat(await expert.rows(0, numRows));
      expect((await bytesOf(copied.warm!.expert)).equals(await bytesOf(again)), `${own} as ${dtype}`).to.equal(true);
      again.dispose();
      warm.tiered.dispose();
    }
  });

  const call = fc.record({
    place: fc.nat(LAYERS.length - 1),
    slots: fc.array(fc.shuffledSubarray([0, 1, 2, 3, 4, -1], { minLength: NUM_TOPK, maxLength: NUM_TOPK }), {
      minLength: 1,
      maxLength: 3,
    }),
    isQuiet: fc.boolean(),
  });

  for (const name of TIER_POLICIES)
    it(`take no more memory than at the start, and each row is that of the expert or of its copy (${name})`, async () => {
      const places = fc.integer({ min: 1, max: 5 });
      await fc.assert(
        fc.asyncProperty(places, places, fc.array(call, { maxLength: 14 }), async (numSlots, numWarm, calls) => {
          const warm = warmOf({ numSlots, numWarm, policy: createTierPolicy(name) });
          const taken = numSlots * bytesAs('bf16') + numWarm * bytesAs('int8');
          for (const [seed, { place, slots, isQuiet }] of calls.entries()) {
            const all = slots.flat();
            const hot = warm.experts[place]!.map(({ isReady }) => isReady);
            const rows = rowsOf(await run(warm, place, all, seed));
            const [own, copies] = [await expected('bf16', place, all, seed), await expected('int8', place, all, seed)];
            const chosen = all.filter((e) => e >= 0);
            for (const [i, row] of rows.entries()) {
              const isOwn = isSameBits(row, rowsOf(own)[i]!);
              expect(isOwn || isSameBits(row, rowsOf(copies)[i]!)).to.equal(true);
              if (hot[chosen[i]!]) expect(isOwn, 'what is resident is computed as it is').to.equal(true);
            }
            expect(warm.memories.stats().heldBytes).to.equal(taken);
            if (isQuiet) await quiet();
          }
          warm.tiered.dispose();
          await quiet();
          expect(warm.memories.stats().heldBytes, 'all is given back').to.be.below(bytesAs('int8'));
        }),
        { numRuns: 40 },
      );
    });

  it('come to be resident where they were used more than what is, but for the place that goes next', async () => {
    const warm = warmOf({ numSlots: 2, numWarm: 4 });
    for (const e of [0, 1, 2]) await run(warm, 0, [e, -1]);
    await quiet();
    const resident = (): number[] => warm.experts[0]!.flatMap(({ isReady }, e) => (isReady ? [e] : []));
    expect(resident()).to.deep.equal([1, 2]);
    await run(warm, 0, [0, -1]);
    await quiet();
    expect(resident(), 'used once before, as they').to.deep.equal([1, 2]);
    await run(warm, 0, [0, -1]);
    await quiet();
    expect(resident()).to.deep.equal([0, 1]);
    expect(warm.tiered.stats().warm!.numRaised).to.equal(1);
    const own = await expected('bf16', 0, [0, -1]);
    expect(isSameBits(await run(warm, 0, [0, -1]), own)).to.equal(true);
    warm.tiered.dispose();
  });

  it('stay of what is read again, which then leaves without another one being made', async () => {
    const warm = warmOf({ numSlots: 2, numWarm: 4 });
    for (let i = 0; i < 8; i++) {
      for (let times = 0; times < 2 ** i; times++) await run(warm, 0, [i % 3, -1]);
      await quiet();
    }
    const { numReads, numResident, warm: copies } = warm.tiered.stats();
    expect(copies!.numMade).to.equal(3);
    expect(numReads - numResident, 'left').to.be.above(3);
    warm.tiered.dispose();
  });

  it('aren’t made of what is used less than what has one', async () => {
    const warm = warmOf({ numSlots: 1, numWarm: 1 });
    for (const e of [0, 0, 0, 1, 2, 1]) {
      await run(warm, 0, [e, -1]);
      await quiet();
    }
    expect(warm.experts[0]!.map(({ warm: copy }) => copy !== null)).to.deep.equal([true, false, false, false, false]);
    expect(warm.tiered.stats().warm!.numMade).to.equal(1);
    warm.tiered.dispose();
  });

  it('go with experts that go, also while they are made', async () => {
    const warm = warmOf({ numSlots: 1, numWarm: 4 });
    for (const e of [0, 1, 2]) await run(warm, 0, [e, -1]);
    await quiet();
    expect(warm.tiered.stats().warm!.numResident).to.equal(2);
    warm.experts[0]![0]!.dispose();
    expect(warm.tiered.stats().warm!.numResident).to.equal(1);
    const next = run(warm, 0, [3, -1]); // 2 leaves
    warm.experts[0]![2]!.dispose();
    await next;
    await quiet();
    expect(warm.tiered.stats().warm!.numResident).to.equal(1);
    expect(warm.experts[0]![2]!.warm).to.equal(null);
    warm.tiered.dispose();
    expect(warm.memories.stats().heldBytes).to.be.below(bytesAs('int8'));
  });

  it('come to be resident a few at a time, so that what is wanted and on disk is read at once beside them', async () => {
    const numExperts = 24;
    const sizes = { hidden: 40, intermediate: 36, hasBias: true };
    const memories = new KernelMemories({});
    const tiered = new TieredExperts(memories, {
      ...{ sizes, numTopk: NUM_TOPK, maxBytes: 16 * bytesAs('bf16') },
      source: {
        stored: (_, expert) => stored(weights[0]![expert % NUM_EXPERTS]!, () => undefined),
        checkUnchanged: () => Promise.resolve(),
      },
      layers: [{ layer: 1, numExperts }],
      slots: [{ dtype: 'bf16', numSlots: 16 }],
      warm: { dtype: 'int8', numSlots: 8, maxBytes: 8 * bytesAs('int8') },
      policy: (holders) => holders.length - 1,
    });
    const all = Array.from({ length: numExperts }, (_, expert) => tiered.open({ layer: 1, expert }, 'bf16'));
    const used = { tiered, experts: [all] };
    for (let e = 0; e < 20; e++) await run(used, 0, [e, -1]);
    await quiet();
    const copied = [15, 16, 17, 18];
    expect(copied.map((e) => all[e]!.warm?.isReady)).to.deep.equal([true, true, true, true]);
    await run(used, 0, copied);
    expect(all.filter(({ reading }) => reading !== null)).to.have.lengthOf(2);
    const output = run(used, 0, [23, -1]);
    expect(all[23]!.reading).to.not.equal(null);
    await output;
    await quiet();
    tiered.dispose();
  });

  it('are never what is sent to another rank', async () => {
    const warm = warmOf({ numSlots: 1, numWarm: 4 });
    for (const e of [0, 1, 2]) await run(warm, 0, [e, -1]);
    await quiet();
    const numRows = numRowsOf(SIZES);
    const rows = Buffer.concat(await warm.experts[0]![0]!.rows(0, numRows));
    const own = Buffer.concat(await resident('bf16')[0]![0]!.rows(0, numRows));
    expect(rows.equals(own)).to.equal(true);
    warm.tiered.dispose();
  });

  it('aren’t made of what has no code, which is read when it is wanted', async () => {
    const infinite = weights.map((ofLayer) =>
      ofLayer.map((each) => ({ ...each, up: { ...each.up, bytes: each.up.bytes.slice() } })),
    );
    const { bytes } = infinite[0]![0]!.up;
    new DataView(bytes.buffer).setUint16(0, 0x7f80, true);
    const warm = warmOf({ numSlots: 1, numWarm: 4 }, infinite);
    for (const e of [0, 1, 0]) {
      await run(warm, 0, [e, -1]);
      await quiet();
    }
    expect(warm.tiered.stats().layers).to.deep.include({ warm: [0, 0], waits: [3, 0] });
    expect(warm.tiered.stats().warm!.numResident).to.equal(1);
    warm.tiered.dispose();
  });
});
