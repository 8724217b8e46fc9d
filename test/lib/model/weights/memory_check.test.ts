import { expect } from 'chai';
import fc from 'fast-check';
import { ExpertError } from '../../../../compute/base/errors.js';
import type { UndividedPart } from '../../../../lib/model/weights/dense_sizes.js';
import type { Footprint, FootprintAt } from '../../../../lib/model/weights/footprint.js';
import type { FootprintAs } from '../../../../lib/model/weights/footprint_changes.js';
import { checkMemory, type MemoryLimits } from '../../../../lib/model/weights/memory_check.js';
import type { Residence } from '../../../../lib/model/weights/residence.js';

const GIB = 2 ** 30;
const KERNELS: Residence = { compute: 'kernels', experts: 'bf16', dense: 'auto' };
const TENSORS: Residence = { compute: 'tensors', experts: 'f32', dense: 'auto' };
const LIMITS: MemoryLimits = {
  backend: 'wasm',
  rank: 2,
  numRanks: 4,
  availableBytes: 16 * GIB,
  totalBytes: 24 * GIB,
  ranksHere: 1,
  memoryBytes: 4 * GIB,
  gpu: null,
};
const NATIVE: MemoryLimits = { ...LIMITS, backend: 'tensorflow' };
const SMALL: Footprint = {
  dense: GIB / 4,
  experts: GIB,
  moving: 0,
  cache: GIB / 8,
  activations: GIB / 64,
  received: 0,
  receivedEach: 0,
  largestTensor: 0,
  largestPart: null,
  spread: null,
};

/** Experts divided in any pieces. */
const divided =
  (footprint: Footprint, numRanks: number): FootprintAt =>
  (others) => ({
    ...footprint,
    experts: (footprint.experts * numRanks) / others,
    moving: (footprint.moving * numRanks) / others,
  });

const SMALL_AT = divided(SMALL, LIMITS.numRanks);

/** Of a value, about. */
const VALUE_BYTES = { f32: 4, bf16: 2, int8: 1.125, int4: 0.625 } as const;
const bytesOf = (choice: string): number => VALUE_BYTES[(choice === 'auto' ? 'bf16' : choice) as 'bf16'];

/** Weights of one type, that shrink with it. */
const kept =
  (footprint: Footprint, { experts, dense }: Residence): FootprintAs =>
  (changed) => {
    const ofExperts = bytesOf(changed.experts ?? String(experts)) / bytesOf(String(experts));
    const ofDense = bytesOf(changed.dense ?? dense) / bytesOf(dense);
    const part = footprint.largestPart;
    return {
      ...footprint,
      dense: footprint.dense * ofDense,
      experts: Math.min(footprint.experts * ofExperts, changed.maxResidentBytes ?? Infinity),
      moving: footprint.moving * ofExperts,
      largestPart: part && { ...part, weights: part.weights * (part.name === 'the embedding' ? 1 : ofDense) },
    };
  };

/** The message, or null where it fits. */
function refusal(
  changed: Partial<Footprint>,
  residence: Residence,
  limits: Partial<MemoryLimits> = {},
  at?: FootprintAt,
): string | null {
  const footprint = { ...SMALL, ...changed };
  const all = { ...LIMITS, ...limits };
  try {
    const others = { at: at ?? divided(footprint, all.numRanks), as: kept(footprint, residence) };
    checkMemory(footprint, residence, all, others);
    return null;
  } catch (error) {
    expect(error).to.be.instanceOf(ExpertError).and.to.have.property('code', 'OUT_OF_MEMORY');
    return (error as ExpertError).message;
  }
}

const gpu = (freeGib: number | null, numRanks = 1): Partial<MemoryLimits> => ({
  backend: 'tensorflow',
  gpu: { device: '1', freeBytes: freeGib === null ? null : freeGib * GIB, numRanks },
});

