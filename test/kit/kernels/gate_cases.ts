/** Routers of all kinds, with logits that often tie. */
import fc from 'fast-check';
import type { GateSpec, Scoring } from '../../../compute/base/gate_spec.js';

/** Few distinct values, so that ties are common, among arbitrary ones. */
const value = (scale: number) =>
  fc.oneof(
    fc.integer({ min: -2, max: 2 }).map((v) => v * scale),
    fc.float({ min: Math.fround(-3 * scale), max: Math.fround(3 * scale), noNaN: true }),
  );

/** From next to none of the others, over Phi-3.5-MoE's, to all of them. */
const sparseMixer: fc.Arbitrary<Scoring> = fc
  .constantFrom(0, 0.01, 0.3, 1)
  .map((jitterEps) => ({ kind: 'sparsemixer', jitterEps }));

/** A router and what it is given. */
export interface GateCase {
  readonly spec: GateSpec;
  readonly logits: readonly (readonly number[])[];
  readonly bias: readonly number[] | null;
}

export const gateCases: fc.Arbitrary<GateCase> = fc
  .record({ numGroups: fc.integer({ min: 1, max: 4 }), size: fc.integer({ min: 1, max: 5 }), hasGroups: fc.boolean() })
  .chain(({ numGroups, size, hasGroups }) =>
    fc.integer({ min: 1, max: numGroups }).chain((topkGroups) => {
      const numExperts = numGroups * size;
      const row = fc.array(value(1), { minLength: numExperts, maxLength: numExperts });
      return fc.record({
        spec: fc.record({
          numExperts: fc.constant(numExperts),
          numTopk: fc.integer({ min: 1, max: hasGroups ? topkGroups * size : numExperts }),
          scoring: fc.oneof(fc.constantFrom('softmax' as const, 'sigmoid' as const), sparseMixer),
          groups: fc
            .constantFrom('top2_sum' as const, 'max' as const)
            .map((score) => (hasGroups ? { numGroups, topkGroups, score } : null)),
          normTopkProb: fc.boolean(),
          normEps: fc.constantFrom(0, 1e-20, 1e-6),
          normMin: fc.constantFrom(0, 1e-12, 0.5),
          routedScalingFactor: fc.constantFrom(1, 2.5),
        }),
        logits: fc.array(row, { maxLength: 4 }),
        bias: fc.option(fc.array(value(0.5).map(Math.fround), { minLength: numExperts, maxLength: numExperts })),
      });
    }),
  );
