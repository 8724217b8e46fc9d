/** The public face `expertwire`: an engine over expert-parallel ranks, and what it is configured and asked with. */
export { ConfigError, type ConfigErrorCode } from './config/errors.js';
export { loadConfig, type LoadConfigOptions, type PartialConfig } from './config/load.js';
export { DEFAULTS, type ConfigPrompt, type ExpertwireConfig } from './config/schema.js';
export { Engine, type EngineOptions, type Loss, type OnLoss } from './engine/engine.js';
export { EngineError, type EngineErrorCode } from './engine/errors.js';
export type {
  FinishReason,
  GenerationRequest,
  ScoreRequest,
  ScoreResult,
  TokenEvent,
  TokenSource,
} from './engine/request.js';
export { GREEDY, type SamplingParams } from './engine/sampler.js';
export type { OnRebalance, Rebalance, RebalanceEvent, RebalanceStats } from './engine/rebalance_stats.js';
export type { EngineStats } from './engine/stats.js';
export { balancedness, rankLoads } from './metrics/balance.js';
export type { BalancePoint } from './metrics/balance_series.js';
export { ModelError, type ModelErrorCode } from './model/errors.js';
export { FAMILIES, modelSpecOf } from './model/registry.js';
export type { ModelSpec } from './model/spec.js';
export type { ChatMessage } from './tokenizer/chat_template.js';
export { TokenizerError, type TokenizerErrorCode } from './tokenizer/errors.js';
export { loadTokenizer, type Tokenizer } from './tokenizer/tokenizer.js';
export { openCheckpoint, type Checkpoint } from './weights/checkpoint.js';
export { WeightError, type WeightErrorCode } from './weights/errors.js';
export { DEMO_MODEL, VERSION } from './package_files.js';
