/** What a server that has started prints: where it is, and a line to try it with. Pure. */
import { resolve } from 'node:path';
import { shown } from '../../../base/foreign_text.js';
import { API_KEY_VARIABLE } from './api_key_source.js';

/** What the line depends on. */
export interface Greeted {
  /** Who has the model. Default: the server itself. */
  readonly what?: string;
  readonly url: string;
  readonly model: string;
  readonly hasTokenizer: boolean;
  /** Keys of the environment or of a file; 0: everybody may call. */
  readonly numKeys: number;
  /** Undefined: keys are in the environment. */
  readonly apiKeyFile: string | undefined;
  /** Of HTTPS; null: HTTP. */
  readonly certFile: string | null;
}

/** Two lines; the second runs in a shell, and holds no key itself. */
export function greeting(server: Greeted): string {
  const { url, model, hasTokenizer, certFile, what } = server;
  const body = JSON.stringify({ model, prompt: hasTokenizer ? 'Call me' : [1, 2, 3], max_tokens: 16 });
  const line = [
    `curl ${url}/v1/completions`,
    ...(certFile === null ? [] : [`--cacert ${quoted(resolve(certFile))}`]), // it may be nobody's but its own
    ...(server.numKeys === 0 ? [] : [`-H "Authorization: Bearer ${keyOf(server)}"`]),
    `-H 'Content-Type: application/json'`,
    `-d ${quoted(body)}`,
  ];
  const whose = what === undefined ? '' : `${what} of `;
  return `serving ${whose}${shown(model)} at ${url}\n${line.join(' ')}\n`;
}

/** What it goes on with. `numRequests`: over 0. */
export const goingOn = (numRequests: number, journal: string): string =>
  `going on with ${numRequests} ${numRequests === 1 ? 'request' : 'requests'} of ${shown(journal)}: GET /v1/requests/ID has what comes of each`;

/** A server without API keys that others reach. */
export const openWarning = (host: string): string =>
  `warning: whoever reaches ${host} can use this server; set ${API_KEY_VARIABLE} or give --api-key-file`;

/** How a shell finds the first key. */
function keyOf({ numKeys, apiKeyFile }: Greeted): string {
  // Lines of the file may be empty, and end as Windows ends them.
  if (apiKeyFile !== undefined) return `$(grep -oEm1 '[[:graph:]]+' ${quoted(resolve(apiKeyFile))})`;
  return numKeys === 1 ? `$${API_KEY_VARIABLE}` : `\${${API_KEY_VARIABLE}%%,*}`;
}

/** As a shell takes it for one word. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
