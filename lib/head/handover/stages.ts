/** What a sequence that arrives waits for next. Pure. Why: docs/decisions/handover.md#stages-until-little-is-left */

/** How much goes while the source still generates. */
export interface StageLimits {
  /** Pulls of one sequence, with the last one, for which the source pauses. */
  readonly maxStages: number;
  /** Tokens that the last one may have to bring: fewer, and the source pauses for them. */
  readonly lastStageTokens: number;
}

/** A sequence that arrives, and its source. */
export interface StageView extends StageLimits {
  readonly numPromptTokens: number;
  /** Of its output that are known. */
  readonly numOutputTokens: number;
  /** Its first tokens that are here. */
  readonly numHere: number;
  /** Its first tokens that can be read there. */
  readonly numReadable: number;
  /** They are what they would be here, and nothing was in the way of reading them. */
  readonly canPull: boolean;
  /** A rank has them; `away`: one had. */
  readonly place: 'there' | 'away' | 'nowhere';
  /** Nothing is added there any more. */
  readonly isFinal: boolean;
  /** It will be so without being asked: what it computes until then is wanted. */
  readonly pausesItself: boolean;
  /** Tokens of the prompt are pulled before they are computed. */
  readonly isStreamed: boolean;
  /** Pulls that were done. */
  readonly numStages: number;
}

/** `wait`: until the source has so many tokens; `pull`: those up to `to`; `finish`: the source pauses; `go_on`: here, behind what is there. */
export type Stage =
  | { readonly kind: 'wait'; readonly numTokens: number }
  | { readonly kind: 'pull'; readonly to: number }
  | { readonly kind: 'finish' }
  | { readonly kind: 'go_on' };

/** The last token that is known is computed here in any case: what it leads to isn't known. */
export function nextStage(view: StageView): Stage {
  const { numPromptTokens, numOutputTokens, numHere, numReadable, isFinal, place } = view;
  const canPull = view.canPull && place === 'there';
  const to = Math.min(numReadable, numPromptTokens + numOutputTokens - 1);
  if (isFinal) return canPull && numHere < to ? { kind: 'pull', to } : { kind: 'go_on' };
  const isComputed = numOutputTokens > 0 || numReadable >= numPromptTokens;
  // A prompt that is computed anew there needn't be here; one that never began can as well begin here.
  if (view.canPull && place === 'away' && !isComputed) return { kind: 'wait', numTokens: numPromptTokens };
  if (!canPull) return pauseOf(view);
  if (!isComputed) {
    const isNext = view.isStreamed && numHere < numPromptTokens;
    return isNext ? { kind: 'pull', to: numPromptTokens } : { kind: 'wait', numTokens: numPromptTokens };
  }
  const isLast = to - numHere <= view.lastStageTokens || view.numStages + 1 >= view.maxStages;
  return isLast ? pauseOf(view) : { kind: 'pull', to };
}

const pauseOf = ({ pausesItself }: StageView): Stage =>
  pausesItself ? { kind: 'wait', numTokens: Number.MAX_SAFE_INTEGER } : { kind: 'finish' };
