/**
 * What the server tells the live page: one snapshot, then deltas. The page's code takes these types too, so this file imports nothing.
 * Shape suffixes: L MoE layers, E logical experts, R ranks. Text named `base64` is base64 of bytes, in order of rows.
 */
import type { RankState } from '../../head/observing/rank_states.js';
import type { KvTier } from '../../protocol/kv_store.js';

/** Of a model and its job: what never changes. */
export interface LiveModel {
  readonly name: string;
  readonly version: string;
  /** The model's layers that are MoE layers, ascending: [L]. */
  readonly moeLayers: readonly number[];
  /** The most that a layer has. */
  readonly numExperts: number;
  /** [L] Absent: all layers have as many. */
  readonly numExpertsByLayer?: readonly number[];
  readonly numTopk: number;
  readonly backend: string;
  /** Tokens of prompt and output of one request. */
  readonly contextLength: number;
}

/** Nearest-rank percentiles, in milliseconds. */
export interface LivePercentiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

/** One second of the job. */
export interface LiveSecond {
  /** When it began: whole seconds since 1970. */
  readonly atS: number;
  /** Tokens that were generated in it, and tokens of prompts that were computed. */
  readonly numOutputTokens: number;
  readonly numPromptTokens: number;
  /** Requests at its end. */
  readonly numRunning: number;
  readonly numWaiting: number;
  /** Over the last {@link LIVE_LIMITS.latencyWindowS} seconds; null: nothing was measured. */
  readonly ttftMs: LivePercentiles | null;
  readonly itlMs: LivePercentiles | null;
  /** Share of KV blocks that sequences hold at its end, per rank [R]; null: lost. */
  readonly kvUse_R: readonly (number | null)[];
  /** Balancedness of its steps over all MoE layers; null: no step ended in it, or none with tokens. */
  readonly balance: number | null;
  /** The same of each MoE layer [L], in 255ths, 0: none; as base64. Null where `balance` is. */
  readonly layerBalanceBase64: string | null;
}

/** What a scheduler made of one step. */
export interface LiveStep {
  readonly step: number;
  readonly stepMs: number;
  /** Tokens per rank [R]: of prompts (also those that are computed once more), and generated ones. */
  readonly numPrefill_R: readonly number[];
  readonly numDecode_R: readonly number[];
  /** Sequences per rank [R] that begin with it, and that gave way to it. */
  readonly numAdmitted_R: readonly number[];
  readonly numPreempted_R: readonly number[];
}

/** What a rank keeps of KV blocks that its cache has no room for. */
export interface LiveTier {
  readonly tier: KvTier;
  readonly numBlocks: number;
  readonly numBytes: number;
  readonly maxBytes: number;
}

/** A place where keys and values of prompts are looked for, behind those before it: below the cache, or on other ranks and instances. */
export interface LivePlace {
  readonly place: KvTier | 'elsewhere';
  /** Tokens, since the engine began: those that were looked for, and those of them that were found. */
  readonly numQueries: number;
  readonly numHits: number;
}

/** A rank at this moment. */
export interface LiveRank {
  readonly rank: number;
  readonly state: RankState;
  readonly numRunning: number;
  /** KV blocks that sequences hold, and those that hold prefixes for later ones. */
  readonly numUsedBlocks: number;
  readonly numCachedBlocks: number;
  /** Those that stay for a time, wherever they lie. */
  readonly numPinnedBlocks: number;
  readonly numKvBlocks: number;
  /** The nearest first. */
  readonly tiers: readonly LiveTier[];
}

/** The job at this moment. */
export interface LiveNow {
  /** Milliseconds since 1970. */
  readonly atMs: number;
  readonly numWaiting: number;
  readonly ranks: readonly LiveRank[];
  readonly ttftMs: LivePercentiles | null;
  readonly itlMs: LivePercentiles | null;
  /** Since the engine began. */
  readonly numSteps: number;
  readonly numPromptTokens: number;
  readonly numOutputTokens: number;
  readonly numPreempted: number;
  /** Prompt tokens that were looked up in the prefix cache, and those of them that it held. */
  readonly numPrefixQueries: number;
  readonly numPrefixHits: number;
  /** Where else they were looked for. */
  readonly places: readonly LivePlace[];
  readonly numDegradedTokens: number;
}

/** How often experts were chosen in the last steps (`load_balance.window_size`). */
export interface LiveLoad {
  /** [L·E] bytes: round(255 · √(load / maxLoad)), so that small loads keep digits. */
  readonly base64: string;
  /** Tokens of the expert that is chosen most, over all layers. */
  readonly maxLoad: number;
  /** Tokens of each layer's experts together [L], times K. */
  readonly total_L: readonly number[];
}

/** Which rank holds which expert; a rank that isn't there holds nothing. */
export interface LivePlacement {
  readonly version: number;
  readonly slotsPerRank: number;
  /** Per MoE layer [R·slots] 16-bit numbers, little-endian: the logical expert in each slot, 65535 = empty; null: as in the layer before. */
  readonly phy2logBase64: readonly (string | null)[];
  /** Ranks that aren't there: they hold nothing. */
  readonly absentRanks: readonly number[];
}

/** What crosses between ranks: bytes per second [source][destination] since the last message about it, rounded. */
export interface LiveTraffic {
  readonly dispatch_RR: readonly (readonly number[])[];
  readonly combine_RR: readonly (readonly number[])[];
}

/** Something that happened to the job. */
export interface LiveEvent {
  readonly number: number;
  readonly atMs: number;
  readonly kind:
    'loss' | 'rebalance' | 'rebalance_failed' | 'homes' | 'homes_failed' | 'speed' | 'join' | 'scale' | 'scale_failed';
  readonly text: string;
}

/** What changes. Parts that did not change are absent or empty; seconds, steps and events are new ones, oldest first. */
export interface LiveDelta {
  readonly now: LiveNow;
  readonly seconds: readonly LiveSecond[];
  readonly steps: readonly LiveStep[];
  readonly events: readonly LiveEvent[];
  readonly load?: LiveLoad;
  readonly placement?: LivePlacement;
  readonly traffic?: LiveTraffic;
}

/** The first message: everything that is kept. */
export interface LiveSnapshot extends Required<LiveDelta> {
  readonly model: LiveModel;
}

/** Names of the messages, as the stream's `event` fields have them. */
export type LiveMessageName = 'snapshot' | 'delta';

/** How much is kept, by server and page alike. */
export const LIVE_LIMITS = {
  numSeconds: 300,
  numSteps: 32,
  numEvents: 16,
  /** Gaps and first tokens that percentiles are taken over: of the last seconds, and the last of these many. */
  latencyWindowS: 30,
  numLatencies: 4096,
  /** Between two deltas. */
  intervalMs: 500,
} as const;
