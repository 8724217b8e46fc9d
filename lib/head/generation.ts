/** What becomes of a generation's outputs, step by step. */
import type { ModelSpec } from '../model/spec/spec.js';
import { EventQueue } from './event_queue.js';
import type { SequenceEnd } from './observing/request_news.js';
import type { OpenedModel } from './opened_model.js';
import { OutputText, type TextPiece } from './output_text.js';
import type { FinishReason, GenerationRequest, RouterLogits, TokenEvent, TokenLogprobs } from '../protocol/request.js';
import type { SamplingParams } from '../protocol/sampling.js';
import type { LogprobTable, PlanPart, SequenceOutput } from '../protocol/step_plan.js';
import type { Sequence } from './sequence.js';
import { tokenExperts, tokenLogprobs } from './token_outputs.js';

/** Tokens, and text where there is a tokenizer. */
export class Generation implements Sequence {
  readonly events = new EventQueue<TokenEvent>();
  private readonly text: OutputText;
  /** [tokens][MoE layers][K] of all tokens that were fed to the model, and how many of them events have told of. */
  private readonly routedExperts: number[][][] = [];
  private numTold = 0;
  /** By position, [MoE layers][E] of tokens that are to be taken; then of all whom no event told of. */
  private readonly seenLogits = new Map<number, Float32Array[]>();
  private routerLogits: RouterLogits[] = [];
  private readonly promptLogprobs: (TokenLogprobs | null)[] = [null]; // nothing comes before the first token
  private numTokens = 0;
  /** False: tokens come that were told of earlier. */
  private isTelling = true;
  private numCachedTokens: number | null = null;
  private readonly spec: ModelSpec;

  /** `sampling`: all of it, the request's own or not. */
  constructor(
    private readonly request: GenerationRequest,
    private readonly sampling: Pick<SamplingParams, 'seed' | 'minTokens'>,
    { spec, tokenizer }: Pick<OpenedModel, 'spec' | 'tokenizer'>,
  ) {
    this.spec = spec;
    this.text = new OutputText(tokenizer, { ...request, minTokens: sampling.minTokens });
  }

  /** Takes tokens that came earlier, and tells nothing of them unless it is to; why it is over with them, or null. */
  resume(tokenIds: readonly number[]): FinishReason | null {
    const { source, tellAgain = false } = this.request;
    const { seed } = this.sampling;
    if (source !== undefined) this.events.push({ kind: 'resumed', text: '', numTokens: tokenIds.length, seed });
    this.isTelling = tellAgain;
    let end: FinishReason | null = null;
    for (const tokenId of tokenIds) end ??= this.takeToken(tokenId, undefined, 0);
    this.isTelling = true;
    return end;
  }

  /** The first time counts: what is computed anew later was computed once. */
  admit(numCachedTokens: number): void {
    this.numCachedTokens ??= numCachedTokens;
  }

  /** Tells of a token that came of it, of the prompt's log-probabilities, and of the end. */
  take(part: PlanPart, output: SequenceOutput, numDegradedTokens: number): SequenceEnd | null {
    const { request, spec } = this;
    const isWanted = request.returnRoutedExperts === true; // a recorder may want them alone
    if (isWanted && output.routedExperts) this.routedExperts.push(...tokenExperts(output.routedExperts, spec));
    if (isRouterLogits(request)) this.takeRouterLogits(part);
    if (part.isPrompt) this.takePrompt(part, output);
    const { tokenId } = output;
    if (tokenId !== null) return this.takeToken(tokenId, output.logprobs, numDegradedTokens);
    const isDone = request.maxNewTokens === 0 && part.nextPromptToken === null;
    return isDone ? this.finish('length', NO_TEXT, numDegradedTokens) : null;
  }

  /** Of the next layer of a token that {@link take} takes later. */
  seeLogits(position: number, logits_E: Float32Array): void {
    const layers = this.seenLogits.get(position) ?? [];
    layers.push(logits_E);
    this.seenLogits.set(position, layers);
  }

  /** Ends the events: another instance goes on with them. */
  move(): void {
    this.events.push({ kind: 'moved', text: '', seed: this.sampling.seed });
    this.events.close();
  }

