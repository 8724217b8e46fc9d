/** What became of one request, for metrics and the log. Nothing of what was said. */
import type { Asked } from './asked.js';

/** Why a request went on elsewhere. `apart`: its prompt was computed by another instance; the others are reasons to move it. */
export type MoveWhy = 'apart' | 'asked' | 'drain' | 'balance' | 'defragment' | 'priority';

/** A request that went, or was to go, from one instance to another while both live. */
export interface MoveStory {
  readonly request: string;
  readonly from: string;
  readonly to: string;
  readonly why: MoveWhy;
  readonly ms: number;
  readonly isDone: boolean;
}

/** Of one request, from its arrival to the end of its answer. */
export interface RequestStory {
  readonly asked: Pick<Asked, 'id' | 'endpoint' | 'method' | 'isStream'>;
  /** That it was sent to, in order. */
  readonly instances: readonly string[];
  /** It was sent again before anything of its answer was. */
  readonly numRetries: number;
  /** Another instance went on where one had failed. */
  readonly numResumes: number;
  readonly moves: readonly MoveStory[];
  readonly numPromptTokens: number;
  /** Of the prompt, as the router foresaw. */
  readonly numCachedTokens: number;
  /** Null: nobody says. */
  readonly numOutputTokens: number | null;
  readonly status: number;
  /** The client has not all of it. */
  readonly isCutOff: boolean;
  /** Null: no token came. */
  readonly firstTokenMs: number | null;
  readonly ms: number;
}
