/** `measure: simulation`: what it takes and gives. */
import { countsOf, mostOf, type ExpertCounts } from '../../../experts/placement/expert_counts.js';
import * as z from 'zod';
import { causeText } from '../../../base/foreign_text.js';
import { ExpertError } from '../../../compute/base/errors.js';
import { readRecording } from '../../../experts/load/recording_reader.js';
import { checkPlanSize } from '../../../experts/placement/planners/planner.js';
import { syntheticLoads, type LoadPattern } from '../../../experts/routing/synthetic_load.js';
import { ConfigError } from '../../config/errors.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { choice, integer, key } from '../../config/key_types.js';
import { readPlacement } from '../../config/placement_file.js';
import { numSlotsOf } from '../../head/rebalancing/planner_check.js';
import { pluginsOf } from '../../head/opened_model.js';
import { plannerNamed } from '../../plugins/planners.js';
import type { MeasureInfo } from '../base/measure_info.js';
import type { MetricInfo } from '../base/metric.js';
import type { PlannedRun } from '../base/run.js';
import { filePath } from './keys.js';
import { count, text, time } from './metric_kinds.js';

/** Of what moe-7m's recorded traffic is. */
export const MOE_7M_SHAPE = { numLayers: 3, numExperts: 32 } as const;

/** More is a slip. */
const MAX_COUNT = 2 ** 20;
const MAX_WINDOWS = 4096;
const MAX_LAYERS = 4096;
const MAX_EXPERTS = 16_384;
/** Of layers × experts × windows: 2 GiB of counts. */
const MAX_COUNTS = 2 ** 28;

const number = (min: number, max: number) =>
  key(z.number().min(min).max(max), `a number from ${min} to ${max}`, 'number');
const orNull = <T extends z.ZodType>(type: T, allowed: string, ...types: ('number' | 'string')[]) =>
  key(type.nullable().default(null), `${allowed}, or null`, ...types, 'null');

const workload = z.strictObject({
  /** Where counts come from; `moe_7m`: recorded traffic in which one kind of text gives way to the next. */
  load: choice('uniform', 'zipf', 'k_hot', 'drift', 'unbalanced', 'moe_7m', 'recording').default('drift'),
  alpha: number(0, 100).default(1),
  stay: number(0, 1).default(0.99),
  num_hot: integer(1, MAX_EXPERTS).default(4),
  hot_share: number(0, 1).default(0.5),
  skew: number(1, MAX_COUNT).default(2),
  layers: integer(1, MAX_LAYERS).default(8),
  experts: integer(1, MAX_EXPERTS).default(64),
  /** Choices of a window, per layer. */
  choices: integer(1, Number.MAX_SAFE_INTEGER).default(65_536),
  windows: integer(2, MAX_WINDOWS).default(9),
  recording_file: orNull(filePath(), 'the path of a recording', 'string'),
  window_steps: integer(1, MAX_COUNT).default(64),
  groups: integer(1, MAX_EXPERTS).default(1),
  expert_bytes: orNull(z.int().min(1).max(Number.MAX_SAFE_INTEGER), 'bytes of an expert of one layer', 'number'),
});

/** Of `workload`. */
export type SimulatedLoad = z.infer<typeof workload>;

const settings = z.strictObject({
  /** `window`: after each; `gain`: where the plan gains `load_balance.min_gain` on its own window, as an engine does; `once`: after the first. */
  replan: choice('window', 'gain', 'once').default('window'),
});

/** Of `measure` beside its kind. */
export type SimulationSettings = z.infer<typeof settings>;

/** Of a run of this measure. */
export const simulationOf = ({ workload: load, measure }: Pick<PlannedRun, 'workload' | 'measure'>) => ({
  load: load as unknown as SimulatedLoad,
  settings: measure as unknown as SimulationSettings,
});

const METRICS: Readonly<Record<string, MetricInfo>> = {
  balancedness: count(
    '',
    'higher',
    'Σ mean rank load / Σ highest rank load over MoE layers and windows, each window carried by the plan of those before it; 1 = perfect',
  ),
  balancedness_now: count(
    '',
    'higher',
    'the same of the windows that the plans were made from: what a planner promises',
  ),
  balancedness_first: count('', 'higher', 'the same as balancedness under the first placement, which nothing moves'),
  predicted_gain: count(
    '',
    'higher',
    'Σ highest rank load under one replica per expert in their order / Σ highest rank load under the plans: what the experts’ time would gain',
  ),
  moved_slots: count(
    'slots/plan',
    'lower',
    'replicas on ranks that did not hold the expert, all layers, mean of the plans after the first',
  ),
  first_moved_slots: count('slots', 'lower', 'the same of the first plan'),
  moved_bytes: count(
    'B',
    'lower',
    'replicas of all plans on ranks that did not hold the expert × workload.expert_bytes',
  ),
  plans: count('', null, 'plans that were carried out'),
  slots_per_rank: count('slots', 'lower', 'slots of a rank for experts of one layer: its memory for them'),
  plan_p50_ms: time('ms', 'lower', 'median of the time of planning'),
  plan_max_ms: time('ms', 'lower', 'the longest time of planning'),
  placements_sha256: text('SHA-256 of the tables of all placements that carried a window'),
};

