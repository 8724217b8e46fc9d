/** The prompts of one `generate`: from flags, a file, standard input or the configuration. */
import { readFile } from 'node:fs/promises';
import { causeText, textOf } from '../../../base/foreign_text.js';
import type { ConfigPrompt, ExpertwireConfig } from '../../config/schema.js';
import type { ChatMessage, ChatOptions } from '../../tokenizer/chat_template.js';
import type { Tokenizer } from '../../tokenizer/tokenizer.js';
import { UsageError, type CommandContext } from '../base/context.js';
import { readStandardInput, STANDARD_INPUT } from '../base/standard_input.js';
import { chatOptionsOf, readMessages, textOfLast, type ChatFileArgs } from './chat_files.js';

/** Where prompts come from, as yargs parses it. */
export interface PromptArgs extends ChatFileArgs {
  readonly prompt?: readonly string[] | undefined;
  readonly prompts?: string | undefined;
  readonly promptIds?: readonly string[] | undefined;
  readonly chat?: boolean | undefined;
}

/** One prompt as the engine takes it, and how to show it. */
export interface Prompt {
  /** What kind of prompt it is, where the configuration says so. */
  readonly label: string | null;
  /** Null where the prompt was given as token ids. */
  readonly text: string | null;
  readonly tokenIds: readonly number[];
}

/** From flags, a file, standard input or the configuration. @throws UsageError when there is none, or one that can't be used */
export async function readPrompts(
  args: PromptArgs,
  { generate, model }: ExpertwireConfig,
  tokenizer: Tokenizer | undefined,
  context: Pick<CommandContext, 'stdin' | 'signal'>,
): Promise<Prompt[]> {
  const conversations = await Promise.all((args.messages ?? []).map((file) => readMessages(file, context)));
  checkFlags(args, conversations);
  const texts: ConfigPrompt[] = [
    ...(args.prompt ?? []),
    ...(args.prompts === undefined ? [] : await lines(args.prompts, context)),
  ];
  const ids = (args.promptIds ?? []).map((list) => ({ label: null, text: null, tokenIds: parseIds(list) }));
  const isNone = (): boolean => texts.length + ids.length + conversations.length === 0;
  if (isNone()) texts.push(...generate.prompts);
  if (isNone()) {
    throw new UsageError(
      'no prompt: give --prompt TEXT, --prompts FILE, --messages FILE, --prompt-ids 5,17,3 or generate.prompts in the configuration',
    );
  }
  if (texts.length + conversations.length === 0) return ids;
  const encoder = new PromptEncoder(tokenizerOf(model, tokenizer), await chatOptionsOf(args, generate), generate);
  return [
    ...texts.map((prompt) => encoder.text(typeof prompt === 'string' ? { label: null, text: prompt } : prompt)),
    ...conversations.map((messages) => encoder.conversation(messages)),
    ...ids,
  ];
}

/** @throws UsageError where flags say two things, or one for nothing */
function checkFlags(
  { system, continueFinalMessage }: PromptArgs,
  conversations: readonly (readonly ChatMessage[])[],
): void {
  if (system !== undefined && conversations.some(([first]) => first?.role === 'system')) {
    throw new UsageError('--system and a conversation that begins with a system message; leave one of them out');
  }
  if (continueFinalMessage === true && conversations.length === 0) {
    throw new UsageError('--continue-final-message goes on with the last message of --messages FILE; give that');
  }
}

function tokenizerOf(model: string, tokenizer: Tokenizer | undefined): Tokenizer {
  if (tokenizer !== undefined) return tokenizer;
  throw new UsageError(`${model} has no tokenizer; give the prompt as token ids: --prompt-ids 5,17,3`);
}

/** Makes tokens of texts and conversations. */
class PromptEncoder {
  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly options: ChatOptions,
    private readonly generate: Pick<ExpertwireConfig['generate'], 'chat' | 'system'>,
  ) {
    for (const what of ['tools', 'documents'] as const) {
      if (options[what] === undefined || tokenizer.chatTemplates.sourceOf(options).includes(what)) continue;
      throw new UsageError(`the model's chat template doesn't read ${what}; leave --${what} out`);
    }
  }

  text({ label, text }: { readonly label: string | null; readonly text: string }): Prompt {
    if (text === '') throw new UsageError('a prompt is empty; give at least one character');
    if (!this.generate.chat) return { label, text, tokenIds: this.tokenizer.encode(text) };
    return { ...this.conversation([{ role: 'user', content: text }]), label, text };
  }

  conversation(messages: readonly ChatMessage[]): Prompt {
    const { system } = this.generate;
    const hasOwn = messages[0]?.role === 'system';
    const whole =
      system === null || system === '' || hasOwn ? messages : [{ role: 'system', content: system }, ...messages];
    return { label: null, text: textOfLast(messages), tokenIds: this.tokenizer.encodeChat(whole, this.options) };
  }
}

async function lines(file: string, context: Pick<CommandContext, 'stdin' | 'signal'>): Promise<string[]> {
  try {
    const bytes = file === STANDARD_INPUT ? await readStandardInput(context) : await readFile(file);
    return textOf(bytes)
      .split(/\r?\n/)
      .filter((line) => line !== '');
  } catch (cause) {
    throw new UsageError(`--prompts ${file} can't be read (${causeText(cause)})`);
  }
}

/** '5,17,3' → [5, 17, 3] */
export function parseIds(list: string): number[] {
  const ids = list.split(',').map((part) => part.trim());
  const wrong = ids.find((part) => !/^\d+$/.test(part));
  if (wrong !== undefined) throw new UsageError(`'${wrong}' is not a token id; give ids like 5,17,3`);
  return ids.map(Number);
}