describe('the memory of a rank', () => {
  it('that is enough is accepted', () => {
    for (const residence of [KERNELS, TENSORS])
      checkMemory(SMALL, residence, LIMITS, { at: SMALL_AT, as: kept(SMALL, residence) });
    expect(refusal({ experts: 12 * GIB }, KERNELS)).to.equal(null);
    expect(refusal({ experts: 12 * GIB }, TENSORS, NATIVE)).to.equal(null);
  });

  it('of tensors on wasm is limited: both numbers, the kernels and the ranks that it needs', () => {
    const message = refusal({ experts: 2 * GIB }, TENSORS);
    expect(message).to.contain('this rank would hold 2.25 GiB of float32 weights (dense 0.25 GiB, experts 2.00 GiB)');
    expect(message).to.match(
      /wasm backend holds 1\.50 GiB; use compute: kernels, or spread the experts over 7 ranks on as many machines$/,
    );
    const alone = refusal({ experts: 2 * GIB }, TENSORS, { numRanks: 4, ranksHere: 4 });
    expect(alone, 'each process has its own heap').to.match(/over 7 ranks here$/);
  });

  it('of tensors on wasm is that of the KV cache too, which is packed like weights', () => {
    expect(refusal({ cache: GIB / 2 }, TENSORS)).to.equal(null);
    const message = refusal({ cache: GIB }, TENSORS);
    expect(message).to.contain('would hold 4.52 GiB (weights 1.25 GiB and KV cache 1.00 GiB, both twice');
    expect(message).to.contain('wasm backend holds 4.00 GiB; use compute: kernels, or lower engine.num_kv_blocks');
    expect(refusal({ cache: GIB }, TENSORS, NATIVE)).to.equal(null);
  });

  it('of a layer, the embedding or the head must be one kernel memory: both numbers, and what makes it smaller', () => {
    const part = { name: 'layer 7', weights: GIB, cache: GIB, activations: GIB / 4 };
    const of = (changed: Partial<UndividedPart>, residence = KERNELS): string | null =>
      refusal({ largestPart: { ...part, ...changed } }, residence);
    expect(of({})).to.equal(null);
    expect(of({ weights: 2.75 * GIB }), 'all of it').to.equal(null);
    const message = of({ cache: 4 * GIB });
    expect(message).to.contain("would hold 5.25 GiB of layer 7 that can't be divided (weights 1.00 GiB, KV cache 4.00");
    expect(message).to.match(/, and a kernel memory holds 4\.00 GiB; lower engine\.num_kv_blocks$/);
    expect(of({ activations: 4 * GIB })).to.match(/; lower engine\.max_num_batched_tokens$/);
    expect(of({ weights: 3.5 * GIB })).to.match(
      /; lower engine\.num_kv_blocks, or set dense\.resident to int8, which fits$/,
    );
    const f32 = { ...KERNELS, dense: 'f32' } as const;
    expect(of({ weights: 5 * GIB }, f32)).to.match(/; set dense\.resident to bf16, which fits$/);
    expect(of({ name: 'the embedding', weights: 5 * GIB, cache: 0 })).to.match(/use compute: tensors with backend/);
    expect(of({ weights: 9 * GIB })).to.match(/; use compute: tensors with backend: tensorflow$/);
  });

  it('of dense weights and cache together may be several kernel memories, as far as the machine has them', () => {
    expect(refusal({ dense: 9 * GIB, cache: 5 * GIB }, KERNELS)).to.equal(null);
    const message = refusal({ dense: 9 * GIB, cache: 7 * GIB }, KERNELS);
    expect(message).to.contain('would hold 17.02 GiB').and.contain('this machine has 16.00 GiB left');
    expect(message).to.match(/; set dense\.resident to int8, which fits, or lower engine\.num_kv_blocks$/);
  });

  it('of all ranks of a machine must be there together', () => {
    const message = refusal({ experts: 8 * GIB }, KERNELS, { ranksHere: 4 });
    expect(message).to.contain('would hold 8.39 GiB').and.contain('4 such ranks share a machine with 24.00 GiB');
    expect(message).to.match(
      /; set experts\.resident to int8, which fits, or keep .*: 5744MiB, or spread the experts over 6 ranks with 4 on each machine, as now$/,
    );
    expect(refusal({ experts: 8 * GIB }, KERNELS, { ranksHere: 2 })).to.equal(null);
  });

  it('is that of a tier too, of each rank and wherever tensors lie', () => {
    const tiers = 15.75 * GIB;
    const message = refusal({ tiers }, KERNELS);
    expect(message).to.contain('would hold 17.14 GiB').and.contain('KV blocks of the ram tier 15.75 GiB');
    expect(message).to.match(/this machine has 16\.00 GiB left; lower ram in engine\.kv_tiers$/);
    expect(refusal({ tiers: 5 * GIB }, KERNELS, { ranksHere: 4 })).to.contain('lower ram in engine.kv_tiers');
    expect(refusal({ tiers: 4 * GIB }, KERNELS, { ranksHere: 4 })).to.equal(null);
    expect(refusal({ tiers: 16 * GIB }, TENSORS, gpu(2))).to.equal(null);
    expect(refusal({ tiers: 17 * GIB }, TENSORS, gpu(2))).to.match(
      /its GPU, KV blocks.*; lower ram in engine\.kv_tiers$/,
    );
    expect(refusal({ tiers }, TENSORS)).to.match(/; lower ram in engine\.kv_tiers$/);
  });

  it('may be enough for fewer ranks, which hold the dense weights less often', () => {
    const message = refusal({ dense: 3 * GIB, experts: GIB }, KERNELS, { ranksHere: 4, totalBytes: 12 * GIB });
    expect(message).to.match(/; set dense\.resident to int8, which fits, or use 2 ranks here$/);
  });

  it('beyond what the machine has is refused with what would fit', () => {
    const message = refusal({ experts: 20 * GIB }, KERNELS);
    expect(message).to.contain('would hold 20.39 GiB').and.contain('this machine has 16.00 GiB left');
    expect(message).to.contain('set experts.resident to int8, which fits, or keep some experts on disk with');
    expect(message).to.contain('experts.max_resident_bytes: 15984MiB, or spread the experts over 6 ranks');
    expect(refusal({ experts: 40 * GIB }, KERNELS)).to.contain('set experts.resident to int4, which fits');
    const f32 = refusal({ experts: 20 * GIB }, { ...KERNELS, experts: 'f32' });
    expect(f32).to.contain('set experts.resident to bf16, which fits');
    expect(refusal({ experts: 20 * GIB }, TENSORS, NATIVE)).not.to.contain('resident');
    expect(refusal({ dense: 3 * GIB }, KERNELS, { availableBytes: GIB })).to.contain('take a machine with more memory');
  });

  it('has room for experts beside copies of those on disk, also where no whole number of experts fills it', () => {
    const [each, copies] = [0.35 * GIB, GIB];
    const footprint = { ...SMALL, experts: 21 * GIB };
    const as: FootprintAs = ({ experts, dense, maxResidentBytes, warm }) => {
      if (experts !== undefined || dense !== undefined || maxResidentBytes == null) return null;
      return { ...SMALL, experts: Math.floor(maxResidentBytes / each) * each + (warm === null ? 0 : copies) };
    };
    const check = (): void => checkMemory(footprint, KERNELS, LIMITS, { at: () => null, as });
    expect(check).to.throw(/; keep some experts on disk with experts.max_resident_bytes: 14960MiB$/);
  });

  it('of a GPU is divided by the ranks that share it', () => {
    const experts = 10 * GIB;
    expect(refusal({ experts }, TENSORS, gpu(12))).to.equal(null);
    const message = refusal({ experts }, TENSORS, gpu(12, 2));
    expect(message).to.contain('would hold 10.39 GiB (dense 0.25 GiB, experts 10.00 GiB, KV cache 0.13 GiB) on GPU 1');
    expect(message).to.contain('which has 12.00 GiB free for 2 such ranks');
    expect(message).to.match(
      /; give each rank a GPU of its own, or spread the experts over 8 ranks with 2 on each GPU, as now$/,
    );
    expect(refusal({ experts: 20 * GIB }, TENSORS, gpu(12))).to.match(/over 7 ranks with a GPU each$/);
    expect(refusal({ dense: 20 * GIB }, TENSORS, gpu(12))).to.match(/; take GPUs with more memory, or backend: wasm$/);
  });

  it('of a GPU of which nothing is known is no reason to refuse', () => {
    expect(refusal({ experts: 900 * GIB }, TENSORS, gpu(null))).to.equal(null);
  });

  it('of the machine must be enough for what is on its way to a GPU, and no more', () => {
    const limits = { ...gpu(80), availableBytes: 3 * GIB, totalBytes: 8 * GIB };
    expect(refusal({ experts: 40 * GIB, largestTensor: GIB }, TENSORS, limits)).to.equal(null);
    const message = refusal({ experts: 40 * GIB, largestTensor: 2 * GIB }, TENSORS, limits);
    expect(message).to.contain('6.00 GiB (tensors on their way to its GPU), and this machine has 3.00 GiB left');
    const shared = refusal({ largestTensor: GIB }, TENSORS, { ...limits, ranksHere: 3 });
    expect(shared).to.contain('3 such ranks share a machine with 8.00 GiB');
  });

  it('is asked of the device for each tensor alone', () => {
    const limits = { backend: 'webgpu', maxTensorBytes: GIB / 8 } as const;
    expect(refusal({ largestTensor: GIB / 8 }, TENSORS, limits)).to.equal(null);
    expect(refusal({ largestTensor: GIB / 2 }, TENSORS, limits)).to.match(
      /a tensor of 0\.50 GiB, and the device of backend webgpu takes 0\.13 GiB at most; use backend: tensorflow or wasm$/,
    );
  });
});

