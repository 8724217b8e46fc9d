/** What becomes of a sequence's outputs, step by step: text for a generation, log-probabilities for a score. */
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { EventQueue } from './event_queue.js';
import { OutputText } from './text/output_text.js';
import type { FinishReason, GenerationRequest, ScoreRequest, ScoreResult, TokenEvent } from '../protocol/request.js';
import type { PlanPart, SequenceOutput } from '../protocol/step_plan.js';

/** How [n·L·K] routed experts are cut. */
export interface RoutingShape {
  readonly numMoeLayers: number;
  readonly numTopk: number;
}

export interface Sequence {
  /** Takes a committed output; true when the sequence is over. */
  take(part: PlanPart, output: SequenceOutput): boolean | Promise<boolean>;
  /** Positions whose tokens lost an expert in a committed step, replays included. */
  degrade(positions: readonly number[]): void;
  fail(error: Error): void;
}

export interface GenerationOptions {
  readonly request: GenerationRequest;
  readonly seed: number;
  readonly eosTokenIds: readonly number[];
  readonly tokenizer: Tokenizer | undefined;
  readonly shape: RoutingShape;
}

export class Generation implements Sequence {
  readonly events = new EventQueue<TokenEvent>();
  private readonly options: GenerationOptions;
  private readonly text: OutputText;
  private readonly routedExperts: number[][][] = [];
  private readonly degraded = new Set<number>();
  private numTokens = 0;

  constructor(options: GenerationOptions) {
    this.options = options;
    this.text = new OutputText(options.tokenizer, options.request.stop ?? []);
  }

  take(_part: PlanPart, output: SequenceOutput): boolean {
    const { request, shape } = this.options;
    const isWanted = request.returnRoutedExperts === true; // a recorder may want them alone
    if (isWanted && output.routedExperts) this.routedExperts.push(...cut(output.routedExperts, shape));
    if (output.tokenId === null) return false;
    this.numTokens++;
    const isEnd = request.ignoreEos !== true && this.options.eosTokenIds.includes(output.tokenId);
    const { text, isStopped } = isEnd ? this.text.flush() : this.text.push(output.tokenId);
    this.events.push({ kind: 'token', tokenId: output.tokenId, text });
    if (isEnd || isStopped) return this.finish('stop', '');
    if (this.numTokens < request.maxNewTokens) return false;
    const last = this.text.flush();
    return this.finish(last.isStopped ? 'stop' : 'length', last.text);
  }

  degrade(positions: readonly number[]): void {
    for (const position of positions) this.degraded.add(position);
  }

  fail(error: Error): void {
    this.events.close(error);
  }

  private finish(reason: FinishReason, text: string): true {
    const { seed, request } = this.options;
    const routedExperts = request.returnRoutedExperts === true ? this.routedExperts : null;
    const numDegradedTokens = this.degraded.size;
    this.events.push({ kind: 'finished', reason, text, seed, routedExperts, numDegradedTokens });
    this.events.close();
    return true;
  }
}

export class Score implements Sequence {
  readonly result: Promise<ScoreResult>;
  private readonly request: ScoreRequest;
  private readonly shape: RoutingShape;
  private readonly logprobs: number[] = [];
  private readonly routedExperts: number[][][] = [];
  private readonly degraded = new Set<number>();
  private settle!: { resolve(result: ScoreResult): void; reject(error: Error): void };

  constructor(request: ScoreRequest, shape: RoutingShape) {
    this.request = request;
    this.shape = shape;
    this.result = new Promise((resolve, reject) => (this.settle = { resolve, reject }));
  }

  async take(part: PlanPart, output: SequenceOutput): Promise<boolean> {
    if (output.logits) await this.request.onLogits?.(output.logits);
    this.logprobs.push(...(output.promptLogprobs ?? []));
    this.routedExperts.push(...cut(output.routedExperts ?? new Uint16Array(), this.shape));
    if (part.nextPromptToken !== null) return false;
    const logprobs = this.logprobs.slice(0, -1); // nothing follows the last token
    const mean = logprobs.reduce((a, b) => a + b, 0) / logprobs.length;
    const { routedExperts, degraded } = this;
    this.settle.resolve({ logprobs, perplexity: Math.exp(-mean), routedExperts, numDegradedTokens: degraded.size });
    return true;
  }

  degrade(positions: readonly number[]): void {
    for (const position of positions) this.degraded.add(position);
  }

  fail(error: Error): void {
    this.settle.reject(error);
  }
}

/** [n·L·K] → [n][L][K] */
function cut(experts: Uint16Array, { numMoeLayers, numTopk }: RoutingShape): number[][][] {
  const perToken = numMoeLayers * numTopk;
  return Array.from({ length: perToken === 0 ? 0 : experts.length / perToken }, (_, token) =>
    Array.from({ length: numMoeLayers }, (_, layer) => {
      const start = token * perToken + layer * numTopk;
      return [...experts.subarray(start, start + numTopk)];
    }),
  );
}
