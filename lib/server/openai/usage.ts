/** How many tokens a request took. Pure. */
import type { Delta } from './requests/choice_deltas.js';

/** As OpenAI tells it. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
}

/** Counts tokens of the choices of one answer. A prompt counts once, whatever `n` is. */
export class UsageCounter {
  private readonly numPromptTokens: number;
  private numCompletionTokens = 0;
  private numCachedTokens = 0;

  constructor(choices: readonly Delta['choice'][]) {
    const first = choices.filter(({ sample }) => sample === 0);
    this.numPromptTokens = first.reduce((sum, { prompt }) => sum + prompt.tokenIds.length, 0);
  }

  /** Adds what came of a choice. */
  add({ choice, tokens, end }: Delta): void {
    this.numCompletionTokens += tokens.length;
    if (choice.sample === 0) this.numCachedTokens += end?.numCachedTokens ?? 0;
  }

  /** What there is so far. */
  get usage(): Usage {
    const { numPromptTokens, numCompletionTokens, numCachedTokens } = this;
    return {
      prompt_tokens: numPromptTokens,
      completion_tokens: numCompletionTokens,
      total_tokens: numPromptTokens + numCompletionTokens,
      prompt_tokens_details: { cached_tokens: numCachedTokens },
    };
  }
}
