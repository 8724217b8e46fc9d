/**
 * A real cluster in this process: whole engines over real ranks (local_engine.ts), each behind its own server on a port, and a router that follows them over HTTP,
 * or meets them on another bus.
 * Only processes are missing, and the sockets between ranks.
 */
import { expect } from 'chai';
import { ClusterBus } from '../../../lib/cluster/start/cluster_bus.js';
import type { RequestStory } from '../../../lib/cluster/router/passage/request_story.js';
import { createRouter, type Router } from '../../../lib/cluster/router/create_router.js';
import { loadConfig, type PartialConfig } from '../../../lib/config/load.js';
import type { Role } from '../../../lib/config/cluster_schema.js';
import { createServer, type HttpServer } from '../../../lib/server/create_server.js';
import { MemoryKvSpace } from '../comm/memory_kv.js';
import { startLocalEngine, type LocalEngine } from '../engine/local_engine.js';

/** One instance. */
export interface LocalInstanceOptions {
  readonly role?: Role;
  /** Default 1. */
  readonly numRanks?: number;
  /** Further keys: 'engine.block_size=4'. */
  readonly set?: readonly string[];
}

export interface LocalInstance {
  readonly id: string;
  readonly url: string;
  readonly local: LocalEngine;
  readonly server: HttpServer;
  readonly isDead: () => boolean;
  /** As a process that is killed: every connection breaks, and nothing is said. */
  kill(): Promise<void>;
}

export interface LocalCluster {
  readonly url: string;
  readonly router: Router;
  /** That the router watches. */
  readonly bus: ClusterBus;
  readonly instances: readonly LocalInstance[];
  readonly stories: readonly RequestStory[];
  /** POST of JSON to the router. */
  readonly post: (path: string, body: object, headers?: Readonly<Record<string, string>>) => Promise<Response>;
}

const KEY = 'a key of the cluster';

/** Runs `use` with a cluster, and ends it; no instance that lives holds anything then. */
export async function withLocalCluster<T>(
  model: string,
  options: readonly LocalInstanceOptions[],
  use: (cluster: LocalCluster) => Promise<T>,
  router: PartialConfig['router'] = {},
  cluster: PartialConfig['cluster'] = {},
): Promise<T> {
  const space = new MemoryKvSpace();
  const started: LocalInstance[] = [];
  const stories: RequestStory[] = [];
  const config = await loadConfig({
    base: { model, cluster, router: { port: 0, health_interval_ms: 200, ...router } },
  });
  const bus = await ClusterBus.open({ cluster: config.cluster, clusterKey: KEY, env: {}, onTrouble: () => undefined });
  const front = await createRouter({ config, bus, clusterKey: KEY, over: (story) => stories.push(story) });
  try {
    for (const [i, each] of options.entries())
      started.push(await startInstance(`i${i}`, model, each, { space, bus, cluster }));
    const missing = await bus.missing(
      started.map(({ id }) => id),
      AbortSignal.timeout(20_000),
    );
    expect(missing).to.deep.equal([]);
    while (front.views.some(({ load }) => load === null)) await new Promise((resolve) => setTimeout(resolve, 5));
    const url = await front.listen();
    const post: LocalCluster['post'] = (path, body, headers = {}) =>
      fetch(`${url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      });
    const result = await use({ url, router: front, bus, instances: started, stories, post });
    for (const { id, local, isDead } of started) if (!isDead()) await expectIdle(id, local);
    return result;
  } finally {
    await front.close();
    await bus.close();
    for (const instance of started) await instance.kill();
  }
}

/** Nothing runs, waits or is held there any more. */
async function expectIdle(id: string, { engine }: LocalEngine): Promise<void> {
  const held = (): number => engine.load.ranks.reduce((sum, rank) => sum + rank.numUsedBlocks, 0);
  for (let i = 0; held() > 0 && i < 500; i++) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(held(), `KV blocks that ${id} holds`).to.equal(0);
}

/** What instances of one cluster have in common. */
interface Shared {
  readonly space: MemoryKvSpace;
  readonly bus: ClusterBus;
  readonly cluster: PartialConfig['cluster'];
}

async function startInstance(
  id: string,
  model: string,
  { role = 'mixed', numRanks = 1, set = [] }: LocalInstanceOptions,
  { space: kv, bus, cluster }: Shared,
): Promise<LocalInstance> {
  const overrides = ['cluster.enabled=true', `cluster.id=${id}`, `cluster.role=${role}`, ...set];
  const local = await startLocalEngine(model, { numRanks, kv, set: overrides });
  const config = await loadConfig({
    base: { model, server: { port: 0 }, parallel: { ranks: numRanks }, cluster },
    overrides,
  });
  const server = await createServer(local.engine, { config, clusterKeys: [KEY] });
  const url = await server.listen();
  if (config.cluster.bus === 'local') bus.follow({ id, url, apiKey: null });
  let ended: Promise<void> | undefined;
  const end = async (): Promise<void> => {
    (server.app.server as unknown as { closeAllConnections(): void }).closeAllConnections();
    await server.close();
    await local.close();
  };
  return { id, url, local, server, isDead: () => ended !== undefined, kill: () => (ended ??= end()) };
}
