/** `expertwire worker`: does what jobs say, on this machine, until a signal comes; and leads where nobody does. */
import { realpathSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NAME } from '../../config/cluster_schema.js';
import { DEMO_MODEL, VERSION } from '../../config/package_files.js';
import { hubCacheFolder } from '../../hub/cache/hub_cache.js';
import { JobError } from '../../jobs/base/errors.js';
import { coordinate } from '../../jobs/coordinator/coordinate.js';
import { systemClock } from '../../jobs/local/clock.js';
import { Worker, type WorkerOptions } from '../../jobs/worker/worker.js';
import { closing } from '../base/closing.js';
import { stayingAlive } from '../base/staying_alive.js';
import { isTermination, UsageError, type CommandContext } from '../base/context.js';
import { MAX_TIMEOUT_S, wholeNumber } from '../base/numbers.js';
import { jobPlace, openJobs, placeText, type JobPlace } from '../jobs/job_place.js';
import { readApiKeys } from '../serve/api_key_source.js';
import { DEFAULT_DRAIN_S, type WorkerArgs } from './worker_options.js';

const MAX_PARALLEL = 1024;
/** From being asked to end to being ended: Ctrl-C ends all within two seconds. */
const GRACE_MS = 1000;
const PROGRAM = [fileURLToPath(new URL('../../cli.js', import.meta.url))];

/** Works until a signal comes. @throws UsageError, ConfigError; JobError BUS_FAILED, WORKER_ID_TAKEN, FOLDER_IN_USE */
export async function worker(args: WorkerArgs, context: CommandContext): Promise<void> {
  const width = wholeNumber('--parallel', args.parallel, 1, MAX_PARALLEL) ?? 1;
  const drainS = wholeNumber('--drain-timeout', args.drainTimeout, 0, MAX_TIMEOUT_S) ?? DEFAULT_DRAIN_S;
  const record = { id: idOf(args), host: hostname(), pid: process.pid, version: VERSION, width, startedMs: Date.now() };
  const [apiKey = null] = await readApiKeys(args.apiKeyFile, context.env);
  const place = await jobPlace(args, context.env);
  const lost = new AbortController();
  const bus = await openJobs(place, context.env, () => lost.abort(folderLost(place)));
  await closing(
    () => bus.close(),
    () =>
      withScratch(place, (scratch) => {
        const rights = rightsOf(args, context.env);
        const env = withoutSecrets(context.env);
        const tries = { rights, realPath, env, apiKey, program: PROGRAM, graceMs: GRACE_MS };
        const tell = (line: string): void => void context.stderr.write(`${line}\n`);
        return stayingAlive(() =>
          work({ bus, record, clock: systemClock, scratch, context: tries, tell }, place, drainS, lost.signal, context),
        );
      }),
  );
  lost.signal.throwIfAborted();
}

async function work(
  options: WorkerOptions,
  place: JobPlace,
  drainS: number,
  lost: AbortSignal,
  { signal, stderr, obeyed }: CommandContext,
): Promise<void> {
  const { bus, record, clock, tell } = options;
  const one = await Worker.start(options);
  const leading = new AbortController();
  const led = coordinate(bus, { id: record.id, clock, log: (line: string) => tell?.(line) }, leading.signal);
  stderr.write(
    `worker ${record.id} takes ${record.width === 1 ? 'a task' : `${record.width} tasks`} at a time from ${placeText(place)}\n`,
  );
  const isPatient = (): boolean => !lost.aborted && isTermination(signal.reason);
  const end = async (): Promise<void> => {
    const { numRunning } = one;
    if (numRunning > 0 && isPatient())
      stderr.write(`ending: ${numRunning} in hand are finished, or given back in ${drainS} s\n`);
    await one.end(isPatient() ? 1000 * drainS : 0);
    leading.abort();
    await led.catch(() => undefined); // it was told where it was what ended the work
  };
  await closing(end, () => Promise.race([aborted(AbortSignal.any([signal, lost])), led]));
  if (isPatient()) obeyed?.();
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve());
  });

/** A folder for folders of shards: what a worker that died left in a folder of jobs goes. */
async function withScratch(place: JobPlace, use: (scratch: string) => Promise<void>): Promise<void> {
  const own = place.kind === 'folder' ? join(place.folder, 'scratch') : null;
  if (own !== null) await rm(own, { recursive: true, force: true });
  if (own !== null) await mkdir(own, { mode: 0o700 });
  const scratch = own ?? (await mkdtemp(join(tmpdir(), 'expertwire-worker-')));
  await closing(
    () => rm(scratch, { recursive: true, force: true }),
    () => use(scratch),
  );
}

/** @throws UsageError */
function idOf({ name }: WorkerArgs): string {
  if (name !== undefined && !NAME.test(name))
    throw new UsageError(
      `--name ${name} has other characters than letters, digits, - and _, or more than 64; give another`,
    );
  return (
    name ??
    `${hostname()
      .replaceAll(/[^A-Za-z0-9_-]/g, '-')
      .slice(0, MAX_HOST_CHARS)}-${process.pid}`
  );
}

const MAX_HOST_CHARS = 50;

function rightsOf({ models = [], server = [], allowPlugins = false }: WorkerArgs, env: CommandContext['env']) {
  const missing = models.find((dir) => realPath(dir) === null);
  if (missing !== undefined) throw new UsageError(`--models ${missing} isn't there; give a folder`);
  const wrong = server.find((url) => !URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol));
  if (wrong !== undefined)
    throw new UsageError(`--server ${wrong} is no address of a server; give one like http://10.0.0.2:8000`);
  return {
    models: [...models.map((dir) => resolve(dir)), resolve(DEMO_MODEL, '..'), resolve(hubCacheFolder(env))],
    canLoadCode: allowPlugins,
    servers: server.map((url) => new URL(url).origin),
  };
}

function realPath(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
}

/** What reaches the bus, or others' servers, is none of a shard's. */
const SECRET = /^(NATS_.*|EXPERTWIRE_.*(KEY|SECRET).*)$/;

const withoutSecrets = (env: CommandContext['env']): CommandContext['env'] =>
  Object.fromEntries(Object.entries(env).filter(([name]) => !SECRET.test(name)));

const folderLost = (place: JobPlace): JobError =>
  new JobError(
    'FOLDER_IN_USE',
    `another process took ${placeText(place)}; see who works there, or give another --folder`,
  );
