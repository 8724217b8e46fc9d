/** What a run would take were each rank on a machine of its own, from what each rank's work cost here. Suffixes: S steps, L MoE layers, R ranks. */
import type { StepPhase } from '../../compute/base/stopwatch.js';

/** Of one rank, as measured. */
export interface RankCost {
  readonly expertsMsPerRow: number;
  /** Of a step: everything but experts, dispatch and combine. The last two are mostly waiting, where ranks share cores. */
  readonly restMsPerStep: number;
}

/** What one rank did in some steps. */
export interface RankWork {
  readonly phasesMs: Readonly<Record<StepPhase, number>>;
  /** Routed rows that its experts computed, of all layers. */
  readonly numRows: number;
  readonly numSteps: number;
}

const REST: readonly StepPhase[] = ['attention', 'gate', 'replicas', 'sampling', 'other'];

/** Shared experts, which a rank computes for its own tokens, are in the cost of a routed row. */
export function rankCost({ phasesMs, numRows, numSteps }: RankWork): RankCost {
  const restMs = REST.reduce((sum, phase) => sum + phasesMs[phase], 0);
  return {
    expertsMsPerRow: numRows === 0 ? 0 : phasesMs.experts / numRows,
    restMsPerStep: numSteps === 0 ? 0 : restMs / numSteps,
  };
}

/** Per step the slowest rank's rest, and per layer the experts of the rank that takes longest: the others wait for it. */
export function parallelMs(load_SLR: readonly (readonly ArrayLike<number>[])[], costs: readonly RankCost[]): number {
  const restMs = Math.max(...costs.map(({ restMsPerStep }) => restMsPerStep));
  const layerMs = (load_R: ArrayLike<number>): number =>
    Math.max(...costs.map(({ expertsMsPerRow }, rank) => expertsMsPerRow * load_R[rank]!));
  return load_SLR.reduce((sum, load_LR) => sum + restMs + load_LR.reduce((all, load_R) => all + layerMs(load_R), 0), 0);
}
