/**
 * What a plug-in is: a module whose default export is a {@link Plugin}. The head and every rank load it by its path, and nothing of it is global: it registers what it
 * brings with whoever loads it. Why: docs/decisions/plugins.md#loaded-by-path-in-every-process
 */
import type { WireCodec } from '../../comm/codec/wire_codec.js';
import type { PlanRequest } from '../../experts/placement/planners/planner.js';
import type { ChoosingRank, GatherCounts, ReplicaChooser } from '../../experts/placement/replica_choice.js';
import type { CustomGate } from '../../experts/routing/custom_gate.js';
import type { TierPolicy } from '../../experts/tiers/tier_policy.js';
import type { RoutingPolicy } from '../cluster/base/routed_request.js';
import type { ModelSpec } from '../model/spec/spec.js';

/** Registers what it brings; `options` are those of its entry in `plugins`. */
export type Plugin = (api: PluginApi, options: Readonly<Record<string, unknown>>) => void | Promise<void>;

/** Makes a spec of config.json. `own`: what the families that are there make of one, by its `model_type`. */
export type SpecOf = (
  config: Readonly<Record<string, unknown>>,
  own: (config: Readonly<Record<string, unknown>>) => ModelSpec,
) => ModelSpec;

/** Where a plug-in registers. Each name stands once, and is none of those that are there without plug-ins. */
export interface PluginApi {
  /** `model_type` of config.json, and what makes a spec of it, which is data alone. Only the head asks it. */
  registerFamily(modelType: string, specOf: SpecOf): void;
  /** For `experts.gate`. */
  registerGate(name: string, gate: CustomGate): void;
  /** For `load_balance.planner`: one table [P] per layer, logical experts by slot of all ranks, −1 = empty. Deterministic. */
  registerPlanner(name: string, fill: (request: PlanRequest) => readonly Int32Array[]): void;
  /** For `experts.replica_choice`: made once by each rank. `gather`: the counts [E] of all ranks, for choosers that say `asksAll`. */
  registerReplicaChoice(name: string, make: (rank: ChoosingRank, gather: GatherCounts) => ReplicaChooser): void;
  /** For `experts.tier_policy`: which of a rank's resident experts goes when another one is to be read. Asked in the middle of steps. */
  registerTierPolicy(name: string, policy: TierPolicy): void;
  /** For `comm.wire.dispatch` and `comm.wire.combine`. */
  registerCodec(name: string, codec: WireCodec): void;
  /** For `router.policy`: which instance takes a request. Only routers ask it, and each request waits for it. */
  registerRoutingPolicy(name: string, policy: RoutingPolicy): void;
}
