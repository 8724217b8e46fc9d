import type { GateSpec } from '../../base/gate_spec.js';
import type { Fields } from '../memory/descriptor.js';
import { SCORINGS, type ROUTER } from '../memory/layouts.js';

/** A gate as the router kernel knows it; `bias`: address of float32 [numExperts], 0 = none. */
export function routerFields(spec: GateSpec, bias: number): Fields<typeof ROUTER> {
  const { numExperts, numTopk, scoring, groups, normTopkProb, normEps, normMin, routedScalingFactor } = spec;
  return {
    ...{ normEps, normMin, routedScalingFactor, bias, numExperts, numTopk },
    jitterEps: typeof scoring === 'string' ? 0 : scoring.jitterEps,
    scoring: SCORINGS.indexOf(typeof scoring === 'string' ? scoring : scoring.kind),
    numGroups: groups?.numGroups ?? 0,
    topkGroups: groups?.topkGroups ?? 0,
    isGroupMax: Number(groups?.score === 'max'),
    normTopkProb: Number(normTopkProb),
  };
}
