import { expect } from 'chai';
import { TierCounts } from '../../../experts/tiers/tier_counts.js';
import { HALF_LIFE_STEPS } from '../../../experts/tiers/tier_policy.js';
import { TierUse } from '../../../experts/tiers/tier_use.js';
import { TieredExpert } from '../../../experts/tiers/tiered_expert.js';

const NUM_EXPERTS = 4;

/** Experts of some layers of which none is resident. */
function useOf(numLayers: number) {
  const layers = Array.from({ length: numLayers }, (_, layer) => ({ layer, numExperts: NUM_EXPERTS }));
  const counts = new TierCounts(numLayers);
  const owner = { rows: () => Promise.resolve([]), release: () => undefined };
  const all = layers.map(({ layer }) =>
    Array.from({ length: NUM_EXPERTS }, (_, expert) => {
      const stored = {} as TieredExpert['stored']; // nobody reads it
      return new TieredExpert(owner, { layer, expert }, 'bf16', stored);
    }),
  );
  const use = new TierUse(layers, counts, all.flat());
  /** One call, and whether all that was predicted is worth reading. */
  const call = (layer: number, expert: number, turn = 0): boolean => {
    use.note([all[layer]![expert]!], turn);
    const { experts } = use.predict();
    return experts.map((predicted) => use.isWorthReading(predicted)).some(Boolean);
  };
  return { all, call, counts };
}

describe('the use of experts', () => {
  it('of a layer that the rank had nothing to do in, guesses were wrong, and none are of the layer behind it', () => {
    const { call, counts } = useOf(3);
    // Expert 1 always follows expert 0 in the next layer.
    for (let i = 0; i < 40; i++) for (const layer of [0, 1, 2]) call(layer, layer % 2);
    expect(call(0, 0), 'then it is worth reading').to.equal(true);
    const predicted = counts.snapshot().layers.predicted[2];
    for (let i = 0; i < 200; i++) {
      call(0, 0);
      call(2, 1);
      call(1, 2);
    }
    expect(counts.snapshot().layers.predicted[2], 'it was never predicted').to.equal(predicted);
    expect(call(0, 0), 'and it is not, once the layer was left out often').to.equal(false);
  });

  for (const numLayers of [1, 3])
    it(`a use counts half ${HALF_LIFE_STEPS} steps later, also where a rank has to do with one of ${numLayers} layers alone`, () => {
      const { call, all } = useOf(numLayers);
      call(0, 0);
      for (let step = 0; step < HALF_LIFE_STEPS; step++) for (const turn of [0, 1]) call(0, 1, turn);
      call(0, 2);
      call(0, 1); // what a step used counts when it is over
      const [once, often, now] = all[0]! as [TieredExpert, TieredExpert, TieredExpert, TieredExpert];
      expect(now.frequency / once.frequency).to.be.closeTo(2, 0.02);
      expect(often.frequency).to.be.above(100 * now.frequency);
    });

  it('is known as it was before the last use in the unit of all others, also once that changed', () => {
    const { call, all } = useOf(1);
    const expert = all[0]![0]!;
    const numSteps = 512 * HALF_LIFE_STEPS; // until frequencies are scaled down
    for (let step = 0; step < numSteps - 40; step++) call(0, 1);
    for (const used of [0, 1, 0, 1]) call(0, used);
    const share = expert.earlier.frequency / expert.frequency;
    expect(share).to.be.within(0.1, 0.9);
    for (let step = 0; step < 80; step++) call(0, 1);
    expect(expert.frequency, 'it was scaled').to.be.below(10);
    expect(expert.earlier.frequency / expert.frequency).to.be.closeTo(share, 1e-9);
  });
});
