/** A server over a played engine, with a route that plays a request, and what its log says. */
import { loadConfig, type PartialConfig } from '../../../lib/config/load.js';
import { DEMO_MODEL } from '../../../lib/config/package_files.js';
import { createServer, type HttpServer } from '../../../lib/server/create_server.js';
import { createLog } from '../../../lib/server/telemetry/log.js';
import { PlayedSource } from './played_source.js';

export interface TelemeteredAppOptions {
  readonly server?: PartialConfig['server'];
  readonly apiKeys?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export type LogLine = Readonly<Record<string, unknown>>;

export class TelemeteredApp {
  private constructor(
    readonly server: HttpServer,
    readonly engine: PlayedSource,
    /** What the log said. */
    readonly lines: readonly LogLine[],
  ) {}

  static async create({ server, apiKeys = [], env = {} }: TelemeteredAppOptions = {}): Promise<TelemeteredApp> {
    const config = await loadConfig({ base: { model: DEMO_MODEL, ...(server && { server }) } });
    const engine = new PlayedSource();
    const lines: LogLine[] = [];
    const write = (line: string): number => lines.push(JSON.parse(line) as LogLine);
    const log = createLog({ write }, config.server.log_level);
    const made = new TelemeteredApp(await createServer(engine, { config, log, apiKeys, env }), engine, lines);
    made.addRoute();
    return made;
  }

  /** POST /played?tokens=N: a prompt of 6 tokens, of which 4 are cached; gives way once after the first token of three or more. */
  private addRoute(): void {
    let sequence = 0;
    this.server.app.post('/played', (request) => {
      const numTokens = Number((request.query as { readonly tokens?: string }).tokens ?? 3);
      const { engine } = this;
      const own = sequence++;
      const admit = { kind: 'admitted', sequence: own, rank: 1, numCachedTokens: 4 } as const;
      const { request_id: id = request.id } = (request.body ?? {}) as { readonly request_id?: string };
      engine.news({ kind: 'queued', sequence: own, id, numPromptTokens: 6, maxNewTokens: numTokens }, admit);
      engine.step([[], [{ sequence: own, numTokens: 2, isPrompt: true }]]);
      for (let i = 1; i < numTokens; i++) {
        if (i === 1) engine.news({ kind: 'preempted', sequence: own, rank: 1 }, admit);
        engine.step([[], [{ sequence: own, numTokens: 1, isPrompt: false }]]);
      }
      engine.news({ kind: 'finished', sequence: own, reason: 'length' });
      return { said: 'SECRET ANSWER' };
    });
  }
}
