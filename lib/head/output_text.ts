/** One request's text as its tokens arrive: nothing is shown that could still change. */
import type { GenerationRequest } from '../protocol/request.js';
import { IncrementalDetokenizer } from '../tokenizer/incremental_detokenizer.js';
import { StopScanner } from '../tokenizer/stop_strings.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';

/** Text that is certain now. */
export interface TextPiece {
  readonly text: string;
  /** The stop string that was met; `text` ends before it, or behind it where it is included. Null: none. */
  readonly stop: string | null;
}

/** What a request says of its text. */
export interface TextOptions extends Pick<GenerationRequest, 'stop' | 'includeStop' | 'skipSpecialTokens'> {
  /**
   * A stop string whose end comes with one of the first so many tokens doesn't count: as in vLLM (vllm/v1/engine/detokenizer.py, update). Default 0.
   */
  readonly minTokens?: number;
}

/** From tokens to text, with stop strings. */
export class OutputText {
  private readonly detokenizer: IncrementalDetokenizer | null;
  private readonly stops: StopScanner;
  private readonly minTokens: number;
  private numTokens = 0;

  constructor(tokenizer: Tokenizer | undefined, options: TextOptions) {
    const { stop = [], includeStop: isIncluded, skipSpecialTokens, minTokens = 0 } = options;
    this.detokenizer = tokenizer === undefined ? null : new IncrementalDetokenizer(tokenizer, { skipSpecialTokens });
    this.stops = new StopScanner(stop, { isIncluded });
    this.minTokens = minTokens;
  }

  /** The text that a token completes; empty while bytes of a character are missing, or what came may begin a stop string. */
  push(tokenId: number): TextPiece {
    this.numTokens++;
    return this.detokenizer === null ? NOTHING : this.check(this.detokenizer.push(tokenId));
  }

  /** What was held back, once no text follows. `isEnd`: the sequence ends with a token that has no text. */
  flush(isEnd = false): TextPiece {
    if (this.detokenizer === null) return NOTHING;
    if (isEnd) this.numTokens++;
    const last = this.check(this.detokenizer.flush());
    return last.stop === null ? { text: last.text + this.stops.flush(), stop: null } : last;
  }

  private check(piece: string): TextPiece {
    const { text, stop } = this.numTokens > this.minTokens ? this.stops.push(piece) : this.stops.pass(piece);
    return { text, stop: stop ?? null };
  }
}

const NOTHING: TextPiece = { text: '', stop: null };
