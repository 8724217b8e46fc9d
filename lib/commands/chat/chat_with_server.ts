/** `expertwire chat --url`. */
import type { CommandContext } from '../base/context.js';
import { SharedTerminal } from '../base/shared_terminal.js';
import { readApiKeys } from '../serve/api_key_source.js';
import { SERVER_KEY_VARIABLE, type ChatArgs } from './chat_options.js';
import { ChatTerminal } from './chat_terminal.js';
import { ServerConnection } from './answers/server_connection.js';
import { serverFields } from './server_fields.js';
import { ServerSource } from './answers/server_source.js';
import { firstConversation, talk } from './talk.js';

/** @throws UsageError; ChatError NO_SERVER, SERVER_REFUSED, BAD_CONVERSATION */
export async function chatWithServer(args: ChatArgs, url: string, context: CommandContext): Promise<void> {
  const { stdout, env, signal } = context;
  const fields = serverFields(args);
  const conversation = await firstConversation(args);
  const keys = await readApiKeys(args.apiKeyFile, env[SERVER_KEY_VARIABLE] === '' ? {} : env, SERVER_KEY_VARIABLE);
  const connection = new ServerConnection(url, keys[0]);
  const source = await ServerSource.open(connection, args.model, fields, signal);
  const input = new ChatTerminal(context);
  const terminal = new SharedTerminal({ stdout, stderr: input.stderr });
  await talk({ source, input, terminal, conversation, model: `${source.model} at ${url}` }, args, context);
}
