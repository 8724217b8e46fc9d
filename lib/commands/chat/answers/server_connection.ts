/** Requests to a server of OpenAI's API. */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { causeText, shown, jsonOrUndefined } from '../../../../base/foreign_text.js';
import { UsageError } from '../../base/context.js';
import { ChatError } from './errors.js';
import { serverErrorText } from './server_answer.js';

/** Of an answer that isn't streamed. */
const MAX_BODY_CHARS = 2 ** 24;

/** A server at an address. */
export class ServerConnection {
  private readonly base: string;

  /**
   * `url`: with or without `/v1` at its end. `keyVariable`: of the environment, where its user may have put the key.
   * @throws UsageError where it is no address of a server
   */
  constructor(
    readonly url: string,
    private readonly apiKey: string | undefined,
    private readonly keyVariable = 'OPENAI_API_KEY',
  ) {
    const parsed = URL.canParse(url) ? new URL(url) : null;
    if (parsed === null || !/^https?:$/.test(parsed.protocol)) {
      throw new UsageError(`--url ${url} is no address of a server; give one like http://127.0.0.1:8000`);
    }
    const path = parsed.href.replace(/\/+$/, '');
    // Some addresses have the version in their middle: …/v1beta/openai.
    this.base = /\/v\d[^/]*(\/|$)/.test(parsed.pathname) ? path : `${path}/v1`;
  }

  /** The head of an answer has come. `path`: after the version. @throws ChatError NO_SERVER where none does; AbortError */
  send(method: 'GET' | 'POST', path: string, body: object | null, signal: AbortSignal): Promise<IncomingMessage> {
    const bytes = body === null ? null : Buffer.from(JSON.stringify(body));
    const headers = {
      ...(this.apiKey !== undefined && { authorization: `Bearer ${this.apiKey}` }),
      ...(bytes !== null && { 'content-type': 'application/json', 'content-length': bytes.length }),
    };
    const request = this.base.startsWith('https:') ? httpsRequest : httpRequest;
    return new Promise((resolve, reject) => {
      // A connection for each: between two questions a server closes one that is kept.
      const sent = request(new URL(path, `${this.base}/`), { method, headers, agent: false, signal });
      sent.on('error', (cause) => reject(signal.aborted ? cause : this.noServer(cause)));
      sent.on('response', resolve);
      sent.end(bytes);
    });
  }

  /** A request that is answered in one piece of JSON. @throws ChatError NO_SERVER, SERVER_REFUSED, ANSWER_BROKEN; AbortError */
  async json(method: 'GET' | 'POST', path: string, body: object | null, signal: AbortSignal): Promise<unknown> {
    const response = await this.send(method, path, body, signal);
    if (response.statusCode !== 200) throw await this.refusal(response);
    const text = await bodyOf(response);
    const value = jsonOrUndefined(text);
    if (value !== undefined) return value;
    throw new ChatError('ANSWER_BROKEN', `${this.url} answers with ${shown(text)}, which is no JSON; look at --url`);
  }

  /** What a server says that answers with another status than 200. */
  async refusal(response: IncomingMessage): Promise<ChatError> {
    const text = await bodyOf(response);
    const status = response.statusCode!;
    const said = errorOf(text);
    const advice = this.adviceFor(status);
    const parts = [
      `the server answered ${status}${said === '' ? '' : `: ${said}`}`,
      ...(advice === undefined ? [] : [advice]),
    ];
    return new ChatError('SERVER_REFUSED', parts.join('; '));
  }

  private adviceFor(status: number): string | undefined {
    if (status === 401 || status === 403) return `set ${this.keyVariable}, or give --api-key-file`;
    return status === 404 ? 'look at --url and --model' : undefined;
  }

  private noServer(cause: unknown): ChatError {
    const text = `${this.url} doesn't answer (${causeText(cause)}); start a server there, or give its --url`;
    return new ChatError('NO_SERVER', text, { cause });
  }
}

/** The whole body, as far as it is held. */
export async function bodyOf(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const piece of response.setEncoding('utf8')) {
    text += piece as string;
    if (text.length > MAX_BODY_CHARS) break;
  }
  return text;
}

function errorOf(text: string): string {
  const value = jsonOrUndefined(text);
  const isWrapped = typeof value === 'object' && value !== null && 'error' in value;
  return serverErrorText(isWrapped ? value.error : (value ?? text.trim()));
}
