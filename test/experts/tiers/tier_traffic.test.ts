/** Calls, rows for other ranks, experts that go and come back, all at once: whatever the order, bits are those of all resident, and nobody waits for ever. */
import { expect } from 'chai';
import fc from 'fast-check';
import type { ReceivedRows } from '../../../base/received_rows.js';
import { ExpertError } from '../../../compute/base/errors.js';
import { storedOf, type StoredFfn } from '../../../compute/base/stored_matrix.js';
import { numRowsOf } from '../../../compute/base/weight_rows.js';
import type { WeightDtype } from '../../../compute/base/weight_matrix.js';
import { KernelExpert, expertBytes } from '../../../compute/wasm/experts/kernel_expert.js';
import { KernelExperts } from '../../../compute/wasm/experts/kernel_experts.js';
import { KernelMemories } from '../../../compute/wasm/memory/kernel_memories.js';
import { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { TieredExperts, type WarmTier } from '../../../experts/tiers/tiered_experts.js';
import type { TieredExpert } from '../../../experts/tiers/tiered_expert.js';
import { arrayReceived, groupsOf, valuesOf } from '../../kit/kernels/expert_calls.js';
import { biasedMatrices } from '../../kit/kernels/kernel_rows.js';
import { isSameBits, randomFrom, randomValues } from '../../refs/random.js';

const SIZES = { hidden: 24, intermediate: 20, hasBias: true };
const NUM_TOPK = 2;
const NUM_EXPERTS = 4;
const LAYERS = [0, 1];
const WARM: WarmTier = { dtype: 'int8', numSlots: 2, maxBytes: 2 * expertBytes(SIZES, 'int8', { kind: 'swiglu' }) };
const NUM_ROWS = numRowsOf(SIZES);

const weights = LAYERS.map((layer) =>
  Array.from({ length: NUM_EXPERTS }, (_, i) => biasedMatrices(24, 20, randomFrom(10 * layer + i))),
);

/** Reads take as many turns of the event loop as they are told to. */
function folder(turns: () => number) {
  return {
    stored(layer: number, expert: number): StoredFfn {
      const { gate, up, down, biases } = weights[layer]![expert]!;
      const slow = (matrix: typeof gate): StoredFfn['gate'] => {
        const stored = storedOf(matrix);
        return {
          ...stored,
          readRows: async (from, target) => {
            for (let left = turns(); left > 0; left--) await new Promise(setImmediate);
            await stored.readRows(from, target);
          },
        };
      };
      return { gate: slow(gate), up: slow(up), down: slow(down), biases: () => Promise.resolve(biases!) };
    },
    checkUnchanged: () => Promise.resolve(),
  };
}

const place = fc.record({ layer: fc.nat(LAYERS.length - 1), expert: fc.nat(NUM_EXPERTS - 1) });
const action = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('call' as const), place, numExperts: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('rows' as const), place }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('leave' as const, 'arrive' as const), place }) },
);

function received(experts: readonly number[], seed: number): ReceivedRows {
  const random = randomFrom(seed);
  const slots = experts.flatMap((expert) => [expert, -1]);
  const x = randomValues(random, experts.length * SIZES.hidden);
  return arrayReceived(x, SIZES.hidden, Int32Array.from(slots), randomValues(random, slots.length), 'rank');
}

describe('experts in tiers, under traffic', () => {
  const kinds: readonly { readonly dtype: WeightDtype; readonly warm?: WarmTier; readonly how: string }[] = [
    { how: 'as in the folder', dtype: 'f32' },
    { how: 'of another type', dtype: 'int8' },
    { how: 'of which some have warm copies, whose calls are not exact', dtype: 'f32', warm: WARM },
  ];
  for (const { dtype, warm, how } of kinds)
    it(`make the bits of all resident, and give the rows of any, ${how}`, async () => {
      const memory = new KernelMemory();
      const resident = weights.map((layer) => layer.map((each) => KernelExpert.from(memory, each, dtype)));
      const runner = new KernelExperts(SIZES.hidden, NUM_TOPK);
      const rowsOf = await Promise.all(
        resident.map((layer) => Promise.all(layer.map(async (each) => Buffer.concat(await each.rows(0, NUM_ROWS))))),
      );
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 1, max: 5 }),
          fc.array(action, { minLength: 4, maxLength: 30 }),
          fc.nat(),
          async (numSlots, actions, seed) => {
            const random = randomFrom(seed);
            const memories = new KernelMemories();
            const tiered = new TieredExperts(memories, {
              ...{ sizes: SIZES, numTopk: NUM_TOPK, maxBytes: 0, source: folder(() => Math.floor(4 * random())) },
              layers: LAYERS.map((layer) => ({ layer, numExperts: NUM_EXPERTS })),
              slots: [{ dtype, numSlots }],
              ...(warm && { warm }),
              policy: (holders) => Math.floor(random() * holders.length),
            });
            const taken = memories.stats().heldBytes;
            const each = expertBytes(SIZES, dtype, { kind: 'swiglu' });
            expect(taken).to.equal(numSlots * each + (warm?.maxBytes ?? 0));
            const held = weights.map((all, layer) => all.map((_, expert) => tiered.open({ layer, expert }, dtype)));
            const sending: Promise<void>[] = [];
            for (const [i, { kind, place: at, ...more }] of actions.entries()) {
              const { layer, expert } = at;
              const own = held[layer]![expert]!;
              if (kind === 'rows')
                sending.push(sameRows(own, rowsOf[layer]![expert]!, () => held[layer]![expert] !== own));
              if (kind === 'leave' || kind === 'arrive') {
                own.dispose();
                held[layer]![expert] =
                  kind === 'leave' ? tiered.open(at, dtype) : tiered.load(weights[layer]![expert]!, dtype, at);
              }
              if (kind !== 'call') continue;
              const { numExperts } = more as { readonly numExperts: number };
              const recv = received(
                Array.from({ length: numExperts }, (_, n) => (expert + n) % NUM_EXPERTS),
                i,
              );
              const slots = Array.from(recv.recvTopkIdx);
              const got = await valuesOf(tiered.forward(groupsOf(slots, held[layer]!), recv));
              const expected = await valuesOf(runner.forward(groupsOf(slots, resident[layer]!), recv));
              if (warm === undefined) expect(isSameBits(got, expected)).to.equal(true);
              else expect(got.length).to.equal(expected.length);
            }
            await Promise.all(sending);
            expect(memories.stats().heldBytes).to.equal(taken);
            for (const expert of held.flat()) expert.dispose();
            expect(tiered.stats()).to.include({ numHeld: 0, numResident: 0 });
            tiered.dispose();
          },
        ),
        { numRuns: 30 },
      );
    });
});

/** Of one that went meanwhile there may be none. */
async function sameRows(expert: TieredExpert, expected: Buffer, isGone: () => boolean): Promise<void> {
  try {
    expect(Buffer.concat(await expert.rows(0, NUM_ROWS)).equals(expected)).to.equal(true);
  } catch (error) {
    if (!(error instanceof ExpertError && error.code === 'MISSING_EXPERT' && isGone())) throw error;
  }
}
