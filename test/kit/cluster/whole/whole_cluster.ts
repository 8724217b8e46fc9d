/**
 * A whole cluster in this process: a router that listens before instances that are real engines behind real servers, and follows them over HTTP. Only the rows
 * of keys and values don't go over sockets. Each of its parts can be killed as a process is.
 */
import { expect } from 'chai';
import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { RequestStory } from '../../../../lib/cluster/router/passage/request_story.js';
import { createRouter, type Router } from '../../../../lib/cluster/router/create_router.js';
import { ClusterBus } from '../../../../lib/cluster/start/cluster_bus.js';
import { loadConfig, type PartialConfig } from '../../../../lib/config/load.js';
import { MemoryKvSpace } from '../../comm/memory_kv.js';
import { ask, type Answer, type AskOptions } from './client.js';
import { LiveInstance, type InstanceSetup, type Surroundings } from './live_instance.js';
import { Messages } from './messages.js';

export interface ClusterSetup {
  readonly model: string;
  readonly instances: readonly InstanceSetup[];
  /** Default: in turn, and nothing moves by itself. */
  readonly router?: PartialConfig['router'];
  /** Of all instances: 'engine.block_size=4'. */
  readonly set?: readonly string[];
}

const CLUSTER_KEY = 'the key of the cluster';
/** Longest wait for something that should take a moment. */
const PATIENCE_MS = 30_000;

export class WholeCluster {
  readonly messages = new Messages();
  readonly space = new MemoryKvSpace();
  /** In the order of the setup. */
  readonly instances: LiveInstance[] = [];
  /** Of all routers, in the order in which they were over. */
  readonly stories: RequestStory[] = [];
  private readonly around: Surroundings;
  private readonly realFetch = globalThis.fetch;
  private bus!: ClusterBus;
  private router!: Router;
  private url = '';
  isRouterDead = false;
  private numRequests = 0;

  private constructor(private readonly setup: ClusterSetup) {
    const owner: Surroundings['owner'] = new AsyncLocalStorage();
    const { model, set = [] } = setup;
    this.around = { model, set, clusterKey: CLUSTER_KEY, space: this.space, messages: this.messages, owner };
    this.space.onFrame = () => this.messages.pass({ kind: 'frame', at: '', what: '' });
    // What an instance asks another one ends with it.
    globalThis.fetch = (input, init) => {
      const dead = owner.getStore()?.dead;
      const given = init?.signal ?? null;
      const signal = dead === undefined ? given : given === null ? dead : AbortSignal.any([given, dead]);
      return this.realFetch(input, { ...init, signal });
    };
  }

  /** Runs `act` on a cluster, in which nothing is held afterwards, and of which nothing is left. */
  static async use(setup: ClusterSetup, act: (cluster: WholeCluster) => Promise<void>): Promise<void> {
    const before = openHandles();
    const cluster = new WholeCluster(setup);
    try {
      for (const each of setup.instances) cluster.instances.push(await LiveInstance.start(each, cluster.around));
      await cluster.startRouter();
      await act(cluster);
      await cluster.checkIdle();
    } finally {
      await cluster.close();
    }
    await until(
      () => openHandles() <= before,
      () =>
        `sockets, servers and timers: ${before} before, ${openHandles()} now (${process.getActiveResourcesInfo().join()})`,
    );
  }

  /** What one instance on its own answers. */
  static async alone(model: string, bodies: readonly object[], options: AskOptions = {}): Promise<Answer[]> {
    const around: Surroundings = {
      ...{ model, set: [], clusterKey: null, space: new MemoryKvSpace(), messages: new Messages() },
      owner: new AsyncLocalStorage(),
    };
    const instance = await LiveInstance.start({ id: 'alone', numRanks: 1 }, around);
    try {
      const answers: Answer[] = [];
      for (const body of bodies) answers.push(await ask(instance.url, body, options));
      return answers;
    } finally {
      await instance.close();
    }
  }

  /** Asks the router. */
  ask(body: object, options: AskOptions = {}): Promise<Answer> {
    return ask(this.url, body, options);
  }

  nextId(): string {
    return `request-${this.numRequests++}`;
  }

  instance(id: string): LiveInstance {
    return this.instances.find((each) => each.id === id)!;
  }

