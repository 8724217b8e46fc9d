/** A session: what is entered is asked or done, until it ends. */
import type { Colors } from 'picocolors/types.js';
import { CodedError } from '../../../base/coded_error.js';
import { ToldError } from '../base/context.js';
import type { SharedTerminal } from '../base/shared_terminal.js';
import type { AnswerSource } from './answers/answer.js';
import type { AnswerTrace } from './answers/answer_trace.js';
import { AnswerView, type AnswerStyle } from './answer_view.js';
import type { ChatTerminal, Interruption } from './chat_terminal.js';
import type { Conversation } from './conversation.js';
import { readConversation, saveConversation } from './conversation_file.js';
import type { Entered } from './entered_lines.js';
import { ChatError } from './answers/errors.js';
import { expertView } from './expert_view.js';
import { helpText, wishOf, type SlashName } from './slash_commands.js';
import { terminalText } from './terminal_text.js';

/** What a session consists of. */
export interface SessionParts {
  readonly source: AnswerSource;
  readonly input: ChatTerminal;
  readonly terminal: SharedTerminal;
  /** What was said before. */
  readonly conversation: Conversation;
  /** Of standard output; without colours they change nothing. */
  readonly colors: Colors;
  /** Standard output is a terminal. */
  readonly isScreen: boolean;
  /** Answers are printed as JSON, one a line. */
  readonly json: boolean;
  readonly signal: AbortSignal;
}

/** One session. */
export class ChatSession {
  private conversation: Conversation;
  /** Of the last answer; null: there was none. */
  private trace: AnswerTrace | null = null;
  /** Stops the answer that comes; null: none does. */
  private answering: AbortController | null = null;
  /** The next Ctrl-C ends the session. */
  private isArmed = false;
  private isOver = false;
  private numFailed = 0;

  constructor(private readonly parts: SessionParts) {
    this.conversation = parts.conversation;
  }

  /** Until the input ends, or the user ends it. @throws ToldError where nobody was there to read what failed; what ends the source of answers */
  async run(): Promise<void> {
    const { input, signal } = this.parts;
    const stop = (): void => this.answering?.abort();
    signal.addEventListener('abort', stop);
    input.begin((interruption) => this.interrupted(interruption));
    try {
      for (let entered = await input.next(); entered !== null; entered = this.isOver ? null : await input.next()) {
        if (input.isInteractive) this.isArmed = false;
        await this.take(entered);
      }
    } finally {
      signal.removeEventListener('abort', stop);
      input.close();
    }
    if (this.numFailed > 0 && !input.isInteractive) throw new ToldError();
  }

  /** Ctrl-C stops an answer; where none comes, the second one ends the session. Why: docs/decisions/chat.md#what-ctrl-c-means */
  private interrupted({ isTyping }: Interruption): boolean {
    const { input, terminal } = this.parts;
    if (this.answering?.signal.aborted === false) {
      this.answering.abort();
      input.dropTyped();
      this.isArmed = true;
      return true;
    }
    if (this.isArmed && !isTyping) return false;
    this.isArmed = !isTyping;
    if (!isTyping) terminal.line('Ctrl-C again ends, and so does Ctrl-D; /help lists what else there is');
    return true;
  }

  private async take({ text, isLiteral }: Entered): Promise<void> {
    if (text.trim() === '') return;
    const wish = isLiteral ? ({ kind: 'ask', text } as const) : wishOf(text);
    try {
      if (wish.kind === 'ask') await this.ask(wish.text);
      else if (wish.kind === 'command') await this.obey(wish.name, wish.argument);
      else this.failed(wish.why);
    } catch (error) {
      if (this.parts.source.failure !== null) throw this.parts.source.failure;
      if (!(error instanceof CodedError)) throw error;
      this.failed(error.text);
    }
  }

  private async ask(text: string): Promise<void> {
    const { source, terminal, json } = this.parts;
    const asked = this.conversation.asked(text);
    const view = new AnswerView(terminal, this.style);
    const answering = new AbortController();
    this.answering = answering;
    if (this.parts.signal.aborted) answering.abort();
    try {
      for await (const news of source.answer(asked.messages, answering.signal)) view.take(news);
    } finally {
      this.answering = null;
      view.end();
    }
    const { said } = view;
    const isStopped = answering.signal.aborted;
    // What was stopped before its first word is as if it hadn't been asked.
    if (!isStopped || said.text !== '') this.conversation = asked.answered(said);
    this.trace = view.trace;
    if (json) terminal.text(`${JSON.stringify(jsonOf(text, view, isStopped))}\n`);
    if (isStopped) terminal.line('stopped');
    else {
      this.isArmed = false;
      if (view.reason === 'length') terminal.line('cut off: the context or --max-new-tokens allows no more');
    }
  }

  private get style(): AnswerStyle {
    const { json, isScreen, colors } = this.parts;
    if (json) return { kind: 'hidden' };
    return isScreen ? { kind: 'screen', dim: colors.dim } : { kind: 'pipe' };
  }

  private async obey(name: SlashName, argument: string): Promise<void> {
    const { terminal } = this.parts;
    switch (name) {
      case 'system':
        this.system(argument);
        break;
      case 'reset':
        this.goOn(this.conversation.reset());
        terminal.line('forgotten');
        break;
      case 'save':
        await saveConversation(argument, this.conversation);
        terminal.line(`saved ${messages(this.conversation)} to ${argument}`);
        break;
      case 'load':
        this.goOn(await readConversation(argument));
        terminal.line(`${messages(this.conversation)} from ${argument}`);
        break;
      case 'experts':
        terminal.text(`${this.experts(argument)}\n`);
        break;
      case 'help':
        terminal.text(`${helpText()}\n`);
        break;
      case 'quit':
        this.isOver = true;
    }
  }

  /** With another conversation, of which no answer was heard yet. */
  private goOn(conversation: Conversation): void {
    this.conversation = conversation;
    this.trace = null;
  }

  private system(text: string): void {
    const { terminal } = this.parts;
    if (text === '') terminal.text(`${terminalText(this.conversation.system ?? '(none)')}\n`);
    else {
      this.conversation = this.conversation.withSystem(text === '""' ? null : text);
      terminal.line(text === '""' ? 'no system message' : 'the system message is another one now');
    }
  }

  /** @throws ChatError NO_EXPERTS */
  private experts(argument: string): string {
    const { source, colors } = this.parts;
    if (source.noExperts !== null) throw new ChatError('NO_EXPERTS', source.noExperts);
    const numLayers = this.trace?.numLayers ?? 0;
    if (this.trace === null || numLayers === 0)
      throw new ChatError('NO_EXPERTS', 'no answer has come yet; ask something');
    const layer = argument === '' ? 0 : Number(argument);
    if (!Number.isInteger(layer) || layer < 0 || layer >= numLayers) {
      throw new ChatError('NO_EXPERTS', `the model has MoE layers 0 … ${numLayers - 1}; give one of them`);
    }
    return expertView({ tokens: this.trace.tokens, layer, numLayers, isColored: colors.isColorSupported });
  }

  /** What went wrong, in one line. */
  private failed(why: string): void {
    this.numFailed++;
    this.parts.terminal.line(`error: ${why}`);
  }
}

const messages = ({ numTurns }: Conversation): string => `${numTurns} ${numTurns === 1 ? 'message' : 'messages'}`;

/** What `--json` prints of an answer. */
const jsonOf = (question: string, { said, reason }: AnswerView, isStopped: boolean): object => ({
  question,
  text: said.text,
  ...(said.thinking !== '' && { thinking: said.thinking }),
  finish_reason: isStopped ? 'stopped' : reason,
});