/** Into which experts are divided: what is placed are slices. A load says nothing of an expert's width, so `auto` divides none. */
export const simulatedSlices = ({ experts: { slices } }: Pick<ExpertwireConfig, 'experts'>): number =>
  slices === 'auto' ? 1 : slices;

/** Layers and experts of the load. @throws ExpertError BAD_RECORDING */
async function loadShapeOf(load: SimulatedLoad): Promise<Shape> {
  if (load.load === 'moe_7m') return MOE_7M_SHAPE;
  if (load.load !== 'recording') return { numLayers: load.layers, numExperts: load.experts };
  if (load.recording_file === null) {
    const what = '"workload.load" is recording, and there is none; give workload.recording_file';
    throw new ConfigError('MISSING_KEY', what, { key: 'workload.recording_file' });
  }
  for await (const line of readRecording(load.recording_file)) {
    if (line.kind === 'header') return line.header;
  }
  throw new ConfigError('INVALID_VALUE', `${load.recording_file} is empty; give a recording`, {
    key: 'workload.recording_file',
  });
}

/** Of synthetic loads; null: counts come from elsewhere. */
export function patternOf(load: SimulatedLoad, numRanks: number): LoadPattern | null {
  const { alpha, stay, num_hot: numHot, hot_share: hotShare, skew } = load;
  switch (load.load) {
    case 'uniform':
      return { kind: 'uniform' };
    case 'zipf':
      return { kind: 'zipf', alpha };
    case 'k_hot':
      return { kind: 'k_hot', numHot, hotShare };
    case 'drift':
      return { kind: 'drift', alpha, stay };
    case 'unbalanced':
      return { kind: 'unbalanced', numRanks, skew };
    case 'moe_7m':
    case 'recording':
      return null;
  }
}

/** Plans once for even load of one layer. @throws ConfigError, ExpertError BAD_RECORDING, PluginError */
async function check(run: PlannedRun): Promise<void> {
  const { load } = simulationOf(run);
  const { config } = run;
  const { numLayers, numExperts: whole } = await loadShapeOf(load);
  const shape = { numLayers, numExperts: countsOf(whole, numLayers).map((count) => count * simulatedSlices(config)) };
  checkCounts(shape, load);
  const { ranks: numRanks } = config.parallel;
  const first = await readPlacement(config.experts, { ...shape, numRanks });
  checkSizes(shape, load, numSlotsOf(first), numRanks);
  const { registry } = await pluginsOf(config.plugins);
  const one = await readPlacement(
    { ...config.experts, placement: 'linear', num_redundant_experts: 0 },
    { numExperts: mostOf(shape.numExperts), numLayers: 1, numRanks },
  );
  const even_LE = [new Float64Array(mostOf(shape.numExperts)).fill(1)];
  const topology = { numRanks, numSlots: numSlotsOf(first), numNodes: config.comm.num_nodes, numGroups: load.groups };
  const { planner } = config.load_balance;
  refused('load_balance.planner', `${planner} can't plan for this`, () =>
    plannerNamed(planner, registry).plan(even_LE, topology, one),
  );
}

interface Shape {
  readonly numLayers: number;
  readonly numExperts: ExpertCounts;
}

function checkCounts(shape: Shape, load: SimulatedLoad): void {
  const numCounts = shape.numLayers * mostOf(shape.numExperts) * load.windows;
  if (numCounts > MAX_COUNTS) {
    const what = `layers × experts × windows are ${numCounts}; give at most ${MAX_COUNTS}`;
    throw new ConfigError('INVALID_VALUE', what, { key: 'workload.windows' });
  }
}

function checkSizes(shape: Shape, load: SimulatedLoad, numSlots: number, numRanks: number): void {
  refused('workload.layers', 'planning would take too long', () => checkPlanSize(shape.numLayers, numSlots, numRanks));
  const pattern = patternOf(load, numRanks);
  if (pattern !== null)
    refused('workload.load', load.load, () =>
      syntheticLoads(pattern, { numLayers: 1, numExperts: load.experts }).next(),
    );
}

function refused(name: string, what: string, act: () => unknown): void {
  try {
    act();
  } catch (cause) {
    if (!(cause instanceof ExpertError)) throw cause;
    throw new ConfigError('INVALID_VALUE', `"${name}": ${what}: ${causeText(cause.text)}`, { key: name, cause });
  }
}

/** Placements that are planned on one window of load and judged on the next. */
export const simulationMeasure: MeasureInfo = {
  describe: 'Placements that are planned on one window of load and judged on the next',
  settings,
  workload,
  metricsOf: () => METRICS,
  hasEngine: false,
  files: ['recording_file'],
  check,
};
