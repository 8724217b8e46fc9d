import type { LogitRow } from '../model/decoder/logits.js';
import type { LogprobTable } from '../protocol/step_plan.js';
import { checkFinite } from './finite_logits.js';

/** Collects how likely tokens are, row by row of logits. */
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
    const logprobOf = logSoftmax(logits);
    this.logprobs.push(logprobOf(token));
    this.ranks.push(rankOf(logits, token));
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

/** log softmax(logits), in nats, token by token. */
export function logSoftmax(logits: Float32Array): (token: number) => number {
  let highest = -Infinity;
  for (const logit of logits) if (logit > highest) highest = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - highest);
  const logSum = Math.log(sum);
  return (token) => logits[token]! - highest - logSum;
}

/** 1 = the most likely token; of equally likely ones the lower comes first. */
function rankOf(logits: Float32Array, token: number): number {
  const own = logits[token]!;
  let rank = 1;
  for (let other = 0; other < logits.length; other++) {
    const logit = logits[other]!;
    if (logit > own || (logit === own && other < token)) rank++;
  }
  return rank;
}
