import type { ModelSpec } from '../model/spec/spec.js';
import type { SequenceEnd } from './observing/request_news.js';
import type { ScoreRequest, ScoreResult } from '../protocol/request.js';
import type { PlanPart, SequenceOutput } from '../protocol/step_plan.js';
import type { Sequence } from './sequence.js';
import { tokenExperts } from './token_outputs.js';

/** Log-probabilities of a prompt. */
export class Score implements Sequence {
  readonly result: Promise<ScoreResult>;
  private readonly logprobs: number[] = [];
  private readonly routedExperts: number[][][] = [];
  private settle!: { resolve(result: ScoreResult): void; reject(error: Error): void };

  constructor(
    private readonly request: ScoreRequest,
    private readonly spec: ModelSpec,
  ) {
    this.result = new Promise((resolve, reject) => (this.settle = { resolve, reject }));
  }

  /** Resolves the result with the last part. @throws what the caller's `onLogits` throws */
  async take(part: PlanPart, output: SequenceOutput, numDegradedTokens: number): Promise<SequenceEnd | null> {
    if (output.logits) await this.request.onLogits?.(output.logits);
    this.logprobs.push(...(output.promptLogprobs?.logprobs ?? []));
    this.routedExperts.push(...tokenExperts(output.routedExperts ?? new Uint16Array(), this.spec));
    if (part.nextPromptToken !== null) return null;
    const { logprobs } = this;
    const mean = logprobs.reduce((a, b) => a + b, 0) / logprobs.length;
    const { routedExperts } = this;
    this.settle.resolve({ logprobs, perplexity: Math.exp(-mean), routedExperts, numDegradedTokens });
    return 'scored';
  }

  /** Rejects the result. */
  fail(error: Error): void {
    this.settle.reject(error);
  }
}
