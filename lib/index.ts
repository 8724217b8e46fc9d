/**
 * The public face `expertwire`: an engine over expert-parallel ranks, and what it is configured and asked with.
 * @module expertwire
 */
export { CodedError, InternalError } from '../base/coded_error.js';
export { ConfigError, type ConfigErrorCode } from './config/errors.js';
export { loadConfig, type LoadConfigOptions, type PartialConfig, type PartialSection } from './config/load.js';
export { DEFAULTS, type ConfigPrompt, type ExpertwireConfig, type ConfigPlugin } from './config/schema.js';
export { Engine, type EngineOptions, type EngineStats } from './head/engine.js';
export type { Offer, OfferEnd, OfferOptions, OfferState } from './head/handover/offer.js';
export type { KvDtype } from '../compute/base/kv_dtype.js';
export type { KvLease, KvShape } from './protocol/handover.js';
export type { KvIdentity, KvSource, SourceState } from './protocol/kv_source.js';
export type { RequestNews, SequenceEnd } from './head/observing/request_news.js';
export type { RankUse, SchedulerLoad } from './head/scheduling/scheduler.js';
export type { EngineObserver } from './head/watchers.js';
export type { Loss, OnLoss } from './head/step_loop.js';
export { EngineError, type EngineErrorCode } from './protocol/errors.js';
export {
  MAX_LOGPROBS,
  MAX_STOP_CHARS,
  MAX_ROUTER_LOGITS,
  type FinishReason,
  type GenerationRequest,
  type RouterLogits,
  type ScoreRequest,
  type ScoreResult,
  type TokenArray,
  type TokenEvent,
  type TokenLogprobs,
  type TokenSource,
} from './protocol/request.js';
export type { Hook, HookEvent, HookPlace, HookPoint, HookPoints, Layers } from './protocol/hook.js';
export type { LookedTokens } from './protocol/look.js';
export { GREEDY, MAX_LISTED_TOKENS, type SamplingParams } from './protocol/sampling.js';
export type {
  OnRebalance,
  Rebalance,
  RebalanceEvent,
  RebalanceStats,
  AskedRebalance,
} from './head/rebalancing/rebalance_stats.js';
export { createServer } from './serve.js';
export type { ServerOptions } from './server/base/options.js';
export type { Access, ServerApp, ServerContext } from './server/base/part.js';
export type { ServedEngine, MovingEngine, PrefixCacheOwner } from './server/base/served_engine.js';
export type { HttpServer } from './server/create_server.js';
export { balancedness, rankLoads } from '../experts/placement/balance.js';
export type { BalancePoint } from './metrics/balance_series.js';
export { ModelError, type ModelErrorCode } from './model/spec/errors.js';
export { FAMILIES, modelSpecOf, type OtherFamilies } from './model/families/registry.js';
export type {
  ModelSpec,
  AttentionSpec,
  LayerSpec,
  MoeSpec,
  Multipliers,
  NormKind,
  RopeSpec,
  StoredNames,
  MlaSpec,
  GqaSpec,
  DenseLayer,
  ExpertLayer,
  MixerSpec,
  RopeScaling,
  AttentionMixer,
  StateMixer,
  LinearRope,
  ProportionalRope,
  Llama3Rope,
  LongropeSpec,
  YarnSpec,
  IndexerSpec,
  ShortConvMixer,
  DeltaRuleMixer,
  LongropeFactors,
} from './model/spec/spec.js';
export type { ChatMessage, ChatOptions, ChatTemplates } from './tokenizer/chat_template.js';
export { TokenizerError, type TokenizerErrorCode } from './tokenizer/errors.js';
export { loadTokenizer, type Tokenizer, type DecodeOptions, type EncodeOptions } from './tokenizer/tokenizer.js';
export { openCheckpoint, type Checkpoint, type CheckpointOptions, type ReadOptions } from './weights/checkpoint.js';
export { WeightError, type WeightErrorCode } from './weights/errors.js';
export { DEMO_MODEL, VERSION } from './config/package_files.js';
export type { Plugin, PluginApi, SpecOf } from './plugins/plugin.js';
export { PluginError, type PluginErrorCode } from './plugins/errors.js';
export type { CustomGate, GateBatch } from '../experts/routing/custom_gate.js';
export type { WireCodec } from '../comm/codec/wire_codec.js';
export type { ReplicaChooser } from '../experts/placement/replica_choice.js';
export type { ExpertUse, TierPolicy } from '../experts/tiers/tier_policy.js';
export type { PlanRequest } from '../experts/placement/planners/planner.js';
export type { Candidate, InstanceView } from './cluster/base/instance_view.js';
export type { Choice, RoutedRequest, RoutingPolicy } from './cluster/base/routed_request.js';
export { KvPool, type KvMatch } from './kv_pool/kv_pool.js';
export type { KvPoolUse } from './kv_pool/pool_blocks.js';
export type { KvPoolAddress } from './kv_pool/pool_link.js';
export type { KvPoolListen } from './kv_pool/pool_door.js';
export type { KvPoolOptions } from './kv_pool/pool_options.js';
export { KvPoolError, type KvPoolErrorCode } from './kv_pool/errors.js';
/** Policies, prefix index and moves, without a server. */
export * as routing from './cluster/routing/index.js';
export { BlockLedger } from './head/scheduling/blocks/block_ledger.js';

// Types that those above are made of.
export type { LayerCounts, TierStats, WarmStats } from '../experts/tiers/tier_counts.js';
export type { OnScale, ScaleEvent, Scaled, ScalingStats, ScaleCause } from './head/elastic/scale_events.js';
export type { ArrivalCounts } from './head/handover/arrival_counts.js';
export type { Loan, LoanTerms, LoanEnd } from './head/kv/loan.js';
export type { PoolCounts, PoolOrigin, FetchCounts } from './head/kv/pool_counts.js';
export type { RankState } from './head/observing/rank_states.js';
export type { ObservedStep } from './head/observing/step_observer.js';
export type { OpenedModel } from './head/opened_model.js';
export type { ExpertsEvent, OnExperts, Recovered } from './head/rebalancing/experts_event.js';
export type { PrefixSharing } from './head/scheduling/blocks/prefix_sharing.js';
export type { StoredBlocks } from './head/scheduling/blocks/stored_blocks.js';
export type { SequenceLoads, SequenceLoad } from './head/scheduling/sequence_loads.js';
export type { OnSpeed, RankSpeed, SpeedEvent } from './head/speeds/speed_events.js';
export type { OnTimeline } from './job/job.js';
export type { LocalRanks } from './job/local_ranks.js';
export type { LostRank } from './job/members.js';
export type { EpochChange } from './job/step_runner.js';
export type { Family } from './model/families/blocks/family.js';
export type { Quantization } from './model/spec/quantization.js';
export type { Residence, Compute, ResidentChoice } from './model/weights/residence.js';
export type { ResidentOverride } from './model/weights/resident_overrides.js';
export type { BlockHolder, BorrowedBlocks } from './protocol/kv_loan.js';
export type { KeyedBlock } from './protocol/kv_store.js';
export type { TierCounts, TierUse } from './protocol/kv_use.js';
export type { EngineLimits, StateLimits } from './protocol/limits.js';
export type { LoadReport, RankStats, KernelReport } from './protocol/step_plan.js';
export type { SpecialTokenName } from './tokenizer/tokenizer_config.js';
export type { TensorInfo } from './weights/safetensors_header.js';
export type { TensorPlace } from './weights/tensor_hash_worker.js';
export type { Moved } from './head/rebalancing/move_stats.js';
