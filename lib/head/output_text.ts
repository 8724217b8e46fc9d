/** One request's text as its tokens arrive: nothing is shown that could still change. */
import { IncrementalDetokenizer } from '../tokenizer/incremental_detokenizer.js';
import { StopScanner } from '../tokenizer/stop_strings.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';

/** Text that is certain now. */
export interface TextPiece {
  readonly text: string;
  /** A stop string was met; `text` ends before it. */
  readonly isStopped: boolean;
}

/** From tokens to text, with stop strings. */
export class OutputText {
  private readonly detokenizer: IncrementalDetokenizer | null;
  private readonly stops: StopScanner;

  constructor(tokenizer: Tokenizer | undefined, stop: readonly string[]) {
    this.detokenizer = tokenizer === undefined ? null : new IncrementalDetokenizer(tokenizer);
    this.stops = new StopScanner(stop);
  }

  /** The text that a token completes; empty while bytes of a character are missing, or what came may begin a stop string. */
  push(tokenId: number): TextPiece {
    return this.detokenizer === null ? NOTHING : this.check(this.detokenizer.push(tokenId));
  }

  /** What was held back, once no token follows. */
  flush(): TextPiece {
    if (this.detokenizer === null) return NOTHING;
    const last = this.check(this.detokenizer.flush());
    return last.isStopped ? last : { text: last.text + this.stops.flush(), isStopped: false };
  }

  private check(text: string): TextPiece {
    const result = this.stops.push(text);
    return { text: result.text, isStopped: result.stop !== undefined };
  }
}

const NOTHING: TextPiece = { text: '', isStopped: false };
