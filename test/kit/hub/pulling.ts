/** A hub on this machine and an empty cache, for tests that pull. */
import { createHash } from 'node:crypto';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { HubOptions } from '../../../bench/pull/hub_exchange.js';
import { hubModel, type HubModel } from '../../../bench/pull/hub_model.js';
import { serveHub, type ServedHub } from '../../../bench/pull/hub_server.js';
import { parseModelName } from '../../../lib/hub/cache/model_name.js';
import { pullModel, type PulledModel, type PullOptions } from '../../../lib/hub/pull.js';
import { withTempFolder } from '../temp_folder.js';

/** What a test has while it pulls. */
export interface Pulling {
  readonly hub: ServedHub;
  /** Folder of the cache. */
  readonly cache: string;
  readonly env: Readonly<Record<string, string>>;
  /** Pulls ORG/NAME or ORG/NAME@REVISION; tries again without waiting long, and takes chunks where there are any. */
  readonly pull: (name: string, options?: Partial<PullOptions>) => Promise<PulledModel>;
  /** Requests for bytes of a file's content since the last call. */
  readonly fetches: () => readonly string[];
  /** Everything in the cache: a folder's path with a slash, a link with where it leads, and a file with its size. */
  readonly listing: () => Promise<readonly string[]>;
}

/** Ends the hub and removes the cache, whatever happens. */
export const withHub = (options: HubOptions, use: (pulling: Pulling) => Promise<void>): Promise<void> =>
  withTempFolder(async (cache) => {
    const hub = await serveHub(options);
    try {
      await use(pullingFrom(hub, cache));
    } finally {
      await hub.close();
    }
  });

function pullingFrom(hub: ServedHub, cache: string): Pulling {
  const ownEnv = { HF_ENDPOINT: hub.url, HF_HUB_CACHE: cache, HOME: '/nowhere' };
  let numSeen = 0;
  return {
    hub,
    cache,
    env: ownEnv,
    pull: (name, { env, settings, ...options } = {}) =>
      pullModel({
        name: parseModelName(name)!,
        env: { ...ownEnv, ...env },
        signal: new AbortController().signal,
        settings: { retryDelayMs: 1, chunksAboveBytes: 0, ...settings },
        ...options,
      }),
    fetches: () => {
      const seen = hub.requests.slice(numSeen);
      numSeen = hub.requests.length;
      const isOfBytes = /\/(resolve-cache|whole|objects)\//;
      return seen
        .filter(({ method, url }) => method === 'GET' && isOfBytes.test(url))
        .map(({ range }) => range ?? 'all');
    },
    listing: async () => {
      const entries = await readdir(cache, { recursive: true, withFileTypes: true });
      const lines = entries.map(async (entry) => {
        const path = join(entry.parentPath, entry.name);
        const name = path.slice(cache.length + 1);
        if (entry.isDirectory()) return `${name}/`;
        if (entry.isSymbolicLink()) return `${name} → ${await readlink(path)}`;
        return `${name} ${(await readFile(path)).length}`;
      });
      return (await Promise.all(lines)).sort();
    },
  };
}

/** Bytes that are no other's. */
export const someBytes = (length: number, seed = 1): Buffer =>
  createHash('shake256', { outputLength: length }).update(String(seed)).digest();

/** An index of weights in shards. */
export const indexOf = (...shards: readonly string[]): string =>
  JSON.stringify({ metadata: {}, weight_map: Object.fromEntries(shards.map((shard, i) => [`tensor.${i}`, shard])) });

/** A model with weights in one file of so many bytes, and a configuration. */
export const smallModel = (name: string, numBytes: number, options: Parameters<typeof hubModel>[2] = {}): HubModel =>
  hubModel(
    name,
    [{ names: ['main'], files: { 'config.json': '{}', 'model.safetensors': someBytes(numBytes) } }],
    options,
  );
