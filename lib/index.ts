/** The public face `expertwire`: an engine over expert-parallel ranks, and what it is configured and asked with. */
export { CodedError, InternalError } from '../base/coded_error.js';
export { ConfigError, type ConfigErrorCode } from './config/errors.js';
export { loadConfig, type LoadConfigOptions, type PartialConfig } from './config/load.js';
export { DEFAULTS, type ConfigPrompt, type ExpertwireConfig } from './config/schema.js';
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
export type { OnRebalance, Rebalance, RebalanceEvent, RebalanceStats } from './head/rebalancing/rebalance_stats.js';
export { createServer } from './serve.js';
export type { ServerOptions } from './server/base/options.js';
export type { Access, ServerApp, ServerContext } from './server/base/part.js';
export type { ServedEngine } from './server/base/served_engine.js';
export type { HttpServer } from './server/create_server.js';
export { balancedness, rankLoads } from '../experts/placement/balance.js';
export type { BalancePoint } from './metrics/balance_series.js';
export { ModelError, type ModelErrorCode } from './model/spec/errors.js';
export { FAMILIES, modelSpecOf } from './model/families/registry.js';
export type { ModelSpec } from './model/spec/spec.js';
export type { ChatMessage } from './tokenizer/chat_template.js';
export { TokenizerError, type TokenizerErrorCode } from './tokenizer/errors.js';
export { loadTokenizer, type Tokenizer } from './tokenizer/tokenizer.js';
export { openCheckpoint, type Checkpoint } from './weights/checkpoint.js';
export { WeightError, type WeightErrorCode } from './weights/errors.js';
export { DEMO_MODEL, VERSION } from './config/package_files.js';
export type { Plugin, PluginApi } from './plugins/plugin.js';
export { PluginError, type PluginErrorCode } from './plugins/errors.js';
export type { CustomGate, GateBatch } from '../experts/routing/custom_gate.js';
export type { WireCodec } from '../comm/codec/wire_codec.js';
export type { ReplicaChooser } from '../experts/placement/replica_choice.js';
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
