/** Where a model folder has its chat templates. */
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { causeText } from '../../base/foreign_text.js';
import { isNotFound } from '../weights/model_files.js';
import { TokenizerError } from './errors.js';
import { readTextIfPresent } from './checked_files.js';

/** The folder of templates besides the default one, each a file NAME.jinja. */
const MORE_TEMPLATES = 'additional_chat_templates';

/** `chat_template` of tokenizer_config.json: one template, or several by name. */
export type ConfiguredTemplates =
  string | readonly { readonly name: string; readonly template: string }[] | null | undefined;

/**
 * Jinja source by name, as transformers finds it: chat_template.jinja is 'default', additional_chat_templates/ has others; only without these counts what
 * tokenizer_config.json has.
 *
 * @throws TokenizerError INVALID_TOKENIZER, READ_FAILED
 */
export async function readChatTemplates(
  dir: string,
  configured: ConfiguredTemplates,
): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>([['default', join(dir, 'chat_template.jinja')]]);
  for (const name of await namesIn(join(dir, MORE_TEMPLATES))) {
    files.set(basename(name, '.jinja'), join(dir, MORE_TEMPLATES, name));
  }
  const texts = await Promise.all(
    [...files].map(async ([name, file]) => [name, await readTextIfPresent(file)] as const),
  );
  const found = texts.filter((entry): entry is readonly [string, string] => entry[1] !== undefined);
  if (found.length > 0) return new Map(found);
  if (typeof configured === 'string') return new Map([['default', configured]]);
  return new Map((configured ?? []).map(({ name, template }) => [name, template]));
}

async function namesIn(dir: string): Promise<string[]> {
  try {
    return (await readdir(dir)).filter((name) => name.endsWith('.jinja')).sort();
  } catch (cause) {
    if (isNotFound(cause)) return [];
    throw new TokenizerError('READ_FAILED', `${dir}: ${causeText(cause)}; check the folder and its permissions`, {
      file: dir,
      cause,
    });
  }
}
