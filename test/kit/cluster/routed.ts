/** A router that listens, over instances that play a part. */
import { loadConfig, type PartialConfig } from '../../../lib/config/load.js';
import { DEMO_MODEL } from '../../../lib/config/package_files.js';
import { createRouter, type Router, type RouterOptions } from '../../../lib/cluster/router/create_router.js';
import { withInstances, type Play, type PlayedInstance } from './played_instance.js';

export interface Routed {
  readonly router: Router;
  readonly url: string;
  /** POST /v1/completions, for a stream. */
  readonly stream: (fields?: object, init?: RequestInit) => Promise<Response>;
}

export interface RoutedOptions extends Omit<RouterOptions, 'http' | 'instances'> {
  readonly server?: PartialConfig['server'];
}

/** Runs `use` with a router over instances at these URLs, and closes it whatever happens. */
export async function withRouter<T>(
  instances: readonly string[],
  use: (routed: Routed) => Promise<T>,
  { server, ...options }: RoutedOptions = {},
): Promise<T> {
  const config = await loadConfig({ base: { model: DEMO_MODEL, server: { port: 0, ...server } } });
  const router = await createRouter({ http: config.server, instances, ...options });
  try {
    const url = await router.listen();
    const stream = (fields: object = {}, init: RequestInit = {}): Promise<Response> =>
      fetch(`${url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: 'Call me', stream: true, ...fields }),
        ...init,
      });
    return await use({ router, url, stream });
  } finally {
    await router.close();
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
