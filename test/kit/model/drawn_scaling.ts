/** Factors of channels that nobody calibrated: the same model in another form. */
import { uniform } from '../../../base/philox.js';
import { moeLayersOf, type ModelSpec } from '../../../lib/model/spec/spec.js';
import { canScaleInner, canScaleInputs, expertsOf, type LayerScaling } from '../../../lib/rewrite/quantise/scaling.js';
import type { WeightCoding } from '../../../lib/rewrite/quantise/weight_coding.js';

/** Powers of two from −4 to 4 for all channels that a family can scale. */
export function drawnScaling(spec: ModelSpec): LayerScaling[] {
  const draw = (length: number, seed: number): Float32Array =>
    Float32Array.from({ length }, (_, i) => 2 ** Math.floor(9 * uniform(seed, 0, i) - 4));
  return moeLayersOf(spec).map((layer) => ({
    layer,
    inputs: canScaleInputs(spec) ? draw(spec.hiddenSize, layer) : null,
    inner: new Map(
      canScaleInner(spec)
        ? expertsOf(spec, layer).map((expert) => [expert, draw(spec.moe.intermediateSize, 100 * layer + expert)])
        : [],
    ),
  }));
}

/** Nothing is rounded. */
export const NUMBERS: WeightCoding = {
  label: 'numbers',
  columnStep: 1,
  resident: null,
  takesExpressions: true,
  sharesRows: false,
  config: () => null,
  heads: (module, rows, columns) => [{ name: `${module}.weight`, dtype: 'F32', shape: [rows, columns] }],
  round: ({ values }) => values,
  encode: ({ values }) => {
    return { bytes: [new Uint8Array(values.buffer, values.byteOffset, values.byteLength)], decoded: values };
  },
};
