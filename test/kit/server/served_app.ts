/** A server without a network over a played engine. */
import { loadConfig } from '../../../lib/config/load.js';
import type { PartialConfig } from '../../../lib/config/load.js';
import { DEMO_MODEL } from '../../../lib/config/package_files.js';
import type { ErrorBody } from '../../../lib/server/base/api_error.js';
import type { ServerOptions } from '../../../lib/server/base/options.js';
import type { ServerApp } from '../../../lib/server/base/part.js';
import { createServer, type HttpServer } from '../../../lib/server/create_server.js';
import { loadTokenizer, type Tokenizer } from '../../../lib/tokenizer/tokenizer.js';
import { createParser } from 'eventsource-parser';
import { PlayedEngine, playText, type Play } from './played_engine.js';

/** Its options: keys of the configuration, and whatever else `createServer` takes. */
export interface ServedAppOptions extends Omit<ServerOptions, 'config'> {
  readonly base?: PartialConfig;
  readonly engine?: PlayedEngine;
}

export async function servedApp({ base, engine, ...rest }: ServedAppOptions = {}): Promise<{
  readonly app: ServerApp;
  readonly server: HttpServer;
  readonly engine: PlayedEngine;
}> {
  const config = await loadConfig({ base: { model: DEMO_MODEL, ...base } });
  const served = engine ?? new PlayedEngine(playText('Call me'), await demoTokenizer());
  const server = await createServer(served, { config, ...rest });
  return { app: server.app, server, engine: served };
}

/** Loaded once. */
let tokenizer: Promise<Tokenizer | undefined> | undefined;
export const demoTokenizer = (): Promise<Tokenizer | undefined> => (tokenizer ??= loadTokenizer(DEMO_MODEL));

/** A played engine with the demo model's tokenizer. */
export const playedEngine = async (play: Play): Promise<PlayedEngine> => new PlayedEngine(play, await demoTokenizer());

/** The answer to a POST with a JSON body. */
export const post = (app: ServerApp, url: string, payload: object) => app.inject({ method: 'POST', url, payload });

/** What the frames of a stream hold; [DONE] as it is. */
export const framesOf = ({ body }: { readonly body: string }): unknown[] => {
  const frames: unknown[] = [];
  const parser = createParser({
    onEvent: ({ data, event }) => {
      const parsed: unknown = data === '[DONE]' ? data : JSON.parse(data);
      frames.push(event === undefined ? parsed : { event, data: parsed });
    },
    onError: (error) => {
      throw error;
    },
  });
  parser.feed(body);
  return frames;
};

/** The error in an answer. */
export const errorOf = (answer: { readonly body: string }): ErrorBody['error'] =>
  (JSON.parse(answer.body) as ErrorBody).error;
