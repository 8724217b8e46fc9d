/** Into how many slices a job divides experts. */
import { ConfigError } from '../config/errors.js';
import { slicesInFile } from '../config/placement_file.js';
import type { ExpertwireConfig } from '../config/schema.js';
import { isDivisible } from '../model/spec/slice_width.js';
import { slicesFor, withSlices } from '../model/spec/slices.js';
import { expertCountsOf, moeLayersOf, type ModelSpec } from '../model/spec/spec.js';

/**
 * The model as a job's ranks hold it: as {@link slicedSpec}, but where a file says which slot holds what, `auto` is what it divides experts into.
 * @throws ConfigError INVALID_VALUE also where the file has another number of slices than is asked for
 */
export async function jobSpec(
  { slices: asked, placement }: Pick<ExpertwireConfig['experts'], 'slices' | 'placement'>,
  spec: ModelSpec,
  numRanks: number,
): Promise<ModelSpec> {
  const placed = await slicesInFile(placement, expertCountsOf(spec));
  if (placed !== null && asked !== 'auto' && placed !== asked) {
    const key = 'experts.slices';
    const what = `"${key}" is ${asked}, and ${placement} places ${placed === 1 ? 'whole experts' : `${placed} slices of each expert`}`;
    const advice = `set it to ${placed} or to auto, or plan with --expert-slices ${asked}`;
    throw new ConfigError('INVALID_VALUE', `${what}; ${advice}`, { key });
  }
  return slicedSpec({ slices: placed ?? asked }, spec, numRanks);
}

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
