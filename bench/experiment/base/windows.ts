/** The loads of a simulation, window by window. Shape suffixes: L MoE layers, E logical experts. */
import type { ExpertCounts } from '../../../experts/placement/expert_counts.js';
import { LoadMonitor } from '../../../experts/load/load_monitor.js';
import { choicesOf, type RecordedLine } from '../../../experts/load/recording.js';
import { readRecording } from '../../../experts/load/recording_reader.js';
import type { ExpertLoad } from '../../../experts/placement/planners/planner.js';
import { syntheticLoads } from '../../../experts/routing/synthetic_load.js';
import { ExperimentError } from '../../../lib/experiment/base/errors.js';
import { patternOf, type SimulatedLoad } from '../../../lib/experiment/measures/simulation.js';
import { changingTraffic } from '../../eplb/loads.js';

/** As many as are asked for; of a recording at most. @throws ExperimentError MEASURE_FAILED where it has fewer than two; ExpertError BAD_RECORDING */
export async function windowsOf(load: SimulatedLoad, numRanks: number, seed: number): Promise<readonly ExpertLoad[]> {
  const pattern = patternOf(load, numRanks);
  if (pattern !== null) {
    const { layers: numLayers, experts: numExperts, choices: numChoices } = load;
    const loads = syntheticLoads(pattern, { numLayers, numExperts, numChoices, seed });
    return Array.from({ length: load.windows }, () => loads.next().value);
  }
  if (load.load === 'moe_7m') return changingTraffic(load.windows, seed);
  const windows = await recordedWindows(load.recording_file!, load.window_steps, load.windows);
  if (windows.length >= 2) return windows;
  const what = `${load.recording_file!} has ${windows.length} windows of ${load.window_steps} steps`;
  throw new ExperimentError('MEASURE_FAILED', `${what}; record more steps, or lower workload.window_steps`);
}

/** Of so many steps each; the last may have fewer. */
async function recordedWindows(file: string, windowSteps: number, most: number): Promise<ExpertLoad[]> {
  const windows: LoadMonitor[] = [];
  let firstStep: number | null = null;
  let shape: { readonly numLayers: number; readonly numExperts: ExpertCounts } = { numLayers: 0, numExperts: 0 };
  for await (const line of readRecording(file)) {
    if (line.kind === 'header') shape = line.header;
    if (line.kind !== 'load' && line.kind !== 'token') continue;
    firstStep ??= line.record.step;
    const at = Math.floor((line.record.step - firstStep) / windowSteps);
    if (at >= most) break;
    while (windows.length <= at) windows.push(new LoadMonitor(shape.numLayers, shape.numExperts));
    addTo(windows[at]!, line, shape.numLayers);
  }
  return windows.map(({ load_LE }) => load_LE);
}

function addTo(window: LoadMonitor, line: RecordedLine, numLayers: number): void {
  if (line.kind === 'load') window.merge(line.record.load_LE);
  if (line.kind !== 'token') return;
  const choices = choicesOf(line.record.experts);
  const numTopk = choices.length / numLayers;
  for (let layer = 0; layer < numLayers; layer++) {
    window.record(layer, choices.subarray(layer * numTopk, (layer + 1) * numTopk));
  }
}
