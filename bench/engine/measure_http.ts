/** What a token costs more when it goes out as an event of a stream over HTTP. */
import type { Engine } from '../../lib/head/engine.js';
import { createServer } from '../../lib/serve.js';
import { closing } from '../../lib/commands/base/closing.js';
import { median } from '../base/machine.js';
import { askedOf, type PromptSource } from './asked.js';
import { runBatch } from './followed.js';
import { HttpClient } from './http_client.js';
import { configOf, sized, withEngine, type Bench, type FigureRow, type Measured } from './measurement.js';

const CONCURRENCIES = [1, 8];
const NUM_TOKENS = 200;
const PROMPT_TOKENS = 16;
/** Until V8 has compiled what streams run through. */
const WARM_UPS = 2;

/** A row for each concurrency. */
export async function measureHttp(bench: Bench): Promise<Measured> {
  const set = ['server.host=127.0.0.1', 'server.port=0', 'server.served_model_name=bench'];
  const config = await configOf(bench, bench.model, bench.ranks, set);
  const rows = await withEngine(bench, {}, async (engine, prompts) => {
    const server = await createServer(engine, { config });
    return closing(
      () => server.close(),
      async () => {
        const ways = { engine, prompts, client: new HttpClient(), url: await server.listen() };
        return closing(
          () => ways.client.close(),
          async () => {
            const all: FigureRow[] = [];
            for (const concurrency of CONCURRENCIES) all.push(await rowOf(bench, ways, concurrency));
            return all;
          },
        );
      },
    );
  });
  return {
    formula: `per token: CPU time of the process with head and server, and time from the first to the last token of each answer as its reader sees it; ${NUM_TOKENS} tokens per answer; overhead = HTTP − engine`,
    baseline:
      'engine: requests of the same lengths through engine.generate in the same process; rounds in turns, medians; the client is another process',
    rows,
  };
}

interface Ways {
  readonly engine: Engine;
  readonly prompts: PromptSource;
  readonly client: HttpClient;
  readonly url: string;
}

/** Microseconds per token. */
interface PerToken {
  readonly cpu: number;
  readonly wall: number;
}

async function rowOf(bench: Bench, ways: Ways, concurrency: number): Promise<FigureRow> {
  const http: PerToken[] = [];
  const direct: PerToken[] = [];
  for (let i = 0; i < WARM_UPS; i++) await overHttp(bench, ways, concurrency);
  for (let round = 0; round < bench.rounds; round++) {
    http.push(await overHttp(bench, ways, concurrency));
    direct.push(await directly(bench, ways, concurrency));
  }
  const of = (all: readonly PerToken[], what: keyof PerToken): number => median(all.map((each) => each[what]));
  const over = (what: keyof PerToken): number => median(http.map((each, round) => each[what] - direct[round]![what]));
  return {
    concurrency,
    http_cpu_us: of(http, 'cpu'),
    engine_cpu_us: of(direct, 'cpu'),
    overhead_cpu_us: over('cpu'),
    http_wall_us: of(http, 'wall'),
    engine_wall_us: of(direct, 'wall'),
    overhead_wall_us: over('wall'),
  };
}

const loadOf = (bench: Bench, { prompts }: Ways, concurrency: number) =>
  askedOf(prompts, PROMPT_TOKENS, new Array<number>(2 * concurrency).fill(sized(bench, NUM_TOKENS, 16)));

async function overHttp(bench: Bench, ways: Ways, concurrency: number): Promise<PerToken> {
  const order = { url: ways.url, model: 'bench', asked: loadOf(bench, ways, concurrency), concurrency };
  return perToken(() => ways.client.ask(order, bench.signal));
}

async function directly(bench: Bench, ways: Ways, concurrency: number): Promise<PerToken> {
  const asked = loadOf(bench, ways, concurrency);
  return perToken(async () => {
    const { followed } = await runBatch(ways.engine, asked, concurrency, 'continuous', bench.signal);
    return followed.map(({ tokenMs }) => tokenMs);
  });
}

async function perToken(run: () => Promise<readonly (readonly number[])[]>): Promise<PerToken> {
  const before = process.cpuUsage();
  const tokenMs = await run();
  const { user, system } = process.cpuUsage(before);
  const numTokens = tokenMs.reduce((sum, times) => sum + times.length, 0);
  const gaps = tokenMs.map((times) => (1000 * (times.at(-1)! - times[0]!)) / (times.length - 1));
  return { cpu: (user + system) / numTokens, wall: gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length };
}
