/** Writes down what becomes of one request while it happens. */
import type { Asked } from './asked.js';
import type { Leg } from './leg.js';
import type { MoveStory, MoveWhy, RequestStory } from './request_story.js';

/** How an answer ended, as its client saw it. */
export type AnswerEnd = Pick<RequestStory, 'status' | 'isCutOff'>;

/** From one leg to another one. */
interface BegunMove {
  readonly source: Pick<Leg, 'id'>;
  readonly target: Pick<Leg, 'id'>;
  readonly why: MoveWhy;
  readonly startMs: number;
}

/** Of one request. */
export class StoryTeller {
  private readonly startMs: number;
  private readonly instances: string[] = [];
  private readonly moves: MoveStory[] = [];
  private numRetries = 0;
  private numResumes = 0;
  private numPromptTokens = 0;
  private numCachedTokens = 0;
  private numOutputTokens: number | null = null;
  private firstMs: number | null = null;

  constructor(
    private readonly asked: Asked,
    private readonly clock: () => number,
    /** Hears of output tokens when they are told. */
    private readonly tokens: (numTokens: number) => void,
  ) {
    this.startMs = clock();
  }

  /** Milliseconds that never go back. */
  now(): number {
    return this.clock();
  }

  /** A leg was sent. */
  sentTo(instance: string): void {
    this.instances.push(instance);
  }

  /** Its prompt has so many tokens, and where it goes some of them are cached, as far as one could say. */
  placed(numPromptTokens: number, numCachedTokens: number): void {
    this.numPromptTokens = numPromptTokens;
    this.numCachedTokens = numCachedTokens;
  }

  /** It was sent again before anything was told. */
  retried(): void {
    this.numRetries++;
  }

  /** Another instance goes on. */
  resumed(): void {
    this.numResumes++;
  }

  /** A stream told something; 0: nobody knows how many tokens. */
  told(numTokens: number): void {
    this.firstMs ??= this.now() - this.startMs;
    if (numTokens === 0) return;
    this.numOutputTokens = (this.numOutputTokens ?? 0) + numTokens;
    this.tokens(numTokens);
  }

  /** A whole answer is there. */
  toldWhole(numTokens: number): void {
    const more = numTokens - (this.numOutputTokens ?? 0);
    this.numOutputTokens = numTokens;
    if (more > 0) this.tokens(more);
  }

  /** It moved, or could not. */
  moved({ source, target, why, startMs }: BegunMove, isDone: boolean): void {
    const ms = this.now() - startMs;
    this.moves.push({ request: this.asked.id, from: source.id, to: target.id, why, ms, isDone });
  }

  /** All of it. */
  end({ status, isCutOff }: AnswerEnd): RequestStory {
    const { asked, instances, moves, numRetries, numResumes, numOutputTokens, firstMs: firstTokenMs } = this;
    const { numPromptTokens, numCachedTokens } = this;
    const counts = { numRetries, numResumes, numPromptTokens, numCachedTokens, numOutputTokens };
    const { id, endpoint, method, isStream } = asked; // its words go with it
    return {
      asked: { id, endpoint, method, isStream },
      instances,
      moves,
      ...counts,
      status,
      isCutOff,
      firstTokenMs,
      ms: this.now() - this.startMs,
    };
  }
}
