/** Conversations, tools and documents in JSON files. */
import { readFile } from 'node:fs/promises';
import * as z from 'zod';
import { causeText, printable, textOf } from '../../../base/foreign_text.js';
import { chatSettingsOf, type ChatMessage, type ChatOptions } from '../../tokenizer/chat_template.js';
import { parseExactJson } from '../../tokenizer/jinja/values/plain.js';
import { UsageError, type CommandContext } from '../base/context.js';
import { readStandardInput, STANDARD_INPUT } from '../base/standard_input.js';

/** What a conversation is made from besides its prompts, as yargs parses it. */
export interface ChatFileArgs {
  readonly messages?: readonly string[] | undefined;
  readonly tools?: string | undefined;
  readonly documents?: string | undefined;
  readonly system?: string | undefined;
  readonly continueFinalMessage?: boolean | undefined;
}

const message = z.looseObject(
  { role: z.string({ error: 'give a role: system, user, assistant, tool, …' }) },
  { error: 'give a message {"role", "content"}' },
);
const messages = z
  .array(message, { error: 'give a list of messages {"role", "content"}' })
  .min(1, { error: 'give at least one message' });
/** An object, or the Map that stands for one. */
const object = z.custom<object>((value) => typeof value === 'object' && value !== null && !Array.isArray(value), {
  error: 'give an object',
});
const objects = z.array(object, { error: 'give a list of objects' });

/** The messages of a file, `-` for standard input. @throws UsageError where it can't be read or holds something else */
export const readMessages = (
  file: string,
  context: Pick<CommandContext, 'stdin' | 'signal'>,
): Promise<readonly ChatMessage[]> => readChecked('--messages', file, messages, context);

/** What the last message says, as far as it is text. */
export function textOfLast(conversation: readonly ChatMessage[]): string | null {
  const content = conversation.at(-1)?.content;
  return typeof content === 'string' ? content : null;
}

/** How conversations become text, by flags, files and the configuration. @throws UsageError */
export async function chatOptionsOf(
  { tools, documents, continueFinalMessage }: ChatFileArgs,
  generate: Parameters<typeof chatSettingsOf>[0],
): Promise<ChatOptions> {
  return {
    ...chatSettingsOf(generate),
    ...(tools !== undefined && { tools: await readChecked('--tools', tools, objects) }),
    ...(documents !== undefined && { documents: await readChecked('--documents', documents, objects) }),
    ...(continueFinalMessage === true && { continueFinalMessage }),
  };
}

async function readChecked<T extends z.ZodType>(
  option: string,
  file: string,
  schema: T,
  context?: Pick<CommandContext, 'stdin' | 'signal'>,
): Promise<z.infer<T>> {
  let json: unknown;
  try {
    const isInput = context !== undefined && file === STANDARD_INPUT;
    json = parseExactJson(textOf(isInput ? await readStandardInput(context) : await readFile(file)));
  } catch (cause) {
    throw new UsageError(`${option} ${file} can't be read (${causeText(cause)}); give a JSON file`);
  }
  const checked = schema.safeParse(json);
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  const where = issue!.path.length === 0 ? '' : ` at ${printable(issue!.path.map(String).join('.'))}`;
  throw new UsageError(`${option} ${file}${where}: ${issue!.message}`);
}
