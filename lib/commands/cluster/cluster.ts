/** `expertwire cluster`: the instances of a file, and a router before them, until a signal ends all. */
import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { valueAt } from '../../../base/foreign_value.js';
import { startInstance } from '../../cluster/start/instance_process.js';
import type { InstanceNews } from '../../cluster/start/instance_news.js';
import { Scaler } from '../../cluster/start/scaler.js';
import { Supervisor } from '../../cluster/start/supervisor.js';
import { placedInstances, type PlacedInstance } from '../../config/instances.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { closing } from '../base/closing.js';
import { UsageError, type CommandContext } from '../base/context.js';
import { CLUSTER_KEY_VARIABLE, readClusterKeys } from '../serve/api_key_source.js';
import { clusterConfig, type ClusterArgs } from './cluster_options.js';
import { instanceArgs, instanceKinds, lineFor } from './instance_command.js';
import { knownOf, keysOf } from './known_instances.js';
import { withRouter, type RouterAtWork } from './router_run.js';

/**
 * Starts the instances of this machine, and routes to all of the file until a signal comes.
 * @throws UsageError, ConfigError; ClusterError START_FAILED with the words of the instance, BUS_FAILED
 */
export async function cluster(args: ClusterArgs, context: CommandContext): Promise<void> {
  const config = await clusterConfig(args, context.env);
  const placed = placedInstances(config);
  if (placed.length === 0)
    throw new UsageError(`${args.file} lists no instances; add a line such as "instances: [{ count: 2 }]"`);
  checkElastic(config);
  const clusterKey = await keyOf(args, placed, context);
  const run = { config, clusterKey, instanceKeys: keysOf(placed, context.env) };
  await withRouter(args, run, context, (router) =>
    new ClusterRun(args, config, placed, clusterKey, context, router).run(),
  );
}

/** One call of the command. */
class ClusterRun {
  private readonly here: readonly PlacedInstance[];
  private readonly supervisor: Supervisor;
  /** Of the first that serves. */
  private news: InstanceNews | null = null;

  constructor(
    private readonly args: ClusterArgs,
    private readonly config: ExpertwireConfig,
    private readonly placed: readonly PlacedInstance[],
    private readonly clusterKey: string,
    private readonly context: CommandContext,
    private readonly router: RouterAtWork,
  ) {
    this.here = placed.filter(({ host, url }) => host === null && url === null);
    this.supervisor = new Supervisor({
      names: this.here.filter(isThere).map(({ name }) => name),
      start: (name, onLine) => this.start(name, onLine),
      events: {
        up: (name, news) => this.up(name, news),
        down: (name, words, againMs) => this.down(name, words, againMs),
        line: (instance, { level, text, fields }) => router.log[level]({ instance, ...fields }, text),
      },
    });
  }

  async run(): Promise<void> {
    const { signal } = this.context;
    const stop = (): void => void this.supervisor.close();
    signal.addEventListener('abort', stop);
    await closing(
      () => this.supervisor.close(),
      async () => {
        this.tellOthers();
        await this.supervisor.start();
        signal.removeEventListener('abort', stop); // from now on the router's requests finish first
        await this.tellMissing();
        const scaler = this.scaler();
        signal.addEventListener('abort', () => scaler.close());
        const { model, hasTokenizer } = this.news ?? { model: this.config.model, hasTokenizer: true };
        const what = whatOf(this.placed.filter(isThere));
        try {
          await this.router.serve({ what, model, hasTokenizer });
        } finally {
          scaler.close();
        }
      },
    );
  }

  /** Instances that aren't started here. */
  private tellOthers(): void {
    const { placed, args, here, router, config } = this;
    router.line(`starting ${whatOf(here.filter(isThere))}`);
    for (const known of knownOf(placed, config, this.context.env)) router.bus.follow(known);
    for (const { name, host } of placed) {
      if (host !== null) router.line(`instance ${name} is on ${host}; there run: ${lineFor(args.file, name)}`);
    }
  }

