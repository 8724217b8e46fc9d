import type { DecodeOptions, Tokenizer } from './tokenizer.js';

/**
 * Turns token ids into text as they come, handing out only what later tokens cannot change: never half a character.
 *
 * A decoder may treat the first token of a list in another way than the others (drop its leading space), and one
 * character may need the bytes of several tokens. So a window of tokens is decoded with the new token and without it,
 * and the difference is the new text; the window begins at the last place but one where the text was complete. This is
 * the method of Text Generation Inference and vLLM.
 */
export class IncrementalDetokenizer {
  /** Tokens of the last piece handed out, then tokens whose text is still held back. */
  private window: number[] = [];
  /** How many tokens of the window have been handed out. */
  private numDone = 0;
  /** What these decode to at the beginning of a list. */
  private doneText = '';

  constructor(
    private readonly tokenizer: Pick<Tokenizer, 'decode'>,
    private readonly options: DecodeOptions = {},
  ) {}

  /** Takes the next token; returns the text that is certain now, often empty. */
  push(id: number): string {
    this.window.push(id);
    const text = this.tokenizer.decode(this.window, this.options);
    // A replacement character at the end may be the beginning of a character whose other bytes are yet to come.
    if (text.length <= this.doneText.length || text.endsWith('\uFFFD')) return '';
    const piece = text.slice(this.doneText.length);
    const newest = this.window.slice(this.numDone);
    const newestText = this.tokenizer.decode(newest, this.options);
    // Tokens that decode to nothing at the beginning of a list (a lone space) cannot shield the next one from being
    // treated as the first: then the window stays as it is.
    if (newestText !== '') this.window = newest;
    this.numDone = this.window.length;
    this.doneText = newestText === '' ? text : newestText;
    return piece;
  }

  /** The text that was held back, at the end of the tokens; starts anew afterwards. */
  flush(): string {
    const piece = this.tokenizer.decode(this.window, this.options).slice(this.doneText.length);
    this.window = [];
    this.numDone = 0;
    this.doneText = '';
    return piece;
  }
}
