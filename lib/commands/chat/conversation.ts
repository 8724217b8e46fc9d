/** What was said so far. Pure. */
import * as z from 'zod';
import { shown } from '../../../base/foreign_text.js';
import { valueAt } from '../../../base/foreign_value.js';
import type { ChatMessage } from '../../tokenizer/chat_template.js';
import { ChatError } from './answers/errors.js';

/** What the model said, and what it thought before. */
export interface Said {
  readonly text: string;
  /** Empty: it didn't, or didn't say. */
  readonly thinking: string;
}

/** Immutable: each change makes another one. */
export class Conversation {
  /** Nothing was said yet. `system`: what the model is told first; null: nothing. */
  static begin(system: string | null): Conversation {
    return new Conversation(system, []);
  }

  private constructor(
    readonly system: string | null,
    /** Without the system message. */
    private readonly turns: readonly ChatMessage[],
  ) {}

  /** As models and servers take it. */
  get messages(): readonly ChatMessage[] {
    return this.system === null ? this.turns : [{ role: 'system', content: this.system }, ...this.turns];
  }

  /** Questions and answers. */
  get numTurns(): number {
    return this.turns.length;
  }

  /** The user said something. */
  asked(text: string): Conversation {
    return new Conversation(this.system, [...this.turns, { role: 'user', content: text }]);
  }

  /** The model answered. */
  answered({ text, thinking }: Said): Conversation {
    const message = { role: 'assistant', content: text, ...(thinking !== '' && { reasoning_content: thinking }) };
    return new Conversation(this.system, [...this.turns, message]);
  }

  /** Another system message, or none. */
  withSystem(system: string | null): Conversation {
    return new Conversation(system, this.turns);
  }

  /** All is forgotten but the system message. */
  reset(): Conversation {
    return new Conversation(this.system, []);
  }

  /** As `/save` writes it: what `generate --messages` reads. */
  get json(): string {
    return `${JSON.stringify(this.messages, null, 2)}\n`;
  }

  /** The way back; also from the body of a request, which has `messages`. @throws ChatError BAD_CONVERSATION naming `file` */
  static ofJson(text: string, file: string): Conversation {
    const value = jsonOf(text, file);
    const list = typeof value === 'object' && value !== null && 'messages' in value ? value.messages : value;
    const { data, error } = messages.safeParse(list);
    if (error !== undefined) {
      const { path, message } = error.issues[0]!;
      const what = path.length === 0 ? 'it' : `its ${path.map(String).join('.')}`;
      throw badFile(file, `${what} is ${shown(valueAt(list, path), MAX_SHOWN_CHARS)}; give ${message}`);
    }
    const [first, ...rest] = data as ChatMessage[];
    if (first?.role === 'system' && typeof first.content === 'string') return new Conversation(first.content, rest);
    return new Conversation(null, data);
  }
}

const MAX_SHOWN_CHARS = 60;

/** Templates know more fields, and contents without text. */
const message = z.looseObject(
  {
    role: z.string({ error: 'a text' }),
    content: z.union([z.string(), z.array(z.looseObject({}))], { error: 'a text' }).nullish(),
  },
  { error: 'a message {"role", "content"}' },
);
const messages = z.array(message, { error: 'a list of messages {"role", "content"}' });

const badFile = (file: string, why: string, cause?: unknown): ChatError =>
  new ChatError('BAD_CONVERSATION', `${file} is no conversation: ${why}`, { cause });

function jsonOf(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw badFile(file, 'it is no JSON; give a file that /save wrote', cause);
  }
}