  /** They serve; whether the router hears of them is another thing. */
  private async tellMissing(): Promise<void> {
    const names = this.here.filter(isThere).map(({ name }) => name);
    const missing = await this.unheard(names);
    if (missing.length === 0 || this.context.signal.aborted) return;
    const where = this.config.cluster.bus;
    this.router.line(
      `warning: nothing is heard of ${missing.join(', ')} yet (cluster.bus: ${where}); look at their log`,
    );
  }

  private unheard(names: readonly string[]): Promise<readonly string[]> {
    const enough = AbortSignal.any([this.context.signal, AbortSignal.timeout(HEARD_MS)]);
    return this.router.bus.missing(names, enough);
  }

  private scaler(): Scaler {
    const { config, here, router, supervisor } = this;
    return new Scaler({
      kinds: instanceKinds(config, here),
      settings: config.router.elastic,
      views: () => router.views,
      add: async (name) => {
        await supervisor.add(name);
        await this.unheard([name]);
      },
      remove: async (name) => {
        await supervisor.remove(name, this.drainMsOf(name) + FAREWELL_MS);
        router.bus.unfollow(name);
      },
      tell: (text) => router.news(text),
    });
  }

  /** An entry may have its own. */
  private drainMsOf(name: string): number {
    const { index } = this.here.find((each) => each.name === name)!;
    const own = valueAt(this.config.instances[index]!.set, ['server', 'drain_timeout_ms']);
    return typeof own === 'number' ? own : this.config.server.drain_timeout_ms;
  }

  private start(name: string, onLine: (line: string) => void) {
    const { args, config, placed, context, clusterKey } = this;
    const instance = this.here.find((each) => each.name === name)!;
    const machine = { config, placed, numCores: availableParallelism() };
    const env = { ...context.env, [CLUSTER_KEY_VARIABLE]: clusterKey };
    return startInstance({ args: instanceArgs(args, instance, machine), env, onLine });
  }

  private up(name: string, news: InstanceNews): void {
    this.news ??= news;
    this.router.line(`instance ${name} serves at ${news.url}`);
    if (this.config.cluster.bus === 'local') this.router.bus.follow({ id: name, url: news.url, apiKey: null });
  }

  private down(name: string, words: string, againMs: number): void {
    this.router.bus.unfollow(name);
    this.router.line(`warning: ${words}; it is started anew in ${againMs / 1000} s`);
  }
}

/** @throws UsageError */
function checkElastic({ router }: Pick<ExpertwireConfig, 'router'>): void {
  const { add_below: below, remove_above: above } = router.elastic;
  if (below >= above)
    throw new UsageError(
      `router.elastic.add_below (${below}) is not below remove_above (${above}): instances would come and go for ever; leave some room between them`,
    );
}

/** Whether it is there from the start. */
const isThere = ({ isSpare }: PlacedInstance): boolean => !isSpare;

/** Of the cluster: what the user gave, or one for this call alone. @throws UsageError: others could not know it */
async function keyOf(args: ClusterArgs, placed: readonly PlacedInstance[], context: CommandContext): Promise<string> {
  const [given] = await readClusterKeys(args.clusterKeyFile, context.env);
  if (given !== undefined) return given;
  const elsewhere = placed.find(({ host }) => host !== null);
  if (elsewhere !== undefined)
    throw new UsageError(
      `instance ${elsewhere.name} is on ${elsewhere.host!}: it needs the key of this cluster; set ${CLUSTER_KEY_VARIABLE} to the same random characters on both machines`,
    );
  return randomBytes(32).toString('hex');
}

/** '3 instances (prefill-0, decode-0, decode-1)' */
function whatOf(placed: readonly PlacedInstance[]): string {
  const names = placed.slice(0, MAX_NAMES).map(({ name }) => name);
  const rest = placed.length > MAX_NAMES ? ', …' : '';
  return `${placed.length} ${placed.length === 1 ? 'instance' : 'instances'} (${names.join(', ')}${rest})`;
}

/** An instance that serves is heard of at once. */
const HEARD_MS = 10_000;
/** An instance breaks off what runs when it has drained for long enough, and ends behind that. */
const FAREWELL_MS = 10_000;
/** In a line. */
const MAX_NAMES = 8;
