/**
 * What a model thinks before it answers, told apart from the answer by the marks that it writes. Pure.
 * Why: docs/decisions/chat.md#thinking-is-told-by-its-marks
 */

/** A piece of an answer. */
export interface Piece {
  readonly kind: 'text' | 'thinking';
  readonly text: string;
}

/** Where an answer is: at its beginning, in what it says or thinks, or between marks, in what nobody is told. */
type Place = 'start' | 'text' | 'thinking' | 'header' | 'gap';

/** A mark that counts in some places, and what begins with it. */
interface Mark {
  readonly mark: string;
  readonly in: readonly Place[];
  readonly begins: (header: string) => Place;
}

/** How a model marks what it thinks. */
export interface ThinkingStyle {
  readonly marks: readonly Mark[];
  /** Where an answer begins. */
  readonly from: Place;
  /** The marks are special tokens: they are in the text only of who asks for them. */
  readonly isSpecial: boolean;
}

const tags = (open: string, close: string, isSpecial: boolean): ThinkingStyle => ({
  marks: [
    { mark: open, in: ['start'], begins: () => 'thinking' },
    { mark: close, in: ['thinking'], begins: () => 'text' },
  ],
  from: 'start',
  isSpecial,
});

/** DeepSeek, Qwen, GLM, Kimi, MiniMax and most others. */
export const THINK_TAGS: ThinkingStyle = tags('<think>', '</think>', false);
/** Magistral. */
const THINK_BRACKETS = tags('[THINK]', '[/THINK]', true);

const IN_HARMONY: readonly Place[] = ['text', 'thinking', 'header', 'gap'];
/** gpt-oss: channels, of which `final` is for the user. https://github.com/openai/harmony */
const HARMONY: ThinkingStyle = {
  marks: [
    { mark: '<|channel|>', in: IN_HARMONY, begins: () => 'header' },
    { mark: '<|message|>', in: IN_HARMONY, begins: (header) => (/^\s*final\b/.test(header) ? 'text' : 'thinking') },
    ...['<|end|>', '<|start|>', '<|return|>', '<|call|>'].map((mark): Mark => ({
      mark,
      in: IN_HARMONY,
      begins: () => 'gap',
    })),
  ],
  from: 'text',
  isSpecial: true,
};

/** The style of a chat template. `template`: its source; undefined: there is none. */
export function thinkingStyleOf(template: string | undefined): ThinkingStyle {
  if (template?.includes('<|channel|>') === true) return HARMONY;
  return template?.includes('[THINK]') === true ? THINK_BRACKETS : THINK_TAGS;
}

/** Whether a prompt ends with the mark that begins the thinking: then the answer doesn't repeat it. */
export const isThinkingBegun = (prompt: string): boolean => /(<think>|\[THINK\])\s*$/.test(prompt);

/** Splits an answer while it comes. */
export class ThinkingSplitter {
  private place: Place;
  /** May be the beginning of a mark. */
  private held = '';
  private header = '';
  /** White space after a mark is nobody's. */
  private isAfterMark: boolean;

  constructor(
    private readonly style: ThinkingStyle,
    isBegun = false,
  ) {
    this.place = isBegun ? 'thinking' : style.from;
    this.isAfterMark = isBegun;
  }

  /** What is certain now. */
  push(text: string): Piece[] {
    this.held += text;
    const pieces: Piece[] = [];
    for (;;) {
      const found = this.nextMark();
      if (found === null) break;
      this.take(this.held.slice(0, found.at), pieces);
      this.held = this.held.slice(found.at + found.mark.mark.length);
      this.place = found.mark.begins(this.header);
      this.header = '';
      this.isAfterMark = true;
    }
    const numHeld = this.numHeld();
    this.take(this.held.slice(0, this.held.length - numHeld), pieces);
    this.held = this.held.slice(this.held.length - numHeld);
    return pieces;
  }

  /** What was held back, after the last piece. */
  end(): Piece[] {
    const pieces: Piece[] = [];
    if (this.place === 'start') this.place = 'text';
    this.take(this.held, pieces);
    this.held = '';
    return pieces;
  }

  private marks(): readonly Mark[] {
    return this.style.marks.filter((mark) => mark.in.includes(this.place));
  }

  private nextMark(): { readonly at: number; readonly mark: Mark } | null {
    const found = this.marks()
      .map((mark) => ({ mark, at: this.held.indexOf(mark.mark) }))
      .filter(({ at }) => at >= 0 && (this.place !== 'start' || this.held.slice(0, at).trim() === ''))
      .sort((a, b) => a.at - b.at);
    return found[0] ?? null;
  }

  /** Characters at the end that may begin a mark. At the start of an answer all of them, as long as a mark may follow. */
  private numHeld(): number {
    const { held } = this;
    if (this.place === 'start') {
      const isOpen = this.marks().some(({ mark }) => mark.startsWith(held.trimStart()));
      if (isOpen) return held.length;
      if (held !== '') this.place = 'text';
      return 0;
    }
    for (let length = Math.min(held.length, MAX_MARK_CHARS); length > 0; length--) {
      const end = held.slice(-length);
      if (this.marks().some(({ mark }) => mark.startsWith(end))) return length;
    }
    return 0;
  }

  private take(text: string, pieces: Piece[]): void {
    if (this.place === 'header') this.header += text;
    if (this.place !== 'text' && this.place !== 'thinking') return;
    const shown = this.isAfterMark ? text.trimStart() : text;
    if (shown === '') return;
    this.isAfterMark = false;
    pieces.push({ kind: this.place, text: shown });
  }
}

const MAX_MARK_CHARS = 16;
