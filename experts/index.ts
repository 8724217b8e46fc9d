/**
 * The public face `expertwire/experts`: routing, placement and running experts, without an engine around them.
 * @module expertwire/experts
 */
export { balancedness, balancednessOf, rankLoads } from './placement/balance.js';
export { CountGather } from './placement/count_gather.js';
export { ExpertError, type ExpertErrorCode, type ExpertErrorContext } from '../compute/base/errors.js';
export type { ReceivedRows } from '../base/received_rows.js';
export type { Expert, ExpertCompute, ExpertName, ExpertOutput } from '../compute/base/expert_compute.js';
export { GroupTables, type ExpertGroups } from '../compute/base/expert_groups.js';
export type { FfnTensors, FfnWeights, FfnBiasTensors } from '../compute/base/ffn_weights.js';
export { Ffn } from '../compute/tfjs/experts/ffn.js';
export type { GateSpec, Routing, GroupSpec, Scoring } from '../compute/base/gate_spec.js';
export { Gate, type GateWeights } from './routing/gate.js';
export { selectExperts } from './routing/select_experts.js';
export { KernelMemories, type KernelStats, type ReservedBytes } from '../compute/wasm/memory/kernel_memories.js';
export { MAX_MEMORY_BYTES } from '../compute/wasm/memory/kernel_memory.js';
export { ResidentExperts, type ResidentExpertsOptions } from '../compute/wasm/experts/resident_experts.js';
export { LoadMonitor } from './load/load_monitor.js';
export {
  LoadRecorder,
  type RecorderOptions,
  type RoutingObserver,
  type StepRouting,
  type RecordingSink,
} from './load/load_recorder.js';
export { LoadWindow, type LoadWindowOptions } from './load/load_window.js';
export {
  Migration,
  type MigrationOrder,
  type MigrationParts,
  type MigrationProgress,
  type ExpertRoom,
  type ReadProgress,
} from './layer/migration.js';
export { copiesFor, scheduleOf, type Chunk, type ExpertCopy, type ExpertShapeOf } from './layer/migration_plan.js';
export { MoeLayer, type MoeLayerParts, type MoeStep } from './layer/moe_layer.js';
export type { MoeTokens } from './layer/moe_tokens.js';
export {
  createPlacement,
  degradedRows,
  placementFrom,
  PLACEMENT_STRATEGIES,
  rankOf,
  ranksOf,
  withoutRanks,
  type Placement,
  type PlacementShape,
  type PlacementStrategy,
} from './placement/placement.js';
export { placementFromJson, placementToJson, type PlacementJson } from './placement/placement_json.js';
export { createPlanner, PLANNERS, type PlannerName } from './placement/planners/index.js';
export type { StableOptions } from './placement/planners/eplb_stable.js';
export type { ExpertLoad, Plan, PlanBalance, Planner, PlanReport } from './placement/planners/planner.js';
export type { PlanTopology } from './placement/planners/topology.js';
export { withRedundancy } from './placement/redundancy.js';
export {
  createReplicaChooser,
  REPLICA_CHOICES,
  type ChoosingRank,
  type GatherCounts,
  type ReplicaChoice,
  type ReplicaChooser,
} from './placement/replica_choice.js';
export { REPLICA_SPLITS, splitCounts, splitLoad, sumByRank, type ReplicaSplit } from './placement/replica_split.js';
export { recordedLoad, recordedRouting, type RecordedLoad } from './routing/recorded_routing.js';
export type { RecordedRun } from './load/recorded_run.js';
export {
  RECORD_MODES,
  type LoadRecord,
  type PlacementRecord,
  type RecordedLine,
  type RecordedSlots,
  type RecordingHeader,
  type RecordMode,
  type TokenRecord,
} from './load/recording.js';
export { readRecording, type RecordingLine } from './load/recording_reader.js';
export {
  replayedRouting,
  syntheticRouting,
  windowedRouting,
  type RoutingShape,
  type RoutingSource,
} from './routing/routing_source.js';
export { createExpertShard, type ExpertShard } from './layer/shard.js';
export { Stopwatch, STEP_PHASES, type StepPhase, type LapPlace, type OnLap } from '../compute/base/stopwatch.js';
export { TensorExperts, type TensorExpertsOptions, type TensorExpert } from '../compute/tfjs/experts/tensor_experts.js';
export { TensorMoeTokens, type MoeTensors } from './layer/tensor_moe_tokens.js';
export { syntheticLoads, type LoadPattern, type LoadShape } from './routing/synthetic_load.js';
export {
  BACKENDS,
  numKernelRuns,
  reportBackends,
  selectBackend,
  tensorMemory,
  type BackendChoice,
  type BackendName,
  type BackendReport,
} from '../compute/tfjs/tf.js';
export {
  convertMatrix,
  floatsOf,
  matrixOf,
  WEIGHT_DTYPES,
  type WeightDtype,
  type WeightMatrix,
} from '../compute/base/weight_matrix.js';
export type { WeightSource } from '../compute/base/weight_source.js';

// Types that those above are made of.
export type { ActivationSpec } from '../compute/base/activation_spec.js';
export type { StoredFfn } from '../compute/base/stored_matrix.js';
export type { Tensor2D } from '../compute/base/tensor.js';
export { expertDtype, type ExpertDtypes } from '../compute/base/expert_dtypes.js';
export type { ExpertShape } from '../compute/base/weight_rows.js';
export type { BackendOptions } from '../compute/tfjs/backends/backends.js';
export type { SharedExperts } from '../compute/tfjs/experts/shared_experts.js';
export type { KernelExpert } from '../compute/wasm/experts/kernel_expert.js';
export type { LateSum, LateSums } from './layer/late_sums.js';
export type { MoeLooks } from './layer/moe_look.js';
export type { ResidualMix } from './layer/residual_mix.js';
export type { ExpertCounts } from './placement/expert_counts.js';
export type { GateChoice } from './routing/custom_gate.js';
