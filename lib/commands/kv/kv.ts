/** `expertwire kv`: keys and values that are kept for later requests, by a server or in the folder of a disk tier. */
import * as z from 'zod';
import { kvAnswer } from '../../server/base/kv_answer.js';
import { UsageError, type CommandContext } from '../base/context.js';
import { ChatError } from '../chat/answers/errors.js';
import { ServerConnection } from '../chat/answers/server_connection.js';
import { API_KEY_VARIABLE, readApiKeys } from '../serve/api_key_source.js';
import { clearFolders, listFolders } from './kv_folders.js';
import { DEFAULT_URL, type KvArgs } from './kv_options.js';
import { kvText } from './kv_text.js';

/** Prints what lies where, or that it is forgotten. @throws UsageError; ChatError NO_SERVER, SERVER_REFUSED, ANSWER_BROKEN; ConfigError NOT_FOUND, INVALID_VALUE */
export async function kv(args: KvArgs, { stdout, env, signal }: CommandContext): Promise<void> {
  const { action, path, url, json = false } = args;
  if (path !== undefined && url !== undefined) {
    throw new UsageError('--path is of a folder and --url of a server; give one of them');
  }
  if (path !== undefined) {
    stdout.write(action === 'ls' ? await listFolders(path, json) : await clearFolders(path, json));
    return;
  }
  const keys = await readApiKeys(args.apiKeyFile, env);
  const server = new ServerConnection(url ?? DEFAULT_URL, keys[0], API_KEY_VARIABLE);
  stdout.write(action === 'ls' ? await list(server, json, signal) : await clear(server, json, signal));
}

async function list(server: ServerConnection, isJson: boolean, signal: AbortSignal): Promise<string> {
  const answer = await server.json('GET', 'kv', null, signal);
  return isJson ? `${JSON.stringify(answer)}\n` : kvText(readable(kvAnswer, answer));
}

async function clear(server: ServerConnection, isJson: boolean, signal: AbortSignal): Promise<string> {
  const answer = await server.json('POST', 'kv/clear', {}, signal);
  const { cleared_blocks: numBlocks } = readable(CLEARED, answer);
  return isJson ? `${JSON.stringify(answer)}\n` : `cleared: ${numBlocks} blocks\n`;
}

const CLEARED = z.object({ cleared_blocks: z.number() });

/** @throws ChatError ANSWER_BROKEN */
function readable<T>(schema: z.ZodType<T>, answer: unknown): T {
  const { success, data } = schema.safeParse(answer);
  if (success) return data;
  const text = 'the server says something else than expertwire does; look at --url, or use --json';
  throw new ChatError('ANSWER_BROKEN', text);
}
