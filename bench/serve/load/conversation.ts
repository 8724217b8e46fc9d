/** What a load asks of a server: conversations of one turn or several. */

/** A message of a chat. */
export interface Message {
  readonly role: string;
  readonly content: string;
}

/** What a model is to go on with. */
export type Prompt =
  | { readonly kind: 'tokens'; readonly tokenIds: Int32Array }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'messages'; readonly messages: readonly Message[] };

/** One request of a conversation. */
export interface Turn {
  /** What is new: the server's answers so far stand before it. */
  readonly said: Prompt;
  readonly maxTokens: number;
  /** Milliseconds between the end of the answer before and this. */
  readonly thinkMs: number;
}

/** Turns, one after the other; each waits for the answer to the one before. */
export interface Conversation {
  readonly turns: readonly Turn[];
  /** When it begins, in milliseconds from the start, where the load says so; null: as the arrivals do. */
  readonly atMs: number | null;
}

/** What a server answered, as far as the next turn needs it. */
export interface Answer {
  readonly text: string;
  /** Null where the server tells no token ids. */
  readonly tokenIds: readonly number[] | null;
}

/** A conversation of one turn, as most loads are. */
export const single = (said: Prompt, maxTokens: number, atMs: number | null = null): Conversation => ({
  turns: [{ said, maxTokens, thinkMs: 0 }],
  atMs,
});

/** The prompt of a turn: all that was said and answered before, and then what is new. Null where an answer is lacking that prompts of tokens need. */
export function promptAfter(before: Prompt | null, answer: Answer | null, said: Prompt): Prompt | null {
  if (before === null || answer === null) return said;
  switch (before.kind) {
    case 'tokens':
      if (said.kind !== 'tokens' || answer.tokenIds === null) return null;
      return { kind: 'tokens', tokenIds: joined([before.tokenIds, answer.tokenIds, said.tokenIds]) };
    case 'text':
      return said.kind === 'text' ? { kind: 'text', text: before.text + answer.text + said.text } : null;
    case 'messages': {
      if (said.kind !== 'messages') return null;
      const own = { role: 'assistant', content: answer.text };
      return { kind: 'messages', messages: [...before.messages, own, ...said.messages] };
    }
  }
}

function joined(parts: readonly ArrayLike<number>[]): Int32Array {
  const all = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
