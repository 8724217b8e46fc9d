/** What becomes of a sequence's outputs, step by step: text for a generation, log-probabilities for a score. */
import { moeLayersOf, type ModelSpec } from '../model/spec/spec.js';
import { EventQueue } from './event_queue.js';
import type { SequenceEnd } from './observing/request_news.js';
import type { OpenedModel } from './opened_model.js';
import { OutputText } from './output_text.js';
import type { FinishReason, GenerationRequest, ScoreRequest, ScoreResult, TokenEvent } from '../protocol/request.js';
import type { PlanPart, SequenceOutput } from '../protocol/step_plan.js';

/** Takes what steps make of one sequence. */
export interface Sequence {
  /**
   * Takes a committed output; why the sequence is over, or null while it goes on.
   * @param numDegradedTokens its tokens so far that lost an expert, in replays too
   */
  take(
    part: PlanPart,
    output: SequenceOutput,
    numDegradedTokens: number,
  ): SequenceEnd | null | Promise<SequenceEnd | null>;
  fail(error: Error): void;
}

/** Tokens, and text where there is a tokenizer. */
export class Generation implements Sequence {
  readonly events = new EventQueue<TokenEvent>();
  private readonly spec: ModelSpec;
  private readonly text: OutputText;
  private readonly routedExperts: number[][][] = [];
  private numTokens = 0;

  constructor(
    private readonly request: GenerationRequest,
    private readonly seed: number,
    { spec, tokenizer }: Pick<OpenedModel, 'spec' | 'tokenizer'>,
  ) {
    this.spec = spec;
    this.text = new OutputText(tokenizer, request.stop ?? []);
  }

  take(_part: PlanPart, output: SequenceOutput, numDegradedTokens: number): SequenceEnd | null {
    const { request, spec } = this;
    const isWanted = request.returnRoutedExperts === true; // a recorder may want them alone
    if (isWanted && output.routedExperts) this.routedExperts.push(...cut(output.routedExperts, spec));
    if (output.tokenId === null) return null;
    this.numTokens++;
    const isEnd = request.ignoreEos !== true && spec.eosTokenIds.includes(output.tokenId);
    const { text, isStopped } = isEnd ? this.text.flush() : this.text.push(output.tokenId);
    this.events.push({ kind: 'token', tokenId: output.tokenId, text, logprobs: null, routedExperts: null });
    if (isEnd || isStopped) return this.finish('stop', '', numDegradedTokens);
    if (this.numTokens < request.maxNewTokens) return null;
    const last = this.text.flush();
    return this.finish(last.isStopped ? 'stop' : 'length', last.text, numDegradedTokens);
  }

  /** Ends the events with an error. */
  fail(error: Error): void {
    this.events.close(error);
  }

  private finish(reason: FinishReason, text: string, numDegradedTokens: number): FinishReason {
    const { seed, request } = this;
    const routedExperts = request.returnRoutedExperts === true ? this.routedExperts : null;
    const rest = { text, seed, routedExperts, numDegradedTokens, stoppedBy: null, numCachedTokens: 0 };
    this.events.push({ kind: 'finished', reason, ...rest });
    this.events.close();
    return reason;
  }
}

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

  async take(part: PlanPart, output: SequenceOutput, numDegradedTokens: number): Promise<SequenceEnd | null> {
    if (output.logits) await this.request.onLogits?.(output.logits);
    this.logprobs.push(...(output.promptLogprobs ?? []));
    this.routedExperts.push(...cut(output.routedExperts ?? new Uint16Array(), this.spec));
    if (part.nextPromptToken !== null) return null;
    const logprobs = this.logprobs.slice(0, -1); // nothing follows the last token
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

/** [n·L·K] → [n][L][K] */
function cut(experts: Uint16Array, spec: ModelSpec): number[][][] {
  const { numTopk } = spec.moe.gate;
  const numMoeLayers = moeLayersOf(spec).length;
  const perToken = numMoeLayers * numTopk;
  return Array.from({ length: perToken === 0 ? 0 : experts.length / perToken }, (_, token) =>
    Array.from({ length: numMoeLayers }, (_, layer) => {
      const start = token * perToken + layer * numTopk;
      return [...experts.subarray(start, start + numTopk)];
    }),
  );
}
