import { expect } from 'chai';
import fc from 'fast-check';
import { PLAIN_GATE, type GateSpec, type Routing } from '../../../compute/base/gate_spec.js';
import { selectExperts } from '../../../experts/routing/select_experts.js';
import { skipChoices } from '../../../experts/routing/skip_choices.js';
import { gateCases } from '../../kit/kernels/gate_cases.js';

const GATE: GateSpec = { ...PLAIN_GATE, numExperts: 8, numTopk: 3 };

const routing = (experts: readonly number[], weights: readonly number[]): Routing => ({
  topkIdx: Int32Array.from(experts),
  topkWeights: Float32Array.from(weights),
});

const told = ({ topkIdx, topkWeights, numSkipped }: Routing): unknown[] => [[...topkIdx], [...topkWeights], numSkipped];

describe('choices that weigh little', () => {
  it('are skipped below the share of their own token’s largest weight, and not at it', () => {
    const two = routing([3, 1, 7, 0, 2, 5], [0.5, 0.25, 0.125, 0.5, 0.5, 0.25]);
    const skipped = skipChoices(two, { ...GATE, skipThreshold: 0.5 });
    expect(told(skipped)).to.deep.equal([[3, 1, -1, 0, 2, 5], [0.5, 0.25, 0, 0.5, 0.5, 0.25], 1]);
    expect(told(two)).to.deep.equal([[3, 1, 7, 0, 2, 5], [0.5, 0.25, 0.125, 0.5, 0.5, 0.25], undefined]);
  });

  it('leave what they weighed to the others where the gate normalises', () => {
    const gate = { ...GATE, normTopkProb: true, skipThreshold: 0.6 };
    expect(told(skipChoices(routing([3, 1, 7], [0.5, 0.25, 0.25]), gate))).to.deep.equal([[3, -1, -1], [1, 0, 0], 2]);
  });

  it('may stand anywhere among a token’s choices, and nobody is none', () => {
    const gate = { ...GATE, normTopkProb: true, skipThreshold: 0.5 };
    const skipped = skipChoices(routing([-1, 1, 7], [0, 0.25, 0.75]), gate);
    expect(told(skipped)).to.deep.equal([[-1, -1, 7], [0, 0, 1], 1]);
  });

  it('are not those that weigh what is no number', () => {
    const skipped = skipChoices(routing([3, 1, 7, 0, 2, 5], [NaN, 0.25, 0.5, 0.5, 0.125, 0]), {
      ...GATE,
      skipThreshold: 0.5,
    });
    expect(told(skipped)).to.deep.equal([[3, 1, 7, 0, -1, -1], [NaN, 0.25, 0.5, 0.5, 0, 0], 2]);
  });

  it('are all computed at 0, and only the largest at 1', () => {
    fc.assert(
      fc.property(gateCases, ({ spec, logits, bias }) => {
        const all = selectExperts(Float32Array.from(logits.flat()), spec, bias && Float32Array.from(bias));
        expect(skipChoices(all, spec)).to.equal(all);
        expect(skipChoices(all, { ...spec, skipThreshold: 0 })).to.equal(all);
        const one = skipChoices(all, { ...spec, skipThreshold: 1 });
        for (let from = 0; from < all.topkIdx.length; from += spec.numTopk) {
          const weights = all.topkWeights.subarray(from, from + spec.numTopk);
          const largest = Math.max(...weights);
          const expected = [...weights].map((weight, k) => (weight < largest ? -1 : all.topkIdx[from + k]!));
          expect([...one.topkIdx.subarray(from, from + spec.numTopk)]).to.deep.equal(expected);
        }
      }),
    );
  });
});
