/** The loads that planners are measured on: a case is a sequence of windows for one topology. */
import type { ExpertLoad } from '../../experts/placement/planners/planner.js';
import type { PlanTopology } from '../../experts/placement/planners/topology.js';
import { normalFrom, randomFrom } from '../../experts/routing/random.js';
import { syntheticLoads, type LoadPattern } from '../../experts/routing/synthetic_load.js';
import { MOE_7M_LOADS } from './moe7m_loads.js';

/** A name for the report, the ranks and slots that plans are made for, and the loads [L][E] of each window in order. */
export interface LoadCase {
  readonly name: string;
  readonly topology: PlanTopology;
  readonly windows: readonly ExpertLoad[];
}

/** The sizes of the synthetic loads; `slots` are those of all ranks, per layer. */
export interface SyntheticShape {
  readonly layers: number;
  readonly experts: number;
  readonly slots: number;
  readonly ranks: number;
}

const PATTERNS: Readonly<Record<string, LoadPattern>> = {
  uniform: { kind: 'uniform' },
  'zipf 0.6': { kind: 'zipf', alpha: 0.6 },
  'zipf 1.0': { kind: 'zipf', alpha: 1 },
  'drift 0.6': { kind: 'drift', alpha: 0.6 },
  'drift 1.0': { kind: 'drift', alpha: 1 },
};

/** 10 slots per rank. */
const MOE_7M: PlanTopology = { numRanks: 4, numSlots: 40 };
/** Windows in which one kind of text gives way to the next. */
const CHANGE_WINDOWS = 4;

/** Every synthetic pattern in the given shape, and moe-7m's recorded traffic on 4 ranks; `numWindows` windows each. */
export function loadCases(shape: SyntheticShape, numWindows: number, seed: number): LoadCase[] {
  const { layers: numLayers, experts: numExperts, slots: numSlots, ranks: numRanks } = shape;
  const synthetic = Object.entries(PATTERNS).map(([name, pattern]) => {
    const loads = syntheticLoads(pattern, { numLayers, numExperts, seed });
    const windows = Array.from({ length: numWindows }, () => loads.next().value);
    return { name, topology: { numRanks, numSlots }, windows };
  });
  return [...synthetic, { name: 'moe-7m', topology: MOE_7M, windows: changingTraffic(numWindows, seed) }];
}

/** moe-7m's recorded loads, one kind of text giving way to the next in equal steps, with the scatter of independent choices. */
export function changingTraffic(numWindows: number, seed: number): ExpertLoad[] {
  const kinds = Object.values(MOE_7M_LOADS);
  const normal = normalFrom(randomFrom(seed));
  return Array.from({ length: numWindows }, (_, window) => {
    const from = kinds[Math.floor(window / CHANGE_WINDOWS) % kinds.length]!;
    const to = kinds[(Math.floor(window / CHANGE_WINDOWS) + 1) % kinds.length]!;
    const share = (window % CHANGE_WINDOWS) / CHANGE_WINDOWS;
    return from.map((load_E, layer) =>
      Float64Array.from(load_E, (load, e) => {
        const expected = (1 - share) * load + share * to[layer]![e]!;
        return Math.max(0, Math.round(expected + Math.sqrt(expected) * normal()));
      }),
    );
  });
}
