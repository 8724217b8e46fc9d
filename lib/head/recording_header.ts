/** What the first line of a recording of a job says. Pure. */
import { shortCounts } from '../../experts/placement/expert_counts.js';
import type { RecordingHeader, RecordMode } from '../../experts/load/recording.js';
import type { Placement } from '../../experts/placement/placement.js';
import { VERSION } from '../config/package_files.js';
import type { ExpertwireConfig } from '../config/schema.js';
import { modelNameOf } from '../hub/cache/model_name.js';
import { numSlicesOf } from '../model/spec/slices.js';
import { expertCountsOf, type ModelSpec } from '../model/spec/spec.js';

/** Records of mode `stat` sum up `load_balance.window_size` steps. `placement`: any that the job runs with. `numSeats`: ranks that it can have at a time. */
export function recordingHeader(
  mode: RecordMode,
  { model, load_balance: { window_size: windowSize } }: Pick<ExpertwireConfig, 'model' | 'load_balance'>,
  spec: ModelSpec,
  { numRanks, slotsPerRank, phy2log }: Placement,
  numSeats: number,
): RecordingHeader {
  const { numTopk } = spec.moe.gate;
  const numExperts = shortCounts(expertCountsOf(spec));
  const mostSlots = spec.moe.gate.numExperts * numSlicesOf(spec);
  return {
    ...{ mode, model: modelNameOf(model), numLayers: phy2log.length, numExperts, numTopk },
    createdBy: `expertwire ${VERSION}`,
    ...(mode === 'stat' && { windowSize }),
    slots: { numRanks, numSlots: numRanks * slotsPerRank, maxSlots: numSeats * Math.max(slotsPerRank, mostSlots) },
  };
}
