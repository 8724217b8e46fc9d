/** What who decides sees of instances: numbers alone, so that what decides is a pure function. */
import type { InstanceRecord } from './instance_record.js';
import type { LoadReport } from './load_report.js';

/** How fast an instance is, as it reports or as a router saw it; null: nobody knows yet. */
export interface InstanceRates {
  readonly prefillTokensPerS: number | null;
  /** What one more sequence among those that run would have between two tokens, ms. */
  readonly tbtMs: number | null;
  /** Requests that it ends per second while it has some. */
  readonly requestsPerS: number | null;
  /** Mean of the last requests, from sending to end, ms. */
  readonly latencyMs: number | null;
}

/** One instance, as it is now as far as this router knows: what it reported, and what was sent there since. */
export interface InstanceView {
  readonly record: InstanceRecord;
  /** It answers, and what was sent there lately didn't fail. */
  readonly isHealthy: boolean;
  /** Requests that wait and run there. */
  readonly numRequests: number;
  /** Tokens that are to be computed there before all of its requests have their first token. */
  readonly numPrefillTokens: number;
  /** KV blocks that its requests hold, or will for their prompts. */
  readonly numActiveBlocks: number;
  /** Requests of which a long output is predicted, of those that this router sent there. */
  readonly numHeavy: number;
  /** The others. */
  readonly numLight: number;
  /** The number of the request that went there last; −1: none did. */
  readonly lastRouted: number;
  readonly rates: InstanceRates;
  /** What it reported last; null: nothing. */
  readonly load: LoadReport | null;
}

/** An instance that may take a request. */
export interface Candidate extends InstanceView {
  /** The request's first tokens that are in its prefix cache. */
  readonly numCachedTokens: number;
  /** Those behind them that another instance has in a cache that this one can read. */
  readonly numFetchableTokens: number;
  /** KV blocks that its requests will hold more if this one's prompt comes: those that others there hold already aren't counted again. */
  readonly numAddedBlocks: number;
}
