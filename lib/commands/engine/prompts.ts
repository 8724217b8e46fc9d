/** The prompts of one `generate`: from flags, a file, standard input or the configuration. */
import { readFile } from 'node:fs/promises';
import { causeText, textOf } from '../../../base/foreign_text.js';
import type { ConfigPrompt, ExpertwireConfig } from '../../config/schema.js';
import type { Tokenizer } from '../../tokenizer/tokenizer.js';
import { UsageError, type CommandContext } from '../base/context.js';
import { readStandardInput, STANDARD_INPUT } from '../base/standard_input.js';

/** Where prompts come from, as yargs parses it. */
export interface PromptArgs {
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
  const texts: ConfigPrompt[] = [
    ...(args.prompt ?? []),
    ...(args.prompts === undefined ? [] : await lines(args.prompts, context)),
  ];
  const ids = (args.promptIds ?? []).map((list) => ({ label: null, text: null, tokenIds: parseIds(list) }));
  if (texts.length === 0 && ids.length === 0) texts.push(...generate.prompts);
  if (texts.length === 0 && ids.length === 0) {
    throw new UsageError(
      'no prompt: give --prompt TEXT, --prompts FILE, --prompt-ids 5,17,3 or generate.prompts in the configuration',
    );
  }
  const encode = encoder(tokenizer, generate.chat, model);
  return [
    ...texts.map((prompt) => encode(typeof prompt === 'string' ? { label: null, text: prompt } : prompt)),
    ...ids,
  ];
}

function encoder(
  tokenizer: Tokenizer | undefined,
  isChat: boolean,
  model: string,
): (prompt: { readonly label: string | null; readonly text: string }) => Prompt {
  return ({ label, text }) => {
    if (tokenizer === undefined) {
      throw new UsageError(`${model} has no tokenizer.json; give the prompt as token ids: --prompt-ids 5,17,3`);
    }
    if (text === '') throw new UsageError('a prompt is empty; give at least one character');
    const tokenIds = isChat
      ? tokenizer.encodeChat([{ role: 'user', content: text }], { addGenerationPrompt: true })
      : tokenizer.encode(text);
    return { label, text, tokenIds };
  };
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
