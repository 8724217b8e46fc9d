import { expect } from 'chai';
import fc from 'fast-check';
import type { GateSpec } from '../../../../compute/base/gate_spec.js';
import { selectExperts } from '../../../../experts/routing/select_experts.js';
import { Descriptor } from '../../../../compute/wasm/memory/descriptor.js';
import { ROUTER } from '../../../../compute/wasm/memory/layouts.js';
import { routerFields } from '../../../../compute/wasm/router/router_fields.js';
import { gateCases } from '../../../kit/kernels/gate_cases.js';
import { KernelValues } from '../../../kit/kernels/kernel_values.js';
import { randomFrom, randomValues } from '../../../refs/random.js';

interface Routed {
  readonly wrong: number;
  readonly experts: number[];
  readonly weights: number[];
}

function route(values: KernelValues, logits: Float32Array, spec: GateSpec, bias: Float32Array | null): Routed {
  const { memory } = values;
  const { numExperts, numTopk } = spec;
  const numRows = logits.length / numExperts;
  const router = new Descriptor(memory, ROUTER, routerFields(spec, bias === null ? 0 : values.floats(bias)));
  const [idx, weights] = [values.floats(numRows * numTopk), values.floats(numRows * numTopk)];
  const scratch = values.bytes(memory.kernels.routeBytes(router.address));
  const from = values.rows(logits, numExperts, numExperts + 3, NaN);
  const wrong = memory.kernels.route(from, numRows, numExperts + 3, router.address, idx, weights, scratch);
  router.dispose();
  const [experts, floats] = [memory.words(idx, numRows * numTopk), memory.floats(weights, numRows * numTopk)];
  return { wrong, experts: [...experts], weights: [...floats] };
}

/** DeepSeek-V3's. */
const SPEC: GateSpec = {
  numExperts: 256,
  numTopk: 8,
  scoring: 'sigmoid',
  groups: { numGroups: 8, topkGroups: 4, score: 'top2_sum' },
  normTopkProb: true,
  normEps: 1e-20,
  normMin: 0,
  routedScalingFactor: 2.5,
};

describe('router kernel', () => {
  const values = new KernelValues();
  afterEach(() => values.free());

  const agrees = (logits: Float32Array, spec: GateSpec, bias: Float32Array | null): void => {
    const got = route(values, logits, spec, bias);
    const expected = selectExperts(logits, spec, bias);
    expect(got.wrong).to.equal(-1);
    expect(got.experts).to.deep.equal([...expected.topkIdx]);
    expect(got.weights).to.deep.equal([...expected.topkWeights]);
    values.free();
  };

  it('chooses and weighs as experts/routing/gate.ts does, bit for bit, for any scoring, groups, bias and ties', () => {
    fc.assert(
      fc.property(gateCases, ({ spec, logits, bias }) => {
        agrees(Float32Array.from(logits.flat()), spec, bias && Float32Array.from(bias));
      }),
      { numRuns: 2000 },
    );
  });

  it('does so for many experts, and logits from −100 to 100', () => {
    const random = randomFrom(1);
    for (const scoring of ['softmax', 'sigmoid'] as const) {
      for (const scale of [1, 100]) {
        const bias = randomValues(random, SPEC.numExperts, 0.1);
        const logits = randomValues(random, 50 * SPEC.numExperts, scale);
        agrees(logits, { ...SPEC, scoring }, bias);
        agrees(logits, { ...SPEC, scoring, groups: null, normTopkProb: false }, null);
      }
    }
  });

  it('exp64 is Math.exp, bit for bit', () => {
    const { exp64 } = values.memory.kernels;
    const random = randomFrom(3);
    const edges = [
      0, -0, 1, -1, 709.782712893384, 709.7827128933841, 710, -745.1332191019411, -745.1332191019412, -708.5, -709,
    ];
    const spread = Array.from({ length: 300_000 }, () => (2 * random() - 1) * 10 ** (6 * random() - 3));
    for (const x of [...edges, Infinity, -Infinity, 0.3465735902799726, 1.0397207708399179, 2 ** -28, ...spread]) {
      if (!Object.is(exp64(x), Math.exp(x))) expect(exp64(x), `exp(${x})`).to.equal(Math.exp(x));
    }
  });

  it('reports the first logit that is not finite by row and expert', () => {
    for (const bad of [NaN, Infinity, -Infinity]) {
      const logits = randomValues(randomFrom(2), 4 * SPEC.numExperts);
      logits[2 * SPEC.numExperts + 77] = bad;
      logits[3 * SPEC.numExperts] = NaN;
      expect(route(values, logits, SPEC, null).wrong).to.equal(2 * SPEC.numExperts + 77);
      expect(() => selectExperts(logits, SPEC, null)).to.throw('NOT_FINITE');
    }
  });

  it('has nothing to say of 0 tokens', () => {
    expect(route(values, new Float32Array(), SPEC, null)).to.deep.equal({ wrong: -1, experts: [], weights: [] });
  });
});
