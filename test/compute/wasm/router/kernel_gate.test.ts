import { expect } from 'chai';
import { ExpertError } from '../../../../compute/base/errors.js';
import type { GateSpec } from '../../../../compute/base/gate_spec.js';
import { selectExperts } from '../../../../experts/routing/select_experts.js';
import { KernelGate, KernelRouted, type KernelGateWeights } from '../../../../compute/wasm/router/kernel_gate.js';
import { padded } from '../../../../compute/wasm/memory/resident_dtype.js';
import { KernelValues } from '../../../kit/kernels/kernel_values.js';
import { errorOf } from '../../../kit/rejects.js';
import { linearRef, normRef } from '../../../refs/attention_ref.js';
import { largestDifference, randomFrom, randomValues } from '../../../refs/random.js';

const HIDDEN = 37;
const EPS = 1e-6;
const SPEC: GateSpec = {
  numExperts: 12,
  numTopk: 3,
  scoring: 'sigmoid',
  groups: { numGroups: 3, topkGroups: 2, score: 'top2_sum' },
  normTopkProb: true,
  normEps: 1e-20,
  normMin: 0,
  routedScalingFactor: 2.5,
};

describe('gate of the kernels', () => {
  const values = new KernelValues();
  const { memory } = values;
  const random = randomFrom(1);
  const norm_H = randomValues(random, HIDDEN);
  const norm = { weight: norm_H, bias: null, eps: EPS };
  const weight = randomValues(random, SPEC.numExperts * HIDDEN);
  const gateBias_E = randomValues(random, SPEC.numExperts);
  const bias_E = randomValues(random, SPEC.numExperts, 0.2);

  const gateOf = (weights: Partial<KernelGateWeights> = {}): KernelGate => {
    const gate = values.matrix(weight, SPEC.numExperts, HIDDEN);
    return new KernelGate(memory, SPEC, { norm, gate, gateBias_E: null, bias_E, ...weights });
  };
  const rowsOf = (x: Float32Array): number[][] =>
    Array.from({ length: x.length / HIDDEN }, (_, t) => [...x.subarray(t * HIDDEN, (t + 1) * HIDDEN)]);
  let routed: KernelRouted;
  beforeEach(() => (routed = new KernelRouted(memory)));

  it('leaves normed rows with zeros behind them, and routes as the portable gate does by the same logits', () => {
    const gates = [gateOf(), gateOf({ gateBias_E })] as const;
    for (const numTokens of [5, 0, 1, 40, 3]) {
      const hasBias = numTokens % 2 === 1;
      const gate = gates[Number(hasBias)]!;
      const x = randomValues(random, numTokens * HIDDEN, 3);
      const at = values.rows(x, HIDDEN, padded(HIDDEN));
      const before = memory.floats(at, numTokens * padded(HIDDEN)).slice();
      const routing = gate.route(at, numTokens, routed);
      const normed = rowsOf(x).map((row) => normRef(norm_H, row, EPS));
      const zeros = new Array<number>(padded(HIDDEN) - HIDDEN).fill(0);
      const got = memory.floats(routed.normed, numTokens * padded(HIDDEN));
      expect(
        largestDifference(
          got,
          normed.flatMap((row) => [...row, ...zeros]),
        ),
      ).to.be.below(1e-6);
      const logits = Float32Array.from({ length: numTokens * SPEC.numExperts }, (_, i) => routed.logit(i));
      expect(
        largestDifference(
          logits,
          normed.flatMap((row) => linearRef(weight, row).map((logit, e) => logit + (hasBias ? gateBias_E[e]! : 0))),
        ),
      ).to.be.below(1e-5);
      const expected = selectExperts(logits, SPEC, bias_E);
      expect(routing.topkIdx).to.deep.equal(expected.topkIdx);
      expect(largestDifference(routing.topkWeights, expected.topkWeights)).to.be.below(1e-6);
      expect(memory.floats(at, before.length)).to.deep.equal(before);
    }
  });

  it('a logit that is not finite is a NOT_FINITE error with its token and expert', async () => {
    const gate = gateOf({
      gate: values.matrix(
        weight.map((w, i) => (i === 4 * HIDDEN ? Infinity : w)),
        SPEC.numExperts,
        HIDDEN,
      ),
    });
    const x = randomValues(random, 3 * HIDDEN).fill(0, 0, HIDDEN);
    x[HIDDEN] = NaN;
    const error = await errorOf(ExpertError, () => gate.route(values.rows(x, HIDDEN, padded(HIDDEN)), 3, routed));
    expect(error.message).to.match(/^NOT_FINITE: the gate's logit of expert 4 for token 0 is NaN; check/);
  });

  it('a bias that is not finite, and weights of another shape, are refused', async () => {
    const bad = bias_E.map((bias, e) => (e === 7 ? NaN : bias));
    for (const wrong of [{ bias_E: bad }, { gateBias_E: bad }])
      expect((await errorOf(ExpertError, () => gateOf(wrong))).message).to.match(/^NOT_FINITE: .*expert 7 is NaN/);
    for (const wrong of [
      { norm: { ...norm, weight: norm_H.slice(1) } },
      { bias_E: bias_E.slice(1) },
      { gateBias_E: gateBias_E.slice(1) },
      { gate: values.matrix(weight, HIDDEN, SPEC.numExperts) },
    ]) {
      expect((await errorOf(ExpertError, () => gateOf(wrong))).code).to.equal('INVALID_ARGUMENT');
    }
  });

  it('layers with more experts than the one before route as well in what it left', () => {
    const x = values.rows(randomValues(random, 9 * HIDDEN), HIDDEN, padded(HIDDEN));
    const gates = [2, 4, 6, 12].map((numExperts) => {
      const gate = values.matrix(weight.subarray(0, numExperts * HIDDEN), numExperts, HIDDEN);
      const spec = { ...SPEC, numExperts, numTopk: 2, groups: null };
      return new KernelGate(memory, spec, { norm, gate, gateBias_E: null, bias_E: null });
    });
    const turns = gates.flatMap((_, n) => gates.slice(0, n + 1)); // each but the first is the largest so far once
    routed.dispose();
    routed = new KernelRouted(memory);
    for (const [turn, gate] of turns.entries()) {
      const numTokens = turn === 0 ? 9 : 1;
      const routing = gate.route(x, numTokens, routed);
      const logits = routed.allLogits(numTokens * gate.spec.numExperts);
      expect(routing, `turn ${turn}`).to.deep.equal(selectExperts(logits, gate.spec, null));
    }
  });

  it('routing again and again takes no further memory', () => {
    const gate = gateOf();
    const x = values.rows(randomValues(random, 8 * HIDDEN), HIDDEN, padded(HIDDEN));
    gate.route(x, 8, routed);
    const { usedBytes } = memory;
    for (let i = 0; i < 1000; i++) gate.route(x, i % 9, routed);
    expect(memory.usedBytes).to.equal(usedBytes);
  });

  it('gives everything back', () => {
    const fresh = new KernelValues();
    const gate = fresh.matrix(weight, SPEC.numExperts, HIDDEN);
    const owner = new KernelGate(fresh.memory, SPEC, { norm, gate, gateBias_E, bias_E });
    const rows = new KernelRouted(fresh.memory);
    owner.route(fresh.rows(new Float32Array(HIDDEN), HIDDEN, padded(HIDDEN)), 1, rows);
    owner.dispose();
    rows.dispose();
    fresh.free();
    expect(fresh.memory.usedBytes).to.equal(0);
  });
});
