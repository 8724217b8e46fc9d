/** Into how many slices a job divides experts. Pure. */
import { ConfigError } from '../config/errors.js';
import type { ExpertwireConfig } from '../config/schema.js';
import { isDivisible } from '../model/spec/slice_width.js';
import { slicesFor, withSlices } from '../model/spec/slices.js';
import { expertCountsOf, moeLayersOf, type ModelSpec } from '../model/spec/spec.js';

/**
 * The model as a job's ranks hold it. `auto`: whole experts, or, on more ranks than experts, the fewest slices with which every rank has one.
 * @param numRanks that the job begins with
 * @throws ConfigError INVALID_VALUE where some slices would have nothing to compute
 */
export function slicedSpec(
  { slices: asked }: Pick<ExpertwireConfig['experts'], 'slices'>,
  spec: ModelSpec,
  numRanks: number,
): ModelSpec {
  if (moeLayersOf(spec).length === 0) return spec;
  if (asked === 'auto') return withSlices(spec, slicesFor(spec, numRanks));
  const { intermediateSize } = spec.moe;
  if (isDivisible(intermediateSize, asked)) return withSlices(spec, asked);
  const key = 'experts.slices';
  const most = slicesFor(spec, Math.min(...expertCountsOf(spec)) * asked);
  const what = `"${key}" is ${asked}, and an expert's intermediate size of ${intermediateSize} can't be divided so, in whole groups of 32`;
  throw new ConfigError('INVALID_VALUE', `${what}; set it to ${most}, or to auto`, { key });
}