  /** Has a request go on in another instance. Whether it did. */
  async migrate(id: string, to: string): Promise<boolean> {
    const answer = await fetch(`${this.url}/migrate`, {
      ...{ method: 'POST', body: JSON.stringify({ request_id: id, to }) },
      headers: { 'content-type': 'application/json' },
    }).catch(() => null);
    await answer?.arrayBuffer().catch(() => null);
    return answer?.ok === true;
  }

  /** The same instances behind another router. */
  async routeBy(router: PartialConfig['router']): Promise<void> {
    await this.closeRouter();
    await this.startRouter(router);
  }

  /** The router dies, with all that it has open. */
  killRouter(): void {
    if (this.isRouterDead) return;
    this.isRouterDead = true;
    this.router.app.server.closeAllConnections();
    for (const instance of this.instances) instance.loseRouter();
  }

  /** Nobody hears anything of instances, until {@link mend}. */
  killBus(): void {
    for (const instance of this.instances) instance.setUnheard(true);
  }

  /** Whatever was killed is there again. */
  async mend(): Promise<void> {
    const routerWasDead = this.isRouterDead;
    if (routerWasDead) await this.closeRouter();
    for (const [i, instance] of this.instances.entries()) {
      instance.isRouterGone = false;
      instance.setUnheard(false);
      if (!instance.isDead) continue;
      await instance.close();
      this.instances[i] = await LiveInstance.start(instance.setup, this.around);
      if (!routerWasDead) this.follow(this.instances[i]);
    }
    if (routerWasDead) await this.startRouter();
    await this.untilKnown();
  }

  /** Waits until nothing that lives holds anything. */
  async checkIdle(story: () => string = () => ''): Promise<void> {
    const living = this.instances.filter(({ isDead }) => !isDead);
    await until(
      () => living.every(({ isIdle }) => isIdle) && this.space.numLinks === 0 && this.router.numRunning === 0,
      () =>
        JSON.stringify({
          held: living.map(({ held }) => held),
          links: this.space.numLinks,
          router: this.router.numRunning,
        }) + story(),
    );
  }

  /** Waits until the router knows each instance as it is now, and may ask it. */
  private async untilKnown(): Promise<void> {
    await until(
      () =>
        this.instances.every(({ id, url }) =>
          this.router.views.some(
            ({ record, isHealthy, load }) => record.id === id && record.url === url && isHealthy && load !== null,
          ),
        ),
      () => JSON.stringify(this.router.views.map(({ record, isHealthy }) => [record.id, record.url, isHealthy])),
    );
  }

  private async startRouter(settings = this.setup.router): Promise<void> {
    const router = { port: 0, policy: 'round_robin', health_interval_ms: 200, ...settings };
    const config = await loadConfig({ base: { model: this.setup.model, router } });
    const options = { clusterKey: CLUSTER_KEY, env: {}, onTrouble: () => undefined };
    this.bus = await ClusterBus.open({ cluster: config.cluster, ...options });
    for (const instance of this.instances) this.follow(instance);
    const over = (story: RequestStory): void => void this.stories.push(story);
    this.router = await createRouter({ config, bus: this.bus, clusterKey: CLUSTER_KEY, over });
    this.url = await this.router.listen();
    this.isRouterDead = false;
    await this.untilKnown();
  }

  private follow({ id, url }: LiveInstance): void {
    this.bus.follow({ id, url, apiKey: null });
  }

  private async closeRouter(): Promise<void> {
    await this.router.close();
    await this.bus.close();
  }

  private async close(): Promise<void> {
    for (const instance of this.instances) instance.gate.open();
    await this.closeRouter();
    await Promise.all(this.instances.map((instance) => instance.close()));
    globalThis.fetch = this.realFetch;
  }
}

/** Waits for a condition. */
export async function until(isSo: () => boolean, story: () => string): Promise<void> {
  const endMs = performance.now() + PATIENCE_MS;
  while (!isSo()) {
    if (performance.now() > endMs) expect.fail(`still not so: ${story()}`);
    await delay(2);
  }
}

/** Sockets, servers and timers that keep this process. */
const openHandles = (): number =>
  process.getActiveResourcesInfo().filter((name) => /^(TCP\w+|Timeout|PipeWrap|MessagePort)$/.test(name)).length;
