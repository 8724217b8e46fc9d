/** What a router tells the live page: one snapshot, then deltas. The page's code takes these types too, so this file imports types alone. */
import type { LivePercentiles } from '../../server/live/messages.js';
import type { Role } from '../../config/cluster_schema.js';

/** Of a router: what never changes. */
export interface LiveRouter {
  /** Of the cluster. */
  readonly name: string;
  readonly version: string;
  /** `router.policy`. */
  readonly policy: string;
}

/** One second of a router. */
export interface ClusterSecond {
  /** When it began: whole seconds since 1970. */
  readonly atS: number;
  /** Requests that were over in it. */
  readonly numRequests: number;
  /** Tokens that it passed on. */
  readonly numOutputTokens: number;
  /** Of prompts whose requests were over in it, and those of them that were foreseen in a prefix cache. */
  readonly numPromptTokens: number;
  readonly numCachedTokens: number;
  /** Requests that went on in another instance. */
  readonly numMoves: number;
  /** At its end, of all instances together. */
  readonly numRunning: number;
  readonly numWaiting: number;
  /** Until the first token, over the last 30 seconds; null: nothing was measured. */
  readonly ttftMs: LivePercentiles | null;
  /** Share of KV blocks in use at its end, of the fullest instance and of the emptiest; null: none tells. */
  readonly kvMost: number | null;
  readonly kvLeast: number | null;
}

/** `failing`: it doesn't answer as it should, and gets nothing; `draining`: it ends soon. */
export type LiveInstanceState = 'up' | 'failing' | 'draining';

/** An instance at this moment. */
export interface LiveInstance {
  readonly id: string;
  readonly role: Role;
  readonly model: string;
  /** A server of others tells nothing of itself. */
  readonly isForeign: boolean;
  readonly state: LiveInstanceState;
  readonly numRanks: number;
  readonly numRunning: number;
  readonly numWaiting: number;
  /** Prompt tokens that its requests wait for. */
  readonly numPrefillTokens: number;
  /** Of sequences, and with prefixes for later ones; 0 of 0: it doesn't tell. */
  readonly numUsedBlocks: number;
  readonly numCachedBlocks: number;
  readonly numKvBlocks: number;
  /** Between two tokens of one sequence; null: it doesn't tell, or generates none. */
  readonly tbtMs: number | null;
}

/** The router at this moment, and since it began. */
export interface ClusterNow {
  /** Milliseconds since 1970. */
  readonly atMs: number;
  /** {@link CLUSTER_LIMITS.numInstances} at most, by their ids. */
  readonly instances: readonly LiveInstance[];
  /** How many there are. */
  readonly numInstances: number;
  readonly ttftMs: LivePercentiles | null;
  readonly numRequests: number;
  readonly numOutputTokens: number;
  readonly numPromptTokens: number;
  readonly numCachedTokens: number;
  readonly numMoves: number;
  /** Sent again before their first token; gone on with elsewhere behind it, because an instance failed. */
  readonly numRetries: number;
  readonly numResumes: number;
  /** Answered with 429. */
  readonly numRejected: number;
}

/** Something that happened to instances or requests. */
export interface ClusterEvent {
  readonly number: number;
  readonly atMs: number;
  readonly text: string;
}

/** What changes; seconds and events are new ones, oldest first. */
export interface ClusterDelta {
  readonly now: ClusterNow;
  readonly seconds: readonly ClusterSecond[];
  readonly events: readonly ClusterEvent[];
}

/** The first message: everything that is kept. */
export interface ClusterSnapshot extends ClusterDelta {
  readonly router: LiveRouter;
}

/** How much is told and kept, beside what LIVE_LIMITS says. */
export const CLUSTER_LIMITS = { numInstances: 256, numEvents: 32 } as const;
