/** What `cluster` and `route` have in common: a router over a bus, from its keys to its end. */
import { once } from 'node:events';
import type { InstanceView } from '../../cluster/base/instance_view.js';
import { ClusterBus } from '../../cluster/start/cluster_bus.js';
import { ClusterFeed } from '../../cluster/live/cluster_feed.js';
import { clusterPage } from '../../cluster/live/cluster_page.js';
import type { LiveRouter } from '../../cluster/live/messages.js';
import { VERSION } from '../../config/package_files.js';
import { createRouter, type Router } from '../../cluster/router/create_router.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { Logger } from 'pino';
import { isLoopback } from '../../server/create_server.js';
import { closing } from '../base/closing.js';
import type { CommandContext } from '../base/context.js';
import { SharedTerminal } from '../base/shared_terminal.js';
import { readApiKeys } from '../serve/api_key_source.js';
import { cutOff, finishing } from '../serve/farewell.js';
import { greeting, openWarning, type Greeted } from '../serve/greeting.js';
import { ServeLog } from '../serve/serve_log.js';
import type { RouterArgs } from './cluster_options.js';

/** What a router needs besides its settings. */
export interface RouterRun {
  readonly config: ExpertwireConfig;
  /** The first of {@link readClusterKeys}; null: there is none. */
  readonly clusterKey: string | null;
  /** Of servers of others, by the id of their instance. */
  readonly instanceKeys: ReadonlyMap<string, string>;
}

/** A router that is about to serve. */
export class RouterAtWork {
  constructor(
    private readonly args: RouterArgs,
    private readonly run: RouterRun,
    private readonly context: CommandContext,
    readonly bus: ClusterBus,
    readonly log: Logger,
    private readonly router: Router,
    private readonly terminal: SharedTerminal,
    private readonly numKeys: number,
    private readonly feed: ClusterFeed,
  ) {}

  /** Instances as the router knows them. */
  get views(): readonly InstanceView[] {
    return this.router.views;
  }

  /** A line for people, here and on the page. */
  news(text: string): void {
    this.line(text);
    this.feed.tell(text);
  }

  /** A line for people, on standard error. */
  line(text: string): void {
    this.terminal.line(text);
  }

  /** Serves until a signal comes, then lets what runs finish. `whom`: null: nobody is there yet. @throws ConfigError INVALID_VALUE: it can't listen */
  async serve(whom: Pick<Greeted, 'what' | 'model' | 'hasTokenizer'> | null): Promise<void> {
    const { run, args, context, router, numKeys } = this;
    const { host } = run.config.router;
    const url = await router.listen();
    if (numKeys === 0 && !isLoopback(host)) this.line(openWarning(host));
    const how = { url, certFile: run.config.server.tls.cert, numKeys, apiKeyFile: args.apiKeyFile };
    this.terminal.text(whom === null ? nobodyYet(url) : greeting({ ...whom, ...how }));
    if (!context.signal.aborted) await once(context.signal, 'abort');
    if (router.numRunning > 0) this.line(finishing(router.numRunning));
    const numBroken = await router.drain();
    if (numBroken === 0) context.obeyed?.();
    else this.line(cutOff(numBroken));
  }
}

const liveRouter = ({ cluster, router }: ExpertwireConfig): LiveRouter => ({
  name: cluster.name,
  version: VERSION,
  policy: router.policy,
});

const nobodyYet = (url: string): string =>
  `routing at ${url}; no instance answers yet, each is taken in as soon as it does\n`;

/** Makes a router and closes it behind `work`. @throws UsageError, ConfigError, ClusterError BUS_FAILED */
export async function withRouter(
  args: RouterArgs,
  run: RouterRun,
  context: CommandContext,
  work: (router: RouterAtWork) => Promise<void>,
): Promise<void> {
  const { config, clusterKey, instanceKeys } = run;
  const apiKeys = await readApiKeys(args.apiKeyFile, context.env);
  const serveLog = new ServeLog(context.stderr, config.server.log_level);
  const terminal = new SharedTerminal({ stdout: context.stdout, stderr: serveLog.stderr });
  const log = serveLog.loggerOn(terminal);
  const onTrouble = (instance: string, error: Error | null): void => {
    if (error === null) log.info({ instance }, 'the instance can be reached');
    else log.warn({ instance }, error.message);
  };
  const bus = await ClusterBus.open({ cluster: config.cluster, clusterKey, env: context.env, onTrouble });
  await closing(
    () => bus.close(),
    async () => {
      const feed = new ClusterFeed({ router: liveRouter(config), views: () => router.views, bus });
      const hear = { over: feed.over.bind(feed), tokens: feed.tokens.bind(feed) };
      const router = await createRouter({ config, bus, clusterKey, apiKeys, instanceKeys, log, ...hear });
      clusterPage(router.app, feed, config.server.max_unread_bytes);
      const atWork = new RouterAtWork(args, run, context, bus, log, router, terminal, apiKeys.length, feed);
      await closing(
        () => router.close(),
        () => work(atWork),
      );
    },
  );
}
