/** What is shown of an answer while it comes, and what it came to. */
import type { Formatter } from 'picocolors/types.js';
import type { SharedTerminal } from '../base/shared_terminal.js';
import type { AnswerNews } from './answers/answer.js';
import { AnswerTrace } from './answers/answer_trace.js';
import type { Said } from './conversation.js';
import { terminalText } from './terminal_text.js';
import type { Piece } from './answers/thinking.js';

/** How answers are shown. */
export type AnswerStyle =
  /** On a terminal, with what the model thinks. */
  | { readonly kind: 'screen'; readonly dim: Formatter }
  /** As it is, for whoever reads the pipe. */
  | { readonly kind: 'pipe' }
  /** Not at all: somebody prints what it came to. */
  | { readonly kind: 'hidden' };

/** One answer. */
export class AnswerView {
  readonly trace = new AnswerTrace();
  /** As OpenAI's API has it; null: nobody said, or it didn't end. */
  reason: string | null = null;
  private readonly parts = { text: '', thinking: '' };
  private last: Piece | null = null;

  constructor(
    private readonly terminal: Pick<SharedTerminal, 'text'>,
    private readonly style: AnswerStyle,
  ) {}

  /** More of it came. */
  take(news: AnswerNews): void {
    switch (news.kind) {
      case 'text':
      case 'thinking':
        this.parts[news.kind] += news.text;
        this.show(news);
        this.last = news;
        return;
      case 'routed':
        return this.trace.add(news.routed);
      case 'finished':
        this.reason = news.reason;
        return;
    }
  }

  /** It ended, in its own way or not: its line does too. */
  end(): void {
    if (this.style.kind === 'hidden') return;
    const isOpen = !this.last?.text.endsWith('\n');
    if (isOpen) this.terminal.text('\n');
  }

  /** Without the white space around what was thought. */
  get said(): Said {
    return { text: this.parts.text, thinking: this.parts.thinking.trim() };
  }

  private show({ kind, text }: Piece): void {
    const { style, terminal } = this;
    if (style.kind === 'hidden' || (style.kind === 'pipe' && kind === 'thinking')) return;
    if (style.kind === 'pipe') return terminal.text(text);
    const isAfterThinking = kind === 'text' && this.last?.kind === 'thinking';
    if (isAfterThinking) terminal.text(this.last!.text.endsWith('\n') ? '\n' : '\n\n');
    const shown = terminalText(text);
    if (kind === 'text') return terminal.text(shown);
    // Whether a line is open is seen by the end of what is written: there the new line stands.
    for (const line of shown.split(/(?<=\n)/)) {
      const body = line.replace(/\n$/, '');
      terminal.text(`${body === '' ? '' : style.dim(body)}${line.endsWith('\n') ? '\n' : ''}`);
    }
  }
}
