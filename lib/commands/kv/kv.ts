/** `expertwire kv`: keys and values that are kept for later requests, by a server or in the folder of a disk tier. */
import * as z from 'zod';
import { kvAnswer } from '../../server/base/kv_answer.js';
import type { CommandContext } from '../base/context.js';
import { ChatError } from '../chat/answers/errors.js';
import { ServerConnection } from '../chat/answers/server_connection.js';
import { API_KEY_VARIABLE, readApiKeys } from '../serve/api_key_source.js';
import { DEFAULT_URL, type KvArgs } from './kv_options.js';
import { kvText } from './kv_text.js';

/** Prints what lies where, or that it is forgotten. @throws UsageError; ChatError NO_SERVER, SERVER_REFUSED, ANSWER_BROKEN */
export async function kv(args: KvArgs, { stdout, env, signal }: CommandContext): Promise<void> {
  const keys = await readApiKeys(args.apiKeyFile, env);
  const server = new ServerConnection(args.url ?? DEFAULT_URL, keys[0], API_KEY_VARIABLE);
  const text = args.action === 'ls' ? await list(server, args, signal) : await clear(server, args, signal);
  stdout.write(text);
}

async function list(server: ServerConnection, { json }: KvArgs, signal: AbortSignal): Promise<string> {
  const answer = await server.json('GET', 'kv', null, signal);
  return json === true ? `${JSON.stringify(answer)}\n` : kvText(readable(kvAnswer, answer));
}

async function clear(server: ServerConnection, { json }: KvArgs, signal: AbortSignal): Promise<string> {
  const answer = await server.json('POST', 'kv/clear', {}, signal);
  const { cleared_blocks: numBlocks } = readable(CLEARED, answer);
  return json === true ? `${JSON.stringify(answer)}\n` : `cleared: ${numBlocks} blocks\n`;
}

const CLEARED = z.object({ cleared_blocks: z.number() });

/** @throws ChatError ANSWER_BROKEN */
function readable<T>(schema: z.ZodType<T>, answer: unknown): T {
  const { success, data } = schema.safeParse(answer);
  if (success) return data;
  throw new ChatError(
    'ANSWER_BROKEN',
    'the server says something else than expertwire does; look at --url, or use --json',
  );
}
