/** What a request does to logits before a token is drawn from them. */
import { logitRowsOf, type LogitRow } from '../../model/decoder/logits.js';
import type { SamplingParams } from '../../protocol/sampling.js';
import type { SequenceStart } from '../../protocol/step_plan.js';

/** A sequence whose next token is due. */
export interface SampledSequence extends Pick<SequenceStart, 'numPromptTokens' | 'endTokenIds'> {
  readonly sampling: SamplingParams;
  /** Prompt and output so far. */
  readonly tokenIds: readonly number[];
}

/**
 * The logits that a token is drawn from, −∞ where one can't come; the given ones where the request leaves them alone. The order is that of vLLM's V1
 * sampler: allowed tokens, end tokens that come too early, biases, penalties.
 * Why: docs/decisions/requests.md#sampling-follows-vllm
 */
export function adjustedLogits(logits: LogitRow, sequence: SampledSequence): LogitRow {
  const { sampling, tokenIds, numPromptTokens, endTokenIds } = sequence;
  if (isPlain(sampling)) return logits;
  const { allowedTokenIds, logitBias, minTokens } = sampling;
  const outputTokenIds = tokenIds.slice(numPromptTokens);
  const scores = allowed(logits.values(), allowedTokenIds);
  if (outputTokenIds.length < minTokens) for (const token of endTokenIds) scores[token] = -Infinity;
  for (const [token, bias] of logitBias) scores[token]! += bias;
  penaliseRepetition(scores, sampling.repetitionPenalty, tokenIds);
  penaliseOutput(scores, sampling, outputTokenIds);
  return logitRowsOf(scores, scores.length)[0]!;
}

const isPlain = (sampling: SamplingParams): boolean =>
  sampling.allowedTokenIds === null &&
  sampling.minTokens === 0 &&
  sampling.logitBias.length === 0 &&
  sampling.repetitionPenalty === 1 &&
  sampling.presencePenalty === 0 &&
  sampling.frequencyPenalty === 0;

function allowed(scores: Float32Array, allowedTokenIds: readonly number[] | null): Float32Array {
  if (allowedTokenIds === null) return scores;
  const kept = new Float32Array(scores.length).fill(-Infinity);
  for (const token of allowedTokenIds) kept[token] = scores[token]!;
  return kept;
}

/** Once per token that occurred. */
function penaliseRepetition(scores: Float32Array, penalty: number, tokenIds: readonly number[]): void {
  if (penalty === 1) return;
  for (const token of new Set(tokenIds)) {
    const score = scores[token]!;
    scores[token] = score > 0 ? score / penalty : score * penalty;
  }
}

/** OpenAI's two penalties, one after the other, each rounded to float32 as logits are. */
function penaliseOutput(
  scores: Float32Array,
  { presencePenalty, frequencyPenalty }: SamplingParams,
  outputTokenIds: readonly number[],
): void {
  if (presencePenalty === 0 && frequencyPenalty === 0) return;
  const counts = new Map<number, number>();
  for (const token of outputTokenIds) counts.set(token, (counts.get(token) ?? 0) + 1);
  for (const [token, count] of counts) {
    scores[token]! -= frequencyPenalty * count;
    scores[token]! -= presencePenalty;
  }
}
