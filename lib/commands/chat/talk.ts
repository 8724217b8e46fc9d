/** What a chat with an engine and one with a server have in common. */
import pc from 'picocolors';
import type { CommandContext } from '../base/context.js';
import type { ChatArgs } from './chat_options.js';
import { Conversation } from './conversation.js';
import { readConversation } from './conversation_file.js';
import { ChatSession, type SessionParts } from './session.js';

/**
 * A new one, or a saved one. What the model is told first says --system, else the saved one, else the configuration (`configured`); an empty text is none.
 * @throws ChatError UNREADABLE, BAD_CONVERSATION
 */
export async function firstConversation(
  { load, system }: ChatArgs,
  configured: string | null = null,
): Promise<Conversation> {
  const loaded = load === undefined ? Conversation.begin(null) : await readConversation(load);
  const first = system ?? loaded.system ?? configured;
  return loaded.withSystem(first === '' ? null : first);
}

type Talk = Pick<SessionParts, 'source' | 'input' | 'terminal' | 'conversation'> & {
  /** Whom one talks to. */
  readonly model: string;
};

/** A session, with a greeting for who sits at a terminal. */
export async function talk(
  { model, ...parts }: Talk,
  args: ChatArgs,
  { stdout, signal }: CommandContext,
): Promise<void> {
  const isScreen = stdout.isTTY === true;
  const colors = pc.createColors(isScreen && pc.isColorSupported);
  if (parts.input.isInteractive) parts.terminal.line(`${model}: /help lists commands, Ctrl-D ends`);
  await new ChatSession({ ...parts, colors, isScreen, json: args.json === true, signal }).run();
}
