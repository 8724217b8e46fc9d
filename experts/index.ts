/** The public face `expertwire/experts`: routing, placement and running experts, without an engine around them. */
export { balancedness, balancednessOf, rankLoads } from './balance.js';
export { CountGather } from './count_gather.js';
export { ExpertError, type ExpertErrorCode, type ExpertErrorContext } from './errors.js';
export type { Expert, ExpertCompute, ExpertRows, ReceivedRows } from './expert_compute.js';
export { Ffn, type FfnTensors, type FfnWeights } from './ffn.js';
export { Gate, selectExperts, type GateSpec, type Routing } from './gate.js';
export { KernelMemories, type KernelStats, type ReservedBytes } from './kernels/kernel_memories.js';
export { MAX_MEMORY_BYTES } from './kernels/kernel_memory.js';
export { ResidentExperts, type ResidentExpertsOptions } from './kernels/resident_experts.js';
export { LoadMonitor } from './load_monitor.js';
export { LoadRecorder, type RecorderOptions, type RoutingObserver, type StepRouting } from './load_recorder.js';
export { LoadWindow, type LoadWindowOptions } from './load_window.js';
export { Migration, type MigrationOrder, type MigrationParts, type MigrationProgress } from './migration.js';
export { copiesFor, scheduleOf, type Chunk, type ExpertCopy } from './migration_plan.js';
export { MoeLayer, type MoeLayerParts, type MoeTokens } from './moe_layer.js';
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
} from './placement.js';
export { placementFromJson, placementToJson, type PlacementJson } from './placement_json.js';
export { createPlanner, PLANNERS, type PlannerName } from './planners/index.js';
export type { StableOptions } from './planners/eplb_stable.js';
export type { ExpertLoad, Plan, PlanBalance, Planner, PlanReport } from './planners/planner.js';
export type { PlanTopology } from './planners/topology.js';
export { withRedundancy } from './redundancy.js';
export {
  createReplicaChooser,
  REPLICA_CHOICES,
  type ChoosingRank,
  type GatherCounts,
  type ReplicaChoice,
  type ReplicaChooser,
} from './replica_choice.js';
export { REPLICA_SPLITS, splitCounts, splitLoad, sumByRank, type ReplicaSplit } from './replica_split.js';
export { recordedLoad, recordedRouting, type RecordedLoad } from './recorded_routing.js';
export type { RecordedRun } from './recorded_run.js';
export {
  RECORD_MODES,
  type LoadRecord,
  type PlacementRecord,
  type RecordedLine,
  type RecordedSlots,
  type RecordingHeader,
  type RecordMode,
  type TokenRecord,
} from './recording.js';
export { readRecording, type RecordingLine } from './recording_reader.js';
export {
  replayedRouting,
  syntheticRouting,
  windowedRouting,
  type RoutingShape,
  type RoutingSource,
} from './routing_source.js';
export { createExpertShard, type ExpertShard } from './shard.js';
export { Stopwatch, STEP_PHASES, type StepPhase } from './stopwatch.js';
export { TensorExperts, type TensorExpertsOptions } from './tensors/tensor_experts.js';
export { TensorMoeTokens, type MoeTensors } from './tensors/tensor_moe_tokens.js';
export { syntheticLoads, type LoadPattern, type LoadShape } from './synthetic_load.js';
export {
  BACKENDS,
  numKernelRuns,
  reportBackends,
  selectBackend,
  tensorMemory,
  type BackendChoice,
  type BackendName,
  type BackendReport,
} from './tf.js';
export {
  convertMatrix,
  floatsOf,
  matrixOf,
  WEIGHT_DTYPES,
  type WeightDtype,
  type WeightMatrix,
} from './weight_matrix.js';
export type { WeightSource } from './weight_source.js';
