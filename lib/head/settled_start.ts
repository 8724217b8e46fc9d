/** What an engine starts with, settled and checked before any rank runs. */
import type { Placement } from '../../experts/placement/placement.js';
import { mostOf } from '../../experts/placement/expert_counts.js';
import { withSeats } from '../../experts/placement/seats.js';
import type { RoutingSource } from '../../experts/routing/routing_source.js';
import { ConfigError } from '../config/errors.js';
import { withLossPolicy, type SettledConfig } from '../config/loss_policy.js';
import { readPlacement } from '../config/placement_file.js';
import { readRouting } from '../config/routing.js';
import type { ExpertwireConfig } from '../config/schema.js';
import { checkSlots, numSeatsOf } from '../job/start/seats.js';
import { heldCountsOf } from '../model/spec/slices.js';
import { expertCountsOf, moeLayersOf, type ModelSpec } from '../model/spec/spec.js';
import { withComputeFor } from './compute_choice.js';
import { checkElastic } from './elastic/elastic_check.js';
import type { OpenedModel } from './opened_model.js';
import { checkPlanner } from './rebalancing/planner_check.js';
import { jobSpec } from './slice_choice.js';

/** What configuration and model come to together. */
export interface SettledStart {
  readonly config: SettledConfig;
  /** The model as ranks hold it: with experts that may be sliced. */
  readonly spec: ModelSpec;
  /** Of all seats. */
  readonly placement: Placement;
  /** Chooses experts instead of the gates; null: they do. */
  readonly routing: RoutingSource | null;
}

/**
 * `asked`: what `checkCompute` had nothing against; `numRanks`: those that the job begins with.
 * @throws ConfigError INVALID_VALUE for what the configuration asks of this model and can't have; PluginError for a planner that can't serve
 */
export async function settledStart(
  asked: ExpertwireConfig,
  { spec, plugins }: Pick<OpenedModel, 'spec' | 'plugins'>,
  numRanks: number,
): Promise<SettledStart> {
  checkSomeRank(numRanks);
  const numSeats = numSeatsOf(asked, numRanks);
  const config = withLossPolicy(withComputeFor(asked, spec), numSeats);
  checkElastic(config, numSeats);
  const sliced = await jobSpec(config.experts, spec, numRanks);
  const { numTopk } = spec.moe.gate;
  const numExperts = expertCountsOf(spec);
  const numLayers = moeLayersOf(spec).length;
  const first = await readPlacement(config.experts, { numLayers, numExperts: heldCountsOf(sliced), numRanks });
  const slotsPerRank = slotsPerRankIn(config, first);
  checkSlots(numSeats, numRanks, slotsPerRank * numLayers);
  const placement = withSeats(first, { numSeats, slotsPerRank });
  const routing = await readRouting(config.experts, { numLayers, numExperts, numTopk });
  checkPlanner(config, first, sliced, plugins.registry);
  return { config, spec: sliced, placement, routing };
}

function checkSomeRank(numRanks: number): void {
  if (numRanks > 0) return;
  const key = 'parallel.ranks';
  const what = `"${key}" is 0, and no rank of another machine is waited for (--wait-ranks)`;
  throw new ConfigError('INVALID_VALUE', `${what}; a job has at least one rank`, { key });
}

/** A rank may come to hold all experts where losses are made good: slots are addresses, and cost nothing while they are empty. */
const slotsPerRankIn = ({ comm }: SettledConfig, { slotsPerRank, numExperts }: Placement): number =>
  comm.on_peer_loss === 'recover' ? Math.max(slotsPerRank, mostOf(numExperts)) : slotsPerRank;
