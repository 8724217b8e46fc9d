/** What the options of `chat` add to each request to a server, under OpenAI's and vLLM's names. Pure. */
import { printable, jsonOrUndefined, shown } from '../../../base/foreign_text.js';
import { UsageError } from '../base/context.js';
import { samplingConfig } from '../engine/sampling_options.js';
import type { ChatArgs } from './chat_options.js';

/** Only what was given: servers have defaults of their own, and refuse what they don't know. @throws UsageError */
export function serverFields(args: ChatArgs): Readonly<Record<string, unknown>> {
  const { max_new_tokens: max_completion_tokens, ...sampling } = samplingConfig(args); // vLLM's names are ours
  const given = Object.entries({ max_completion_tokens, ...sampling }).filter(([, value]) => value !== undefined);
  const wrong = given.find(([, value]) => typeof value === 'number' && !Number.isFinite(value));
  if (wrong !== undefined)
    throw new UsageError(`${wrong[0]} is ${shown(wrong[1])}, which JSON can't say; give a number`);
  return { ...Object.fromEntries(given), ...extraBody(args.extraBody) };
}

function extraBody(text: string | undefined): object {
  if (text === undefined) return {};
  const value = jsonOrUndefined(text);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new UsageError(`--extra-body is ${printable(text)}; give a JSON object like '{"top_k": 20}'`);
}
