/** A router that listens, over instances that play a part. */
import { randomUUID } from 'node:crypto';
import { LocalBus } from '../../../lib/cluster/bus/local_bus.js';
import type { Membership } from '../../../lib/cluster/bus/bus.js';
import type { InstanceRecord } from '../../../lib/cluster/base/instance_record.js';
import type { RequestStory } from '../../../lib/cluster/router/passage/request_story.js';
import { createRouter, type Router, type RouterOptions } from '../../../lib/cluster/router/create_router.js';
import { loadConfig, type PartialConfig } from '../../../lib/config/load.js';
import { DEMO_MODEL } from '../../../lib/config/package_files.js';
import { withInstances, type Play, type PlayedInstance } from './played_instance.js';

export interface Routed {
  readonly router: Router;
  readonly url: string;
  /** In the order in which they were over. */
  readonly stories: readonly RequestStory[];
  /** Of the n-th instance: what it tells of itself from now on. */
  readonly tell: (index: number, change: Partial<InstanceRecord>) => void;
  readonly memberships: readonly Membership[];
  /** POST /v1/completions, for a stream. */
  readonly stream: (fields?: object, init?: RequestInit) => Promise<Response>;
  /** The same for all of the answer. */
  readonly whole: (fields?: object, init?: RequestInit) => Promise<Response>;
}

export interface RoutedOptions extends Omit<RouterOptions, 'config' | 'bus'> {
  readonly base?: PartialConfig;
  /** Of all instances. */
  readonly record?: Partial<InstanceRecord>;
  /** Of each, besides. */
  readonly records?: readonly Partial<InstanceRecord>[];
}

/** What a played instance tells of itself: a foreign one. Ids are letters. */
const recordOf = (url: string, index: number, change: Partial<InstanceRecord> = {}): InstanceRecord => ({
  id: String.fromCharCode(97 + index),
  incarnation: randomUUID(),
  url,
  kind: 'foreign',
  role: 'mixed',
  isDraining: false,
  model: 'played',
  fingerprint: null,
  numRanks: 1,
  blockSize: 16,
  numKvBlocks: 0,
  maxModelLen: 0,
  sharing: null,
  isPooled: false,
  ...change,
});

/** What an instance of ours tells, besides. */
export const OWN: Partial<InstanceRecord> = { kind: 'own', fingerprint: 'f', numKvBlocks: 100, maxModelLen: 4096 };

/** Runs `use` with a router over instances at these URLs, which takes turns, and closes it whatever happens. */
export async function withRouter<T>(
  urls: readonly string[],
  use: (routed: Routed) => Promise<T>,
  { base, record, records, ...options }: RoutedOptions = {},
): Promise<T> {
  const settings = { port: 0, policy: 'round_robin', health_interval_ms: 60_000, ...base?.router };
  const config = await loadConfig({ base: { model: DEMO_MODEL, ...base, router: settings } });
  const bus = new LocalBus();
  const told = urls.map((url, i) => recordOf(url, i, { ...record, ...records?.[i] }));
  const silent = { wanted: () => undefined, trouble: () => undefined };
  const memberships = await Promise.all(told.map((each) => bus.join(each, silent)));
  const stories: RequestStory[] = [];
  const router = await createRouter({ config, bus, over: (story) => stories.push(story), ...options });
  try {
    const url = await router.listen();
    const ask = (fields: object, init: RequestInit): Promise<Response> =>
      fetch(`${url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: 'Call me', ...fields }),
        ...init,
      });
    const tell = (index: number, change: Partial<InstanceRecord>): void =>
      memberships[index]!.update({ ...told[index]!, ...change });
    return await use({
      ...{ router, url, stories, tell, memberships },
      stream: (fields = {}, init = {}) => ask({ stream: true, ...fields }, init),
      whole: (fields = {}, init = {}) => ask(fields, init),
    });
  } finally {
    await router.close();
    await bus.close();
  }
}

/** Both at once: instances that play, and a router over them. */
export const withCluster = <T>(
  plays: readonly Play[],
  use: (routed: Routed, instances: readonly PlayedInstance[]) => Promise<T>,
  options: RoutedOptions = {},
): Promise<T> =>
  withInstances(plays, (instances) =>
    withRouter(
      instances.map(({ url }) => url),
      (routed) => use(routed, instances),
      options,
    ),
  );
