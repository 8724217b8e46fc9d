import { expect } from 'chai';
import fc from 'fast-check';
import { ExpertError } from '../../../compute/base/errors.js';
import { planSlots, planWarm, slotBytes } from '../../../experts/tiers/tier_plan.js';
import { errorOf } from '../../kit/rejects.js';

const kind = (dtype: 'bf16' | 'int8', eachBytes: number, numExperts: number, mostHeld = numExperts) => ({
  ...{ dtype, eachBytes, numExperts, mostHeld },
});

describe('places for experts', () => {
  it('are as many as fit, and no more than the rank may hold', () => {
    const kinds = [kind('bf16', 100, 64, 16)];
    expect(planSlots(1099, kinds)).to.deep.equal([{ dtype: 'bf16', numSlots: 10 }]);
    expect(planSlots(99_999, kinds)).to.deep.equal([{ dtype: 'bf16', numSlots: 16 }]);
    expect(planSlots(100, kinds)).to.deep.equal([{ dtype: 'bf16', numSlots: 1 }]);
  });

  it('are divided among types as the model mixes them', () => {
    const slots = planSlots(20 * 100 + 10 * 60, [kind('bf16', 100, 40), kind('int8', 60, 20)]);
    expect(slots.map(({ numSlots }) => numSlots)).to.deep.equal([20, 10]);
  });

  it('of any types fit into what is allowed, one of each at least, and leave no room for another', () => {
    const some = fc.record({
      eachBytes: fc.integer({ min: 1, max: 500 }),
      numExperts: fc.integer({ min: 1, max: 40 }),
    });
    fc.assert(
      fc.property(some, some, fc.nat(20_000), fc.integer({ min: 1, max: 40 }), (a, b, more, most) => {
        const kinds = [
          kind('bf16', a.eachBytes, a.numExperts, Math.min(a.numExperts, most)),
          kind('int8', b.eachBytes, b.numExperts, Math.min(b.numExperts, most)),
        ];
        const maxBytes = a.eachBytes + b.eachBytes + more;
        const slots = planSlots(maxBytes, kinds);
        const left = maxBytes - slotBytes(slots, kinds);
        expect(left).to.be.at.least(0);
        for (const [i, { eachBytes, mostHeld }] of kinds.entries()) {
          expect(slots[i]!.numSlots).to.be.within(1, mostHeld);
          if (slots[i]!.numSlots < mostHeld) expect(left).to.be.below(eachBytes);
        }
      }),
    );
  });

  it('for copies are as many as fit, and no more than the rank may hold', () => {
    const kinds = [kind('bf16', 100, 40), kind('int8', 60, 20)];
    expect(planWarm({ dtype: 'int4', maxBytes: 399 }, 40, kinds, 60)).to.equal(9);
    expect(planWarm({ dtype: 'int4', maxBytes: 99_999 }, 40, kinds, 60)).to.equal(60);
    expect(planWarm({ dtype: 'int8', maxBytes: 60 }, 60, kinds, 60), 'of the larger ones').to.equal(1);
  });

  it('for copies that save nothing, or of which none fits, are refused with both numbers', async () => {
    const same = await errorOf(ExpertError, () =>
      planWarm({ dtype: 'int8', maxBytes: 999 }, 60, [kind('int8', 60, 4)], 4),
    );
    expect(same.message).to.equal(
      'INVALID_ARGUMENT: experts.warm.dtype is int8, of which an expert takes 60 bytes, and experts as int8 take 60; choose a type of fewer bits, or leave experts.warm.bytes out',
    );
    const few = await errorOf(ExpertError, () =>
      planWarm({ dtype: 'int8', maxBytes: 59 }, 60, [kind('bf16', 100, 4)], 4),
    );
    expect(few.message).to.include(
      'experts.warm.bytes is 59, a copy of an expert as int8 takes 60 bytes; give at least',
    );
  });

  it('fewer bytes than an expert takes are refused with both numbers', async () => {
    const one = await errorOf(ExpertError, () => planSlots(99, [kind('bf16', 100, 4)]));
    expect(one.message).to.include('experts.max_resident_bytes is 99, an expert takes 100 bytes; give at least');
    const two = await errorOf(ExpertError, () => planSlots(159, [kind('bf16', 100, 4), kind('int8', 60, 4)]));
    expect(two.message).to.include('an expert of each of 2 types takes 160 bytes');
  });
});
