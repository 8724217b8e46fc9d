import { expect } from 'chai';
import fc from 'fast-check';
import { ExpertError } from '../../../compute/base/errors.js';
import { PLAIN_GATE, type GateSpec } from '../../../compute/base/gate_spec.js';
import { forcedRouting, Gate } from '../../../experts/routing/gate.js';
import { selectExperts } from '../../../experts/routing/select_experts.js';
import { matMul, rowsOf, selectBackend, tensorMemory, toTensor } from '../../../compute/tfjs/tf.js';
import { gateCases } from '../../kit/kernels/gate_cases.js';
import { errorOf } from '../../kit/rejects.js';
import { routeRef } from '../../refs/gate_ref.js';
import { randomFrom, randomValues } from '../../refs/random.js';

const SOFTMAX: GateSpec = { ...PLAIN_GATE, numExperts: 8, numTopk: 3 };
const SIGMOID: GateSpec = {
  ...SOFTMAX,
  scoring: 'sigmoid',
  groups: { numGroups: 4, topkGroups: 2, score: 'top2_sum' },
  normTopkProb: true,
  normEps: 1e-20,
  routedScalingFactor: 2.5,
};

const route = (logits: readonly number[], spec: GateSpec, bias: readonly number[] | null = null) => {
  const { topkIdx, topkWeights } = selectExperts(Float32Array.from(logits), spec, bias && Float32Array.from(bias));
  return { experts: [...topkIdx], weights: [...topkWeights] };
};