  /** Ends the events with an error. */
  fail(error: Error): void {
    this.events.close(error);
  }

  private takePrompt({ nextPromptToken }: PlanPart, { promptLogprobs }: SequenceOutput): void {
    if (promptLogprobs === undefined) return;
    this.promptLogprobs.push(...tokenLogprobs(promptLogprobs));
    if (nextPromptToken === null) this.events.push({ kind: 'prompt', text: '', logprobs: this.promptLogprobs });
  }

  private takeToken(tokenId: number, table: LogprobTable | undefined, numDegradedTokens: number): FinishReason | null {
    this.numTokens++;
    const end = this.endOf(tokenId);
    const { text, stop } = end === null ? this.text.push(tokenId) : this.lastText(tokenId);
    const logprobs = table === undefined ? null : tokenLogprobs(table)[0]!;
    const fed = { routedExperts: this.newExperts(), ...this.newLogits() };
    if (this.isTelling) this.events.push({ kind: 'token', tokenId, text, logprobs, ...fed });
    if (end !== null) return this.finish('stop', { text: '', stop: stop ?? end.stoppedBy }, numDegradedTokens);
    if (stop !== null) return this.finish('stop', { text: '', stop }, numDegradedTokens);
    if (this.numTokens < this.request.maxNewTokens) return null;
    const last = this.text.flush();
    return this.finish(last.stop === null ? 'length' : 'stop', last, numDegradedTokens);
  }

  /** Whether a token is one that ends the sequence; the model's own come first, and aren't named, as in vLLM (vllm/v1/core/sched/utils.py, check_stop). */
  private endOf(tokenId: number): { readonly stoppedBy: number | null } | null {
    const { ignoreEos, stopTokenIds = [] } = this.request;
    if (ignoreEos !== true && this.spec.eosTokenIds.includes(tokenId)) return { stoppedBy: null };
    return stopTokenIds.includes(tokenId) ? { stoppedBy: tokenId } : null;
  }

  /** All text that is left: without that of the token that ends it, but where what stops it is included. */
  private lastText(tokenId: number): TextPiece {
    if (this.request.includeStop !== true) return this.text.flush(true);
    const piece = this.text.push(tokenId);
    if (piece.stop !== null) return piece;
    const last = this.text.flush();
    return { text: piece.text + last.text, stop: last.stop };
  }

  /** Of the tokens that were fed since the last event; null unless they were asked for. */
  private newExperts(): number[][][] | null {
    if (this.request.returnRoutedExperts !== true) return null;
    const experts = this.routedExperts.slice(this.numTold);
    this.numTold = this.routedExperts.length;
    return experts;
  }

  private takeRouterLogits({ position, tokenIds }: PlanPart): void {
    this.routerLogits.push(...tokenIds.map((_, i) => this.seenLogits.get(position + i) ?? null));
    this.seenLogits.clear();
  }

  /** Of the tokens that were fed since the last event, where they were asked for. */
  private newLogits(): { readonly routerLogits?: readonly RouterLogits[] } {
    if (!isRouterLogits(this.request)) return {};
    const { routerLogits } = this;
    this.routerLogits = [];
    return { routerLogits };
  }

  private finish(reason: FinishReason, { text, stop }: LastText, numDegradedTokens: number): FinishReason {
    const { seed } = this.sampling;
    const routedExperts = this.request.returnRoutedExperts === true ? this.routedExperts : null;
    const numCachedTokens = this.numCachedTokens ?? 0;
    const told = { routedExperts, ...this.newLogits() };
    const rest = { text, stoppedBy: stop, numCachedTokens, seed, ...told, numDegradedTokens };
    this.events.push({ kind: 'finished', reason, ...rest });
    this.events.close();
    return reason;
  }
}

/** Whether it asks for logits of its tokens. */
const isRouterLogits = ({ returnRouterLogits = false }: GenerationRequest): boolean => returnRouterLogits !== false;

/** The end of a text, and what ended it. */
interface LastText {
  readonly text: string;
  readonly stop: string | number | null;
}

const NO_TEXT: LastText = { text: '', stop: null };