describe('the number of ranks that would fit', () => {
  const bytes = fc.integer({ min: 1, max: 400 }).map((mib) => mib * 2 ** 20);
  const cases = fc.record({
    expert: bytes,
    dense: bytes,
    cache: bytes,
    numExperts: fc.integer({ min: 1, max: 64 }),
    numRanks: fc.integer({ min: 1, max: 6 }),
    where: fc.constantFrom('machine', 'shared', 'gpu', 'shared_gpu', 'wasm'),
    room: fc.integer({ min: 1, max: 4000 }).map((mib) => mib * 2 ** 20),
  });
  type Given = (typeof cases extends fc.Arbitrary<infer T> ? T : never) & object;

  const atOf =
    ({ expert, dense, cache, numExperts }: Given): FootprintAt =>
    (numRanks) => ({
      ...{ dense, cache, experts: expert * Math.ceil(numExperts / numRanks) },
      ...{ moving: 0, activations: 0, received: numRanks * 2 ** 10, receivedEach: 0, largestTensor: 0 },
      ...{ largestPart: null, spread: null },
    });

  /** As `where` says, and otherwise endless. */
  function limitsOf({ where, room }: Given, numRanks: number, ranksHere: number): MemoryLimits {
    const endless = { ...LIMITS, numRanks, ranksHere, availableBytes: Infinity, totalBytes: Infinity };
    switch (where) {
      case 'machine':
        return { ...endless, ranksHere: 1, backend: 'cpu', availableBytes: room };
      case 'shared':
        return { ...endless, backend: 'cpu', totalBytes: room };
      case 'wasm':
        return endless;
      case 'gpu':
      case 'shared_gpu': {
        const sharing = where === 'gpu' ? 1 : 3;
        return { ...endless, ...gpu(0), gpu: { device: '0', freeBytes: room, numRanks: sharing } };
      }
    }
  }

  const messageOf = (given: Given, numRanks: number, ranksHere: number): string | null =>
    refusal(atOf(given)(numRanks)!, TENSORS, limitsOf(given, numRanks, ranksHere), atOf(given));

  it('is right: with as many it fits, with one fewer it does not', () => {
    let numAdvised = 0;
    fc.assert(
      fc.property(cases, (given) => {
        const { numRanks } = given;
        const message = messageOf(given, numRanks, numRanks);
        if (message === null) return;
        const [, more, how] = /spread the experts over (\d+) ranks (.*?)(?:, or |$)/.exec(message) ?? [];
        if (more !== undefined) {
          numAdvised++;
          const ranksHere = (count: number): number => (how === 'here' ? count : numRanks);
          expect(messageOf(given, Number(more), ranksHere(Number(more))), message).to.equal(null);
          const fewer = Number(more) - 1;
          if (fewer > numRanks) expect(messageOf(given, fewer, ranksHere(fewer)), message).not.to.equal(null);
        }
        const [, here] = /use (\d+) ranks? here/.exec(message) ?? [];
        if (here === undefined) return;
        numAdvised++;
        expect(messageOf(given, Number(here), Number(here)), message).to.equal(null);
        if (Number(here) + 1 < numRanks) {
          expect(messageOf(given, Number(here) + 1, Number(here) + 1), message).not.to.equal(null);
        }
      }),
      { numRuns: 500 },
    );
    expect(numAdvised).to.be.above(20);
  });
});
