/** What comes of choices, as POST /v1/completions tells it. */
import type { Delta } from './requests/choice_deltas.js';
import type { AnswerHead } from '../journal/kept_request.js';
import type { CompletionRequest } from './requests/completion_request.js';
import { completionLogprobs, promptLogprobs, type CompletionLogprobs, type RatedToken } from './logprobs.js';
import { routerLogitsOf } from './router_logits.js';
import type { TokenNames } from './token_names.js';
import type { Usage } from './usage.js';

/** Makes the answers to one request. */
export class CompletionForm {
  /** Of choices that were told of before: characters so far. */
  private readonly offsets = new Map<number, number>();

  /** `promptText`: of a prompt that was given as tokens. */
  constructor(
    private readonly head: AnswerHead,
    private readonly request: Omit<CompletionRequest, 'prompt'>,
    private readonly names: TokenNames,
    private readonly promptText: (tokenIds: readonly number[]) => string,
  ) {}

  /** A whole answer, or a piece of one, of which `usage` may be null. */
  answer(deltas: readonly Delta[], usage: Usage | null): object {
    const { id, created, model } = this.head;
    const choices = deltas.map((delta) => this.choice(delta));
    return { id, object: 'text_completion', created, model, choices, ...(usage !== null && { usage }) };
  }

  private choice(delta: Delta): object {
    const { request } = this;
    const { choice, tokens, end, text } = delta;
    const isFirst = !this.offsets.has(choice.index);
    const echo =
      isFirst && request.echo === true ? (choice.prompt.text ?? this.promptText(choice.prompt.tokenIds)) : '';
    return {
      index: choice.index,
      text: echo + text,
      logprobs: this.logprobs(delta, isFirst),
      finish_reason: end?.reason ?? null,
      stop_reason: end?.stoppedBy ?? null,
      ...(request.return_token_ids === true && {
        token_ids: tokens.map(({ tokenId }) => tokenId),
        prompt_token_ids: isFirst ? choice.prompt.tokenIds : null,
      }),
      ...(request.prompt_logprobs != null &&
        isFirst && { prompt_logprobs: promptLogprobsOf(delta, request, this.names) }),
      ...moreOf(delta, request),
    };
  }

  private logprobs(delta: Delta, isFirst: boolean): CompletionLogprobs | null {
    const { request, names, offsets } = this;
    const { index } = delta.choice;
    const offset = offsets.get(index) ?? 0;
    offsets.set(index, offset);
    if (request.logprobs == null) return null;
    const echoed = isFirst && request.echo === true ? ratedPrompt(delta, request.logprobs) : [];
    const { logprobs, nextOffset } = completionLogprobs([...echoed, ...delta.tokens], names, offset);
    offsets.set(index, nextOffset);
    return logprobs;
  }
}

/** vLLM's `prompt_logprobs` of one choice. */
export function promptLogprobsOf(
  delta: Delta,
  { prompt_logprobs: count }: { readonly prompt_logprobs?: number | null | undefined },
  names: TokenNames,
): (object | null)[] {
  return promptLogprobs(ratedPrompt(delta, count ?? 0), names);
}

/** Experts and router logits, where they were asked for, and tokens that lost an expert. */
export function moreOf(
  { tokens, end }: Delta,
  request: Pick<CompletionRequest, 'return_routed_experts' | 'return_router_logits' | 'stream'>,
): object {
  const { return_routed_experts: isWanted, return_router_logits: logits, stream } = request;
  const experts = stream === true ? tokens.flatMap(({ routedExperts }) => routedExperts ?? []) : end?.routedExperts;
  const numDegraded = end?.numDegradedTokens ?? 0;
  return {
    ...(isWanted === true && { routed_experts: experts }),
    ...(logits != null &&
      logits !== false && { router_logits: routerLogitsOf(end === null ? tokens : [...tokens, end]) }),
    ...(numDegraded > 0 && { degraded_tokens: numDegraded }),
  };
}

/** The tokens of a prompt, each with so many of the likeliest ones in its place. */
function ratedPrompt({ choice, promptLogprobs: given }: Delta, count: number): RatedToken[] {
  return choice.prompt.tokenIds.map((tokenId, i) => {
    const logprobs = given?.[i] ?? null;
    return { tokenId, logprobs: logprobs && { ...logprobs, top: logprobs.top.slice(0, count) } };
  });
}
