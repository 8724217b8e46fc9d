/** What a scheduler leaves to a policy: decisions over small views, pure; the scheduler does what they say. */

/** A sequence that waits. */
export interface WaitingView {
  readonly sequence: number;
  /** Lower comes first, where the policy heeds it. */
  readonly priority: number;
  /** Sequences that came later and were admitted before it. */
  readonly numOvertaken: number;
}

/** What a rank that may run one more sequence offers one that waits. */
export interface Place {
  readonly rank: number;
  /** Sequences that run there. */
  readonly numSequences: number;
  /**
   * KV blocks left there once all tokens that there are so far are computed, those of the waiting sequence too, and the headroom is kept that others
   * grow into; negative: it doesn't fit now.
   */
  readonly numFreeBlocks: number;
  /** The waiting sequence's first tokens that are in the cache there. */
  readonly numCachedTokens: number;
  /** Those of them that no sequence holds: nobody else may ever want them. */
  readonly numIdleTokens: number;
  /** Tokens that are to be computed there before all sequences generate, those of the waiting sequence too. */
  readonly numPrefillTokens: number;
  /** Tokens that the blocks have room for which sequences hold there. */
  readonly numKvTokens: number;
  /** How many times longer than the median rank it takes for the same work. */
  readonly pace: number;
}

/** A sequence that runs. */
export interface RunningView {
  readonly sequence: number;
  /** Lower comes first, where the policy heeds it. */
  readonly priority: number;
  /** Its next token was generated; otherwise it computes its prompt, or computes anew what was lost. */
  readonly isGenerating: boolean;
  /** Tokens that one step could compute of it: 1 where it generates; 0 while its last token is being computed. */
  readonly numReady: number;
  /** Bytes that the next of those tokens, counted from 0, tells the head; null: none does. */
  readonly toldBytes: ((token: number) => number) | null;
}

/** What one rank may compute in one step. */
export interface StepBudget {
  readonly numTokens: number;
  /** That tokens tell the head; each alone fits. */
  readonly numBytes: number;
}

/** What a sequence computes in a step. */
export interface Share {
  readonly sequence: number;
  /** 1 … {@link RunningView.numReady} */
  readonly numTokens: number;
}

/** What a policy decides; pure, so that the same code runs live, in tests and in simulations. */
export interface SchedulingPolicy {
  /**
   * Which sequence runs next, and where; null: none for now. Asked again after each. `waiting`: in order of arrival, behind those that ran already;
   * `placesOf`: by ascending rank.
   */
  admit(
    waiting: readonly WaitingView[],
    placesOf: (sequence: number) => readonly Place[],
  ): { readonly sequence: number; readonly rank: number } | null;
  /** What one rank computes in a step: at least something where a sequence is ready and there is budget. `running`: in the order in which they were admitted. */
  plan(running: readonly RunningView[], budget: StepBudget): readonly Share[];
  /** Which of one rank's sequences, two at least and in the order in which they were admitted, gives way because blocks ran out: it waits and is computed anew. */
  preempt(running: readonly RunningView[]): number;
}
