/** `expertwire route`: a router before instances that run already, or come and go on a bus. */
import { placedInstances } from '../../config/instances.js';
import { UsageError, type CommandContext } from '../base/context.js';
import { readClusterKeys } from '../serve/api_key_source.js';
import { routeConfig, type RouteArgs } from './cluster_options.js';
import { keysOf, knownOf } from './known_instances.js';
import { withRouter } from './router_run.js';

/** Routes until a signal comes. @throws UsageError, ConfigError; ClusterError BUS_FAILED */
export async function route(args: RouteArgs, context: CommandContext): Promise<void> {
  const config = await routeConfig(args, context.env);
  const { cluster } = config;
  const placed = placedInstances(config);
  const known = knownOf(placed, config, context.env);
  const isLocal = cluster.bus === 'local';
  if (isLocal && placed.length === 0)
    throw new UsageError('there is no instance to route to; give --url URL for each, or --bus nats://HOST:PORT');
  const unknown = placed.find(({ name }) => !known.some(({ id }) => id === name));
  if (isLocal && unknown !== undefined)
    throw new UsageError(
      `nobody says where instance ${unknown.name} is; give it a url, or start it and all others with \`expertwire cluster\``,
    );
  const [clusterKey = null] = await readClusterKeys(args.clusterKeyFile, context.env);
  const run = { config, clusterKey, instanceKeys: keysOf(placed, context.env) };
  await withRouter(args, run, context, async (router) => {
    for (const each of known) router.bus.follow(each);
    const first = await router.bus.first(AbortSignal.any([context.signal, AbortSignal.timeout(FIRST_MS)]));
    const what = isLocal
      ? `${known.length} ${known.length === 1 ? 'server' : 'servers'}`
      : `cluster ${cluster.name} (${cluster.bus})`;
    await router.serve(first === null ? null : { what, model: first.model, hasTokenizer: true });
  });
}

/** The line that greets waits so long for somebody to talk to. */
const FIRST_MS = 3000;
