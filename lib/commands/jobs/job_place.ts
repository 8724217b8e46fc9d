/** Where jobs are kept: a folder of this machine, or servers of NATS. Options that say so, and the bus that they mean. */
import { isAbsolute, join, resolve } from 'node:path';
import { homedir } from 'node:os';
import type { Argv } from 'yargs';
import { DEMO_MODEL } from '../../config/package_files.js';
import { loadConfig, type PartialConfig } from '../../config/load.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { Environment } from '../../hub/cache/hub_cache.js';
import type { JobBus } from '../../jobs/base/job_bus.js';
import type { VisitedJobBus } from '../../jobs/local/local_job_bus.js';
import { UsageError } from '../base/context.js';

/** Undefined: not given. */
export interface JobPlaceArgs {
  readonly bus?: string | undefined;
  readonly folder?: string | undefined;
  readonly config?: string | undefined;
  readonly set?: readonly string[] | undefined;
}

/** Adds them to a command line. */
export function jobPlaceOptions<T>(yargs: Argv<T>): Argv<T & JobPlaceArgs> {
  const group = 'Where jobs are:';
  return yargs
    .option('bus', { type: 'string', describe: 'nats://HOST:PORT of a server of NATS with JetStream', group })
    .option('folder', { type: 'string', describe: 'folder, for one machine (~/.local/state/expertwire/jobs)', group })
    .option('config', {
      type: 'string',
      describe: 'YAML configuration: its section "cluster" says bus, name, credentials',
      group,
    })
    .option('set', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'any key of it: --set cluster.name=team',
      group,
    });
}

/** Where they are. */
export type JobPlace =
  | { readonly kind: 'folder'; readonly folder: string }
  | { readonly kind: 'nats'; readonly cluster: ExpertwireConfig['cluster'] };

/** @throws UsageError, ConfigError */
export async function jobPlace({ bus, folder, config, set }: JobPlaceArgs, env: Environment): Promise<JobPlace> {
  if (bus !== undefined && folder !== undefined)
    throw new UsageError('--bus is of servers and --folder of this machine alone; give one of them');
  // A file may name a model, or not: nobody asks for it here.
  const flags = { model: DEMO_MODEL, cluster: { bus } } as PartialConfig; // checked by the schema
  const { cluster } = await loadConfig({ file: config, flags, overrides: set ?? [], env });
  if (cluster.bus !== 'local' && folder === undefined) return { kind: 'nats', cluster };
  return { kind: 'folder', folder: folder === undefined ? defaultFolder(env) : resolve(folder) };
}

/** As the XDG base directories say. */
function defaultFolder(env: Environment): string {
  const { XDG_STATE_HOME: given, HOME: home = homedir() } = env;
  const state = given !== undefined && isAbsolute(given) ? given : join(home, '.local', 'state');
  return join(state, 'expertwire', 'jobs');
}

/** Commands don't wait for a bus as workers do. */
const CALL_MS = 15_000;

/** The bus of a command that looks and asks. @throws JobError BUS_FAILED */
export async function visitJobs(place: JobPlace, env: Environment): Promise<VisitedJobBus> {
  if (place.kind === 'folder') {
    const { visitLocalJobBus } = await import('../../jobs/local/local_job_bus.js');
    return visitLocalJobBus(place.folder);
  }
  const { openNatsJobBus } = await import('../../jobs/nats/nats_job_bus.js');
  return openNatsJobBus(place.cluster, env, { callMs: CALL_MS });
}

/** The bus of a worker. `onLost`: another process took the folder. @throws JobError BUS_FAILED, FOLDER_IN_USE */
export async function openJobs(place: JobPlace, env: Environment, onLost: () => void): Promise<JobBus> {
  if (place.kind === 'folder') {
    const { openLocalJobBus } = await import('../../jobs/local/local_job_bus.js');
    return openLocalJobBus(place.folder, { onLost });
  }
  const { openNatsJobBus } = await import('../../jobs/nats/nats_job_bus.js');
  return openNatsJobBus(place.cluster, env);
}

/** For who reads it. */
export const placeText = (place: JobPlace): string => (place.kind === 'folder' ? place.folder : place.cluster.bus);
