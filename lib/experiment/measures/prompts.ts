/** The prompts of a run: what its workload says, or else its configuration. */
import { readFile } from 'node:fs/promises';
import * as z from 'zod';
import { causeText, textOf } from '../../../base/foreign_text.js';
import { uniform } from '../../../base/philox.js';
import { ConfigError } from '../../config/errors.js';
import { integer, key } from '../../config/key_types.js';
import type { OpenedModel } from '../../head/opened_model.js';
import { chatSettingsOf } from '../../tokenizer/chat_template.js';
import type { Tokenizer } from '../../tokenizer/tokenizer.js';
import type { PlannedRun } from '../base/run.js';
import { labelledText } from './keys.js';

/** More is a slip. */
const MAX_PROMPTS = 65_536;

const prompt = labelledText(1);

/** Keys of `workload` that say what is asked; one of them at most. None: `generate.prompts` of the configuration. */
export const promptKeys = {
  prompts: key(
    z.array(prompt).min(1).max(MAX_PROMPTS).nullable().default(null),
    'a list of texts, of { label, text } or of { label, token_ids }',
    ...(['list', 'null'] as const),
  ),
  prompts_file: key(
    z.string().min(1).nullable().default(null),
    'the path of a file with one prompt a line, or null',
    ...(['string', 'null'] as const),
  ),
  random: key(
    z
      .strictObject({ prompts: integer(1, MAX_PROMPTS), tokens: integer(1, 2 ** 20) })
      .nullable()
      .default(null),
    '{ prompts, tokens }: how many prompts of how many random tokens, or null',
    ...(['mapping', 'null'] as const),
  ),
};

/** What those keys come to. */
export type PromptKeys = z.infer<z.ZodObject<typeof promptKeys>>;

/** A prompt as the engine takes it, and what reports call it. */
export interface MeasuredPrompt {
  readonly label: string | null;
  /** Null: it was given as token ids. */
  readonly text: string | null;
  readonly tokenIds: readonly number[];
}

type Asked = Pick<PlannedRun, 'config' | 'workload' | 'seed'>;

/** @throws ConfigError where there is none, two keys say some, or a file can't be read; TokenizerError */
export async function promptsOf(run: Asked, model: Pick<OpenedModel, 'spec' | 'tokenizer'>): Promise<MeasuredPrompt[]> {
  const { prompts, prompts_file: file, random } = run.workload as unknown as PromptKeys;
  const given = Object.entries({ prompts, prompts_file: file, random }).filter(([, value]) => value !== null);
  if (given.length > 1) {
    const names = given.map(([name]) => name).join(' and ');
    throw new ConfigError('INVALID_VALUE', `workload has ${names}; leave all but one of them out`, { key: 'workload' });
  }
  if (random !== null) return randomPrompts(random, run.seed, model.spec.vocabSize);
  const asked = prompts ?? (file === null ? run.config.generate.prompts : await linesOf(file));
  if (asked.length === 0) {
    const text = 'there is no prompt; give workload.prompts, prompts_file or random, or generate.prompts of the base';
    throw new ConfigError('MISSING_KEY', text, { key: 'workload.prompts' });
  }
  return asked.map((each) => encoded(each, run.config, model.tokenizer));
}

const randomPrompts = (random: { prompts: number; tokens: number }, seed: number, vocabSize: number) =>
  Array.from({ length: random.prompts }, (_, i) => ({
    label: null,
    text: null,
    tokenIds: Array.from({ length: random.tokens }, (_, at) => Math.floor(uniform(seed, i, at) * vocabSize)),
  }));

function encoded(
  asked: z.infer<typeof prompt>,
  { generate, model }: Asked['config'],
  tokenizer: Tokenizer | undefined,
): MeasuredPrompt {
  if (typeof asked === 'object' && 'token_ids' in asked) {
    return { label: asked.label ?? null, text: null, tokenIds: asked.token_ids };
  }
  const { text, label = null } = typeof asked === 'string' ? { text: asked } : asked;
  if (tokenizer === undefined) {
    const why = `${model} has no tokenizer; give prompts as { token_ids: [5, 17, 3] }, or workload.random`;
    throw new ConfigError('INVALID_VALUE', why, { key: 'workload.prompts' });
  }
  if (!generate.chat) return { label, text, tokenIds: tokenizer.encode(text) };
  const { system } = generate;
  const before = system === null || system === '' ? [] : [{ role: 'system', content: system }];
  const messages = [...before, { role: 'user', content: text }];
  return { label, text, tokenIds: tokenizer.encodeChat(messages, chatSettingsOf(generate)) };
}

async function linesOf(file: string): Promise<string[]> {
  try {
    const lines = textOf(await readFile(file)).split(/\r?\n/);
    return lines.filter((line) => line !== '');
  } catch (cause) {
    const text = `workload.prompts_file ${file} can't be read (${causeText(cause)}); give a file with one prompt a line`;
    throw new ConfigError('NOT_FOUND', text, { key: 'workload.prompts_file', file, cause });
  }
}
