/** A request that is kept: what was asked, and what came of it so far, for whoever reads it from the beginning. */
import { gathered, type Delta } from '../openai/requests/choice_deltas.js';
import type { ApiError } from '../base/api_error.js';
import type { Choice } from '../openai/requests/choices.js';

/** What all answers to one request have in common. */
export interface AnswerHead {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
}

/** What an answer is made from besides what the engine says. */
export interface Asked {
  readonly endpoint: 'completions' | 'chat' | 'responses';
  readonly head: AnswerHead;
  /** Its fields, without prompts and messages. */
  readonly body: Readonly<Record<string, unknown>>;
  /** What its client calls it, and logs do. */
  readonly name: string;
  /** Who asked, as {@link ApiKeys.callerOf} says: nobody else gets it. */
  readonly owner: string;
}

/** A request under its number, which no other of a journal has. */
export interface RequestRecord {
  readonly number: number;
  readonly asked: Asked;
  /** With the seeds that they are sampled with. */
  readonly choices: readonly Choice[];
}

/** One request, which runs or is over. */
export class KeptRequest {
  /** About what it takes, in a file or in memory. */
  numBytes = 0;
  private readonly batches: (readonly Delta[])[] = [];
  private readonly numTokens = new Map<Choice, number>();
  private end: { readonly error: ApiError | null } | null = null;
  private readonly waiting = new Set<() => void>();

  constructor(readonly record: RequestRecord) {}

  /** Nothing more comes. */
  get isOver(): boolean {
    return this.end !== null;
  }

  /** Why it failed; null: it didn't. */
  get error(): ApiError | null {
    return this.end?.error ?? null;
  }

  /** What came so far: a delta for each choice of which anything came. */
  get soFar(): readonly Delta[] {
    return gathered(this.batches.flat());
  }

  /** Tokens of a choice that came so far. */
  readonly numTokensOf = (choice: Choice): number => this.numTokens.get(choice) ?? 0;

  /** Its readers see what came. */
  add(deltas: readonly Delta[]): void {
    this.batches.push(deltas);
    for (const { choice, tokens } of deltas) this.numTokens.set(choice, this.numTokensOf(choice) + tokens.length);
    this.wake();
  }

  /** `error`: null where nothing is missing. Once. */
  finish(error: ApiError | null): void {
    this.end ??= { error };
    this.wake();
  }

  /** From the beginning, as it comes. @throws what it failed with; the reason of the signal */
  async *deltas(signal: AbortSignal): AsyncGenerator<readonly Delta[], void, undefined> {
    for (let i = 0; ; i++) {
      while (i === this.batches.length) {
        if (this.end?.error != null) throw this.end.error;
        if (this.end !== null) return;
        await this.news(signal);
      }
      yield this.batches[i]!;
    }
  }

  private wake(): void {
    for (const resolve of this.waiting) resolve();
  }

  private async news(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await new Promise<void>((resolve) => {
      const settle = (): void => {
        this.waiting.delete(settle);
        signal.removeEventListener('abort', settle);
        resolve();
      };
      this.waiting.add(settle);
      signal.addEventListener('abort', settle);
    });
    signal.throwIfAborted();
  }
}
