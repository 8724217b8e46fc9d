/** Placements as JSON: what `expertwire plan` writes and `experts.placement` names. Pure. */
import { shown } from '../../base/foreign_text.js';
import { ExpertError } from '../../compute/base/errors.js';
import { countsOf } from './expert_counts.js';
import { placementFrom, type Placement, type PlacementShape } from './placement.js';

/** A placement in a file. */
export interface PlacementJson {
  /** Absent: whatever divides the slots. */
  readonly num_ranks?: number;
  /** [layers][slots of all ranks]: the expert in each slot, −1 = empty; every rank has as many slots. Other keys are ignored. */
  readonly phy2log: readonly (readonly number[])[];
}

/** What {@link placementFromJson} reads back; its version is not in the file. */
export const placementToJson = ({ numRanks, phy2log }: Placement): PlacementJson => ({
  num_ranks: numRanks,
  phy2log: phy2log.map((table) => [...table]),
});

/**
 * Checks what a file says against the job that it is for.
 * @throws ExpertError INVALID_ARGUMENT: where it is wrong, both numbers, and what to do
 */
export function placementFromJson(json: unknown, { numLayers, numExperts, numRanks }: PlacementShape): Placement {
  const { num_ranks: plannedRanks = numRanks, phy2log } = (json ?? {}) as Partial<PlacementJson>;
  if (!Array.isArray(phy2log)) throw invalid('it has no "phy2log"; write it with `expertwire plan --output FILE`');
  if (plannedRanks !== numRanks) {
    throw invalid(`it is for ${shown(plannedRanks)} ranks, and there are ${numRanks}; plan with --ranks ${numRanks}`);
  }
  if (phy2log.length !== numLayers) {
    throw invalid(
      `it has ${phy2log.length} layers, the model has ${numLayers} MoE layers; plan from this model's load`,
    );
  }
  const counts = countsOf(numExperts, numLayers);
  const tables = (phy2log as readonly unknown[]).map((row, layer) => tableOf(row, layer, counts[layer]!));
  const numSlots = tables[0]?.length ?? 0;
  for (const [layer, table] of tables.entries()) {
    if (table.length !== numSlots) {
      throw invalid(`layer ${layer} has ${table.length} slots, layer 0 has ${numSlots}; give as many`);
    }
    const missing = Int32Array.from({ length: counts[layer]! }, (_, e) => e).find((e) => !table.includes(e));
    if (missing !== undefined) throw invalid(`layer ${layer} has no slot for expert ${missing}; give it one`);
  }
  if (numSlots % numRanks !== 0) {
    throw invalid(`${numSlots} slots don't divide by ${numRanks} ranks; fill up the shorter ones with -1`);
  }
  return placementFrom(0, numRanks, numExperts, tables);
}

function tableOf(row: unknown, layer: number, numExperts: number): Int32Array {
  if (!Array.isArray(row)) throw invalid(`layer ${layer} of "phy2log" is not a list; give the expert of each slot`);
  for (const [slot, logical] of (row as readonly unknown[]).entries()) {
    const isExpert = Number.isSafeInteger(logical) && (logical as number) >= -1 && (logical as number) < numExperts;
    if (isExpert) continue;
    throw invalid(
      `layer ${layer}, slot ${slot} holds ${shown(logical)}; give an expert from 0 to ${numExperts - 1}, or -1 for none`,
    );
  }
  return Int32Array.from(row as readonly number[]);
}

const invalid = (message: string): ExpertError => new ExpertError('INVALID_ARGUMENT', message);
