/** Conversations in files. */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { causeText, textOf } from '../../../base/foreign_text.js';
import { Conversation } from './conversation.js';
import { ChatError } from './answers/errors.js';

/** @throws ChatError UNREADABLE, BAD_CONVERSATION */
export async function readConversation(file: string): Promise<Conversation> {
  return Conversation.ofJson(await readText(file), file);
}

/** Writes over a conversation that was saved before, and over nothing else. @throws ChatError BAD_CONVERSATION, UNREADABLE, UNWRITABLE */
export async function saveConversation(file: string, conversation: Conversation): Promise<void> {
  const before = await readText(file).catch((error: unknown) => {
    if (error instanceof ChatError && (error.cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  });
  if (before !== null) checkIsOurs(before, file);
  const unfinished = `${file}.${process.pid}.unfinished`;
  try {
    await writeFile(unfinished, conversation.json);
    await rename(unfinished, file);
  } catch (cause) {
    await rm(unfinished, { force: true }).catch(() => undefined);
    throw new ChatError('UNWRITABLE', `${file} can't be written (${causeText(cause)}); give another file`, { cause });
  }
}

function checkIsOurs(text: string, file: string): void {
  try {
    Conversation.ofJson(text, file);
  } catch (cause) {
    throw new ChatError('BAD_CONVERSATION', `${file} is there already and no conversation; give another file`, {
      cause,
    });
  }
}

async function readText(file: string): Promise<string> {
  try {
    return textOf(await readFile(file));
  } catch (cause) {
    throw new ChatError('UNREADABLE', `${file} can't be read (${causeText(cause)}); give a file that /save wrote`, {
      cause,
    });
  }
}
