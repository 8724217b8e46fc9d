import type { LogitRow } from '../../model/decoder/logits.js';
import type { LogprobTable } from '../../protocol/step_plan.js';
import { checkFinite } from './finite_logits.js';

/**
 * Collects how likely tokens are, row by row of logits.
 * Why: docs/decisions/requests.md#log-probabilities-are-the-models-own
 */
export class LogprobRows {
  private readonly logprobs: number[] = [];
  private readonly ranks: number[] = [];
  private readonly topTokenIds: number[] = [];
  private readonly topLogprobs: number[] = [];

  /** `numTop`: how many of the most likely tokens are told of each row; all where there are fewer. */
  constructor(private readonly numTop: number) {}

  /** How likely `token` is by these logits. @throws EngineError NOT_FINITE */
  add(row: LogitRow, token: number): void {
    checkFinite(row);
    const logits = row.values();
    const highest = logits[row.best(1)[0]!]!;
    const { rank, sum } = placeOf(logits, token, highest);
    const logSum = Math.log(sum);
    const logprobOf = (id: number): number => logits[id]! - highest - logSum;
    this.logprobs.push(logprobOf(token));
    this.ranks.push(rank);
    if (this.numTop === 0) return;
    const top = row.best(Math.min(this.numTop, row.vocabSize));
    this.topTokenIds.push(...top);
    this.topLogprobs.push(...top.map(logprobOf));
  }

  /** Of all rows so far. */
  table(): LogprobTable {
    return {
      logprobs: Float64Array.from(this.logprobs),
      ranks: Int32Array.from(this.ranks),
      topTokenIds: Int32Array.from(this.topTokenIds),
      topLogprobs: Float64Array.from(this.topLogprobs),
    };
  }
}

/**
 * Rank of a token, 1 = the most likely one, the lower one first of those that are equally likely; and Σ exp(logit − highest) of all tokens. One loop
 * over indices: the vocabulary is large, and iterators take several times as long.
 */
function placeOf(
  logits: Float32Array,
  token: number,
  highest: number,
): { readonly rank: number; readonly sum: number } {
  const own = logits[token]!;
  let rank = 1;
  let sum = 0;
  for (let other = 0; other < logits.length; other++) {
    const logit = logits[other]!;
    sum += Math.exp(logit - highest);
    if (logit > own || (logit === own && other < token)) rank++;
  }
  return { rank, sum };
}
