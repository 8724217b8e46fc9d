/** A request, or a leg of one, that a router sent to an instance: it counts there until it is over. */
import type { LengthBucket } from '../base/routed_request.js';
import type { KnownInstance } from './known_instance.js';
import type { LengthClues } from './length_predictor.js';
import { isHeavy } from './policies/length.js';
import type { PromptBlocks } from './pool/named_blocks.js';

/** What is counted. */
export interface SentFacts extends LengthClues {
  readonly blocks: PromptBlocks;
  readonly predicted: LengthBucket;
  /** Of its prompt, before the first token; 0 behind a prompt. */
  readonly numTokensToCompute: number;
}

/** How a request was over. */
export interface SentEnd {
  /** That came of it there; null: nobody knows. */
  readonly numOutputTokens: number | null;
  /** It has all its tokens now; otherwise it failed, was aborted or moves on. */
  readonly isComplete: boolean;
}

/** Time is what the caller says. */
export class SentRequest {
  private firstAtMs: number | null = null;
  private numOutputBlocks = 0;
  private isOver = false;
  /** That were to be computed there when it was sent, with its own. */
  private readonly numTokensBefore: number;
  private readonly partBlocks: number;

  constructor(
    private readonly instance: KnownInstance,
    private readonly facts: SentFacts,
    private readonly sentAtMs: number,
    private readonly observe: (numOutputTokens: number) => void,
  ) {
    const { blocks, predicted, numTokensToCompute, numPromptTokens } = facts;
    this.numTokensBefore = instance.view.numPrefillTokens + numTokensToCompute;
    this.partBlocks = Math.ceil(numPromptTokens / instance.record.blockSize) - blocks.numBlocks;
    instance.numRequests++;
    instance.numPrefillTokens += numTokensToCompute;
    instance.numOtherBlocks += this.partBlocks;
    instance.prompts.add(blocks);
    if (isHeavy(predicted)) instance.numHeavy++;
    else instance.numLight++;
  }

  /** Of its prompt, as far as one could say. */
  get numTokensToCompute(): number {
    return this.facts.numTokensToCompute;
  }

  /** Its first token came: its prompt is computed. Later calls do nothing. */
  firstToken(nowMs: number): void {
    if (this.isOver || this.firstAtMs !== null) return;
    const { instance, facts } = this;
    this.firstAtMs = nowMs;
    instance.numPrefillTokens -= facts.numTokensToCompute;
    if (facts.numTokensToCompute > 0) instance.speeds.sawFirstToken(this.numTokensBefore, nowMs - this.sentAtMs);
  }

  /** So many tokens came of it by now. */
  progress(numOutputTokens: number): void {
    if (this.isOver) return;
    const { record } = this.instance;
    const numBlocks = Math.floor(numOutputTokens / record.blockSize);
    this.instance.numOtherBlocks += numBlocks - this.numOutputBlocks;
    this.numOutputBlocks = numBlocks;
  }

  /** It is over there. Later calls do nothing. */
  ended({ numOutputTokens, isComplete }: SentEnd, nowMs: number): void {
    if (this.isOver) return;
    const { instance, facts, firstAtMs } = this;
    this.isOver = true;
    if (isComplete) this.learn(numOutputTokens, nowMs);
    instance.numRequests--;
    if (firstAtMs === null) instance.numPrefillTokens -= facts.numTokensToCompute;
    instance.numOtherBlocks -= this.partBlocks + this.numOutputBlocks;
    instance.prompts.remove(facts.blocks);
    if (isHeavy(facts.predicted)) instance.numHeavy--;
    else instance.numLight--;
  }

  private learn(numOutputTokens: number | null, nowMs: number): void {
    const { instance, firstAtMs, sentAtMs } = this;
    const numGaps = (numOutputTokens ?? 0) - 1;
    const tbtMs = firstAtMs === null || numGaps < 1 ? null : (nowMs - firstAtMs) / numGaps;
    instance.speeds.saw({ latencyMs: nowMs - sentAtMs, tbtMs, numRequests: instance.numRequests });
    if (numOutputTokens !== null) this.observe(numOutputTokens);
  }
}
