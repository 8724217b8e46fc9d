/** What a router adds: to each token that it passes on, and to each request, against asking the server itself. */
import { closing } from '../../lib/commands/base/closing.js';
import { DEMO_MODEL } from '../../lib/config/package_files.js';
import { HelperProcess } from '../base/helper_process.js';
import { median, quantile } from '../base/machine.js';
import { WORDS } from '../serve/load/prompt_maker.js';
import type { FigureRow, Measured } from '../base/measured.js';
import type { ClusterBench } from './measurement.js';
import type { RouterNews, RouterOrder, UpstreamKind, UpstreamNews, UpstreamOrder } from './router/orders.js';
import { PacedClient } from './router/paced_client.js';

/** A token each. */
const GAP_MS = 2;
const NUM_STREAMS = 4;
/** One after the other, of one token each. */
const NUM_REQUESTS = 200;
/** V8 compiles meanwhile. */
const NUM_WARM_UPS = 50;
const IDLE_MS = 500;
const PROMPT = WORDS.slice(0, 64).join(' ');

/** What is passed on for whom. */
const ROUTES = [
  { route: 'foreign server, round_robin', as: 'foreign', policy: 'round_robin' },
  { route: 'own instance, kv', as: 'own', policy: 'kv' },
] as const satisfies readonly { readonly route: string; readonly as: UpstreamKind; readonly policy: string }[];

/** One round over one way. */
export interface RouterTrial {
  /** Of all tokens of all streams. */
  readonly lateMs: readonly number[];
  /** Of all requests of one token. */
  readonly requestMs: readonly number[];
  /** Of the router, per token and per request; 0 without one. */
  readonly cpuTokenMs: number;
  readonly cpuRequestMs: number;
}

/** A row per route. */
export async function measureRouter(bench: ClusterBench): Promise<Measured> {
  const { signal, rounds, streamTokens } = bench;
  const upstream = new HelperProcess<UpstreamOrder, UpstreamNews>(
    new URL('./router/upstream_process.js', import.meta.url),
    signal,
  );
  const routers = ROUTES.map(
    () => new HelperProcess<RouterOrder, RouterNews>(new URL('./router/router_process.js', import.meta.url), signal),
  );
  const client = new PacedClient();
  return closing(
    async () => {
      client.close();
      await Promise.all([upstream, ...routers].map((each) => each.close()));
    },
    async () => {
      const { url } = await upstream.ask({ gapMs: GAP_MS });
      const direct: RouterTrial[] = [];
      const routed = ROUTES.map((): RouterTrial[] => []);
      for (const [i, { as, policy }] of ROUTES.entries())
        await routers[i]!.ask({ kind: 'route', upstream: url, as, model: DEMO_MODEL, policy });
      for (let round = 0; round < rounds; round++) {
        direct.push(await trialOf(client, url, null, streamTokens));
        for (const [i, router] of routers.entries()) {
          const { url: through } = await router.ask({ kind: 'took' });
          routed[i]!.push(await trialOf(client, through, router, streamTokens));
        }
      }
      return {
        formula: `added: median time on the way − the same without a router; cpu: of the router's process − its idle time; ${NUM_STREAMS} streams, a token each every ${GAP_MS} ms, and ${NUM_REQUESTS} requests of one token one after the other`,
        baseline: 'direct: the same client asks the played server itself, whose tokens say when they were told',
        aim: 'less than 100 µs per token, less than 1 ms per request',
        rows: ROUTES.map(({ route }, i) => routerRow(route, direct, routed[i]!)),
        answers: 0,
        changed: 0,
      };
    },
  );
}

/** Medians over the rounds. Pure. */
export function routerRow(route: string, direct: readonly RouterTrial[], routed: readonly RouterTrial[]): FigureRow {
  const of = (trials: readonly RouterTrial[], figure: (trial: RouterTrial) => number): number =>
    median(trials.map(figure));
  const late = ({ lateMs }: RouterTrial): number => median(lateMs);
  const slowest = ({ lateMs }: RouterTrial): number => quantile(lateMs, 0.99);
  const request = ({ requestMs }: RouterTrial): number => median(requestMs);
  return {
    route,
    direct_token_us: 1000 * of(direct, late),
    added_token_us: 1000 * (of(routed, late) - of(direct, late)),
    added_p99_us: 1000 * (of(routed, slowest) - of(direct, slowest)),
    cpu_token_us: 1000 * of(routed, ({ cpuTokenMs }) => cpuTokenMs),
    direct_request_ms: of(direct, request),
    added_request_ms: of(routed, request) - of(direct, request),
    cpu_request_ms: of(routed, ({ cpuRequestMs }) => cpuRequestMs),
  };
}

type Router = Pick<HelperProcess<RouterOrder, RouterNews>, 'ask'>;

/** `router`: null: `url` is the server itself. */
async function trialOf(
  client: PacedClient,
  url: string,
  router: Router | null,
  streamTokens: number,
): Promise<RouterTrial> {
  for (let i = 0; i < NUM_WARM_UPS; i++) await client.ask(url, PROMPT, 4);
  const cpuMs = async (): Promise<number> => (router === null ? 0 : (await router.ask({ kind: 'took' })).cpuMs);
  const took = async <T>(
    act: () => Promise<T>,
  ): Promise<{ readonly result: T; readonly cpuMs: number; readonly ms: number }> => {
    const [startMs, startCpuMs] = [performance.now(), await cpuMs()];
    const result = await act();
    return { result, cpuMs: (await cpuMs()) - startCpuMs, ms: performance.now() - startMs };
  };
  const idle = await took(() => new Promise((resolve) => setTimeout(resolve, router === null ? 0 : IDLE_MS)));
  const streams = await took(() =>
    Promise.all(Array.from({ length: NUM_STREAMS }, () => client.ask(url, PROMPT, streamTokens))),
  );
  const requests = await took(async () => {
    const requestMs: number[] = [];
    for (let i = 0; i < NUM_REQUESTS; i++) requestMs.push((await client.ask(url, PROMPT, 1)).tookMs);
    return requestMs;
  });
  const idleShare = idle.cpuMs / idle.ms;
  return {
    lateMs: streams.result.flatMap(({ lateMs }) => lateMs),
    requestMs: requests.result,
    cpuTokenMs: (streams.cpuMs - idleShare * streams.ms) / (NUM_STREAMS * streamTokens),
    cpuRequestMs: (requests.cpuMs - idleShare * requests.ms) / NUM_REQUESTS,
  };
}
