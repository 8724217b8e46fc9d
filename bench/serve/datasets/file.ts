/** `--dataset file`: prompts that somebody wrote, as JSON lines or in ShareGPT's form. */
import { open } from 'node:fs/promises';
import * as z from 'zod';
import { causeText, shown, textOf, jsonOrUndefined } from '../../../base/foreign_text.js';
import { ServeBenchError } from '../load/errors.js';
import { single, type Conversation, type Prompt } from '../load/conversation.js';
import type { Endpoint } from '../load/endpoint.js';
import type { Dataset } from './dataset.js';
import { firstLines } from './first_lines.js';

/** Where prompts come from, and what they lack. */
export interface FileOptions {
  readonly file: string;
  readonly endpoint: Endpoint;
  /** Tokens to ask for where a row doesn't say. */
  readonly outputLen: number;
  readonly numPrompts: number;
}

/** A ShareGPT file is read whole: it is one JSON text. */
const MAX_JSON_BYTES = 2 ** 30;

/** The first `numPrompts` prompts of a file. @throws ServeBenchError BAD_DATASET */
export async function fileDataset(options: FileOptions): Promise<Dataset> {
  const { file, numPrompts } = options;
  const isWhole = file.endsWith('.json');
  const conversations = isWhole ? await shareGpt(options) : await jsonLines(options);
  if (conversations.length === 0)
    throw new ServeBenchError('BAD_DATASET', `${file} has no prompts; give a file with some`);
  const about = `file: the first ${Math.min(numPrompts, conversations.length)} prompts of ${file} (${isWhole ? "ShareGPT's form" : 'JSON lines'})`;
  return { conversations: conversations.slice(0, numPrompts), notes: [about] };
}

const numTokens = z.int().min(1).optional();
const row = z.looseObject({
  prompt: z.union([z.string().min(1), z.array(z.int().min(0)).min(1)]).optional(),
  messages: z
    .array(z.object({ role: z.string(), content: z.string() }))
    .min(1)
    .optional(),
  max_tokens: numTokens,
  output_tokens: numTokens,
});

async function jsonLines({ file, endpoint, outputLen, numPrompts }: FileOptions): Promise<Conversation[]> {
  const lines = await firstLines(file, numPrompts);
  return lines.map((line, i) => {
    const { data } = row.safeParse(jsonOrUndefined(line));
    const prompt = data && promptOf(data, endpoint);
    if (data === undefined || prompt === undefined)
      throw new ServeBenchError(
        'BAD_DATASET',
        `line ${i + 1} of ${file} is ${shown(line)}; give ${FORMS[endpoint]}, with "output_tokens" if you like`,
      );
    return single(prompt, data.output_tokens ?? data.max_tokens ?? outputLen);
  });
}

const FORMS: Readonly<Record<Endpoint, string>> = {
  completions: '{"prompt": text or token ids}',
  chat: '{"prompt": text} or {"messages": [{"role", "content"}]}',
};

/** Undefined for what the endpoint doesn't take. */
function promptOf({ prompt, messages }: z.infer<typeof row>, endpoint: Endpoint): Prompt | undefined {
  if (endpoint === 'chat') {
    if (messages !== undefined) return { kind: 'messages', messages };
    if (typeof prompt === 'string') return { kind: 'messages', messages: [{ role: 'user', content: prompt }] };
    return undefined;
  }
  if (typeof prompt === 'string') return { kind: 'text', text: prompt };
  return prompt === undefined ? undefined : { kind: 'tokens', tokenIds: Int32Array.from(prompt) };
}

const shared = z.array(
  z.looseObject({ conversations: z.array(z.looseObject({ from: z.string(), value: z.string() })) }),
);

/** The first thing that a person says in each conversation, as vLLM takes it; the answer's length is `outputLen`. */
async function shareGpt({ file, endpoint, outputLen }: FileOptions): Promise<Conversation[]> {
  const { data } = shared.safeParse(jsonOrUndefined(await wholeFile(file)));
  if (data === undefined)
    throw new ServeBenchError('BAD_DATASET', `${file} is no list of {"conversations": [{"from", "value"}]}; give one`);
  return data.flatMap(({ conversations }) => {
    const said = conversations[0];
    const prompt = said?.from === 'human' && said.value !== '' ? promptOf({ prompt: said.value }, endpoint) : undefined;
    return prompt === undefined ? [] : [single(prompt, outputLen)];
  });
}

async function wholeFile(path: string): Promise<string> {
  try {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      if (size > MAX_JSON_BYTES) throw new Error(`it has ${size} bytes, and ${MAX_JSON_BYTES} is the most`);
      return textOf(await file.readFile());
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw new ServeBenchError('BAD_DATASET', `${path} can't be read (${causeText(cause)}); give a JSON file`, {
      cause,
    });
  }
}