describe('gate', () => {
  before(() => selectBackend('wasm'));

  it('a bias that is not finite is refused where it enters: it would send every token to one expert', async () => {
    for (const bad of [NaN, Infinity, -Infinity]) {
      const bias = Float32Array.of(0, 0, 0, bad, 0, 0, 0, 0);
      const weight = toTensor(new Float32Array(16), [2, 8]);
      for (const make of [
        () => new Gate({ gate_HE: weight, gateBias_E: null, bias_E: bias }, SIGMOID),
        () => new Gate({ gate_HE: weight, gateBias_E: bias, bias_E: null }, SIGMOID),
        () => selectExperts(new Float32Array(8), SIGMOID, bias),
      ]) {
        const error = await errorOf(ExpertError, make);
        expect([error.code, error.message]).to.deep.equal([
          'NOT_FINITE',
          `NOT_FINITE: the gate's bias of expert 3 is ${bad}; check the checkpoint`,
        ]);
      }
      weight.dispose();
    }
  });

  it('chooses and weighs as the sorting reference does, for any scoring, groups, bias and ties', () => {
    fc.assert(
      fc.property(gateCases, ({ spec, logits, bias }) => {
        const got = route(logits.flat(), spec, bias);
        const expected = logits.map((row) => routeRef(row, spec, bias));
        expect(got.experts).to.deep.equal(expected.flatMap(({ experts }) => experts));
        expected
          .flatMap(({ weights }) => weights)
          .forEach((weight, i) => expect(got.weights[i]).to.be.closeTo(weight, 1e-6 * Math.abs(weight)));
      }),
      { numRuns: 500 },
    );
  });

  it('weighs choices that are given all alike, to the sum of normalised ones', () => {
    const { topkIdx, topkWeights } = forcedRouting(Int32Array.of(5, 0, 7, 1, 2, 3), { ...SIGMOID, numTopk: 3 });
    expect([...topkIdx]).to.deep.equal([5, 0, 7, 1, 2, 3]);
    expect([...topkWeights]).to.deep.equal(new Array<number>(6).fill(Math.fround(2.5 / 3)));
  });

  it('chooses distinct experts of at most topkGroups groups', () => {
    fc.assert(
      fc.property(gateCases, ({ spec, logits, bias }) => {
        for (const row of logits) {
          const { experts } = route(row, spec, bias);
          expect(new Set(experts).size).to.equal(spec.numTopk);
          if (spec.groups === null) continue;
          const { numGroups, topkGroups } = spec.groups;
          const groups = new Set(experts.map((e) => Math.floor((e * numGroups) / spec.numExperts)));
          expect(groups.size).to.be.at.most(topkGroups);
        }
      }),
    );
  });

  it('gives the hand-computed choice of a sigmoid gate with groups', () => {
    // Scores 0.5 but where a logit is given; groups of two: 0 + 1, 2 + 3, 4 + 5, 6 + 7.
    const logits = [4, -9, 1, 1, 0, 0, 2, 1];
    // Group sums: 0.982, 1.462, 1, 1.612: groups 1 and 3 stay, although expert 0 is the best of all.
    const { experts, weights } = route(logits, SIGMOID);
    expect(experts).to.deep.equal([6, 2, 3]);
    const [high, low] = [1 / (1 + Math.exp(-2)), 1 / (1 + Math.exp(-1))];
    const sum = high + 2 * low;
    [high, low, low].forEach((score, k) => expect(weights[k]).to.be.closeTo((2.5 * score) / sum, 1e-6));
  });

  it('ties go to the lower expert and the lower group', () => {
    expect(route([0, 0, 0, 0, 0, 0, 0, 0], SOFTMAX).experts).to.deep.equal([0, 1, 2]);
    expect(route([0, 0, 0, 0, 0, 0, 0, 0], SIGMOID).experts).to.deep.equal([0, 1, 2]);
    expect(route([0, 1, 0, 1, 0, 1, 0, 1], SOFTMAX).experts).to.deep.equal([1, 3, 5]);
  });

  it('never chooses an expert of a masked group, not even where all kept biased scores are below zero', () => {
    const bias = [-9, -9, -9, -9, -20, -20, -20, -20];
    const spec = { ...SIGMOID, groups: { numGroups: 2, topkGroups: 1, score: 'top2_sum' as const }, numTopk: 4 };
    expect(route([0, 0, 0, 0, 8, 8, 8, 8], spec, bias).experts).to.deep.equal([0, 1, 2, 3]);
  });

  it('the bias moves the choice and never the weights', () => {
    const logits = [3, 2, 1, 0, -1, -2, -3, -4];
    const spec = { ...SIGMOID, groups: null, numTopk: 2, normTopkProb: false, routedScalingFactor: 1 };
    const { experts, weights } = route(logits, spec, [0, 0, 0, 0, 0, 0, 5, 4]);
    expect(experts).to.deep.equal([6, 7]);
    [-3, -4].forEach((logit, k) => expect(weights[k]).to.be.closeTo(1 / (1 + Math.exp(-logit)), 1e-7));
  });

  it('one group of all experts is no restriction', () => {
    const logits = randomValues(randomFrom(1), 64, 3);
    const grouped = selectExperts(logits, { ...SOFTMAX, groups: { numGroups: 1, topkGroups: 1, score: 'max' } }, null);
    expect(grouped).to.deep.equal(selectExperts(logits, SOFTMAX, null));
  });

  it('as many choices as the kept groups have experts takes them all', () => {
    const { experts } = route([0, 1, 9, 9, 2, 3, 8, 8], { ...SIGMOID, numTopk: 4 });
    expect([...experts].sort((a, b) => a - b)).to.deep.equal([2, 3, 6, 7]);
  });

  it('normalised weights sum to the scaling factor, softmax weights without it to at most one', () => {
    fc.assert(
      fc.property(gateCases, ({ spec, logits, bias }) => {
        for (const row of logits) {
          const { weights } = route(row, { ...spec, normEps: 0, normMin: 0 }, bias);
          const sum = weights.reduce((a, b) => a + b, 0) / spec.routedScalingFactor;
          if (spec.normTopkProb) expect(sum).to.be.closeTo(1, 1e-5);
          else if (spec.scoring === 'softmax') expect(sum).to.be.at.most(1 + 1e-5);
        }
      }),
    );
  });

  it('groups by their best expert keep others than groups by the sum of their two best', () => {
    // Softmax scores rise with the logits: the best of each group are 3, 2.9, 1, 0; the sums prefer the second group.
    const logits = [3, -9, 2.9, 2.8, 1, 1, 0, 0];
    const groups = { numGroups: 4, topkGroups: 1 };
    expect(route(logits, { ...SOFTMAX, numTopk: 2, groups: { ...groups, score: 'max' } }).experts).to.deep.equal([
      0, 1,
    ]);
    expect(route(logits, { ...SOFTMAX, numTopk: 2, groups: { ...groups, score: 'top2_sum' } }).experts).to.deep.equal([
      2, 3,
    ]);
  });

  it('normalised weights of a softmax are a softmax over the chosen logits alone', () => {
    const logits = [0.3, 2, -1, 0.5, 1.5, -3, 0, 1];
    const { experts, weights } = route(logits, { ...SOFTMAX, normTopkProb: true });
    expect(experts).to.deep.equal([1, 4, 7]);
    const powers = experts.map((e) => Math.exp(logits[e]!));
    powers.forEach((power, k) => expect(weights[k]).to.be.closeTo(power / powers.reduce((a, b) => a + b), 1e-7));
  });

  it('a sum below normMin counts as normMin', () => {
    const spec = { ...SOFTMAX, numTopk: 1, normTopkProb: true, normMin: 0.5 };
    expect(route([0, 0, 0, 0, 0, 0, 0, 0], spec).weights).to.deep.equal([0.25]);
    expect(route([9, 0, 0, 0, 0, 0, 0, 0], spec).weights).to.deep.equal([1]);
  });

  it('gives the hand-computed choice of a sparsemixer: each weighs against those near it that are left', () => {
    const spec: GateSpec = { ...SOFTMAX, numTopk: 2, scoring: { kind: 'sparsemixer', jitterEps: 0.01 } };
    // Within 2 % of 10 is 9.9; 9.75 isn't, but is within 2 % of 9.9; −10 is nothing's neighbour.
    const { experts, weights } = route([1, 9.75, -10, 10, 0, 9.9, 3, 9.5], spec);
    expect(experts).to.deep.equal([3, 5]);
    expect(weights[0]).to.be.closeTo(1 / (1 + Math.exp(-0.1)), 1e-6);
    expect(weights[1]).to.be.closeTo(1 / (1 + Math.exp(-0.15)), 1e-6);
  });

  it('huge logits give finite weights', () => {
    for (const spec of [SOFTMAX, SIGMOID]) {
      const { weights } = route([1e30, -1e30, 88, -88, 0, 1e30, -1e30, 700], spec);
      expect(weights.every(Number.isFinite)).to.equal(true);
    }
  });

  it('no tokens have no choices', () => {
    expect(route([], SOFTMAX)).to.deep.equal({ experts: [], weights: [] });
  });

  it('refuses logits that are not rows of all experts, with both numbers', async () => {
    const error = await errorOf(ExpertError, () => selectExperts(new Float32Array(9), SOFTMAX, null));
    expect(error.code).to.equal('INVALID_ARGUMENT');
    expect(error.message).to.contain('9 values').and.contain('8 experts');
  });

  it('refuses logits that are not finite, naming expert and token', async () => {
    const logits = new Float32Array(16);
    logits[11] = NaN;
    const error = await errorOf(ExpertError, () => selectExperts(logits, SOFTMAX, null));
    expect(error.code).to.equal('NOT_FINITE');
    expect(error.message).to.contain('expert 3 for token 1 is NaN');
  });

  it('route() selects from x·W and its bias, and leaves no tensor but its weights', async () => {
    const random = randomFrom(2);
    const before = tensorMemory().numTensors;
    const weight = randomValues(random, 16 * 8);
    const x_TH = toTensor(randomValues(random, 5 * 16), [5, 16]);
    const gateBias_E = randomValues(random, 8, 3);
    const gate = new Gate({ gate_HE: toTensor(weight, [16, 8]), gateBias_E, bias_E: null }, SOFTMAX);
    const routing = gate.select(await gate.logits(x_TH));
    expect(tensorMemory().numTensors).to.equal(before + 2);
    const weight_HE = toTensor(weight, [16, 8]);
    const logits_TE = matMul(x_TH, weight_HE);
    const logits = (await rowsOf(logits_TE)).map((logit, i) => logit + gateBias_E[i % 8]!);
    expect(routing).to.deep.equal(selectExperts(logits, SOFTMAX, null));
    for (const part of [gate, x_TH, weight_HE, logits_TE]) part.dispose();
    expect(tensorMemory().numTensors).to.equal(before);
  });
});
