/**
 * From a file to its jobs, all of them checked and whole.
 * Why: docs/decisions/jobs.md#a-job-is-kept-whole
 */
import { readYamlText } from '../../config/load.js';
import { checkedPart, errorAt, type OriginOf } from '../../experiment/file/checked_part.js';
import type { CheckRun } from '../../experiment/file/run_check.js';
import type { Environment } from '../../hub/cache/hub_cache.js';
import type { Job, JobNode } from '../base/job.js';
import { orderOf } from './graph.js';
import { jobSchema, jobsSchema, type JobFile, type NodeFile } from './job_schema.js';
import { shardsOf } from './shards_file.js';
import { triggerOf } from './triggers.js';
import { workOf, type JobBlob } from './work_file.js';

/** A job, and what the bus has to have before it. */
export interface ReadJob {
  readonly job: Job;
  readonly blobs: readonly JobBlob[];
}

/** Where a file is read, and who else looks at runs of experiments. */
export interface ReadJobsOptions {
  /** Folder that relative paths start from, before the file's own. */
  readonly cwd: string;
  /** Says where the hub's cache is. */
  readonly env: Environment;
  /** Looks at one run of each point of an experiment. Default: nobody. */
  readonly checkRun?: CheckRun;
}

type Path = readonly PropertyKey[];

/**
 * Reads a job, or several under `jobs`, with all that they name.
 * @param file path of a YAML file
 * @throws ConfigError with file, line and what was probably meant
 */
export async function readJobs(file: string, options: ReadJobsOptions): Promise<readonly ReadJob[]> {
  const text = await readYamlText(file, options.cwd);
  const { yamlFileLayer } = await import('../../config/yaml_source.js');
  const layer = yamlFileLayer(text, file);
  const { values } = layer;
  const originOf: OriginOf = (path) => layer.originOf(path);
  const isList = typeof values === 'object' && values !== null && Object.hasOwn(values, 'jobs');
  const part = { path: [], originOf, what: isList ? 'a file of jobs' : 'a job' };
  const jobs = isList ? checkedPart(jobsSchema, values, part).jobs : [checkedPart(jobSchema, values, part)];
  const places: readonly Path[] = isList ? jobs.map((_, i) => ['jobs', i]) : [[]];
  checkJobs(jobs, places, originOf);
  return Promise.all(jobs.map((job, i) => readJob(job, { path: places[i]!, originOf, ...options })));
}

interface JobPlace extends ReadJobsOptions {
  readonly path: Path;
  readonly originOf: OriginOf;
}

async function readJob(file: JobFile, place: JobPlace): Promise<ReadJob> {
  const { path, originOf } = place;
  const triggers = file.triggers.map((each, i) => triggerOf(each, [...path, 'triggers', i], originOf));
  const needs = Object.fromEntries(Object.entries(file.nodes).map(([name, node]) => [name, node.needs]));
  const order = orderOf(needs, [...path, 'nodes'], originOf);
  const nodes = await Promise.all(order.map((name) => readNode(name, file, place)));
  const { name, description, blocking, misfire } = file;
  const job: Job = {
    ...{ name, description, triggers, blocking, misfire },
    maxQueued: file.max_queued,
    timeoutMs: file.timeout_s === null ? null : ms(file.timeout_s),
    keepRuns: file.keep_runs,
    nodes: nodes.map(({ node }) => node),
  };
  checkSize(job, path, originOf);
  return { job, blobs: nodes.flatMap(({ blobs }) => blobs) };
}

async function readNode(
  name: string,
  { name: job, nodes, triggers }: JobFile,
  place: JobPlace,
): Promise<{ readonly node: JobNode; readonly blobs: readonly JobBlob[] }> {
  const file = nodes[name]!;
  const { originOf, cwd, env, checkRun } = place;
  const path = [...place.path, 'nodes', name];
  const given = await shardsOf(file.shards, { path: [...path, 'shards'], originOf, cwd });
  const nodePlace = { path, originOf, cwd, env, checkRun, job, node: name, hasTriggers: triggers.length > 0 };
  const { work, shards, blobs } = await workOf(file, given, nodePlace);
  const { needs, route, timeout_s: timeoutS } = file;
  const node = { name, needs, work, shards: shards ?? given, route, retries: retriesOf(file), timeoutMs: ms(timeoutS) };
  return { node, blobs };
}

const retriesOf = ({ retries }: NodeFile): JobNode['retries'] => ({
  count: retries.count,
  backoffMs: ms(retries.backoff_s),
  maxBackoffMs: Math.max(ms(retries.max_backoff_s), ms(retries.backoff_s)),
});

const ms = (seconds: number): number => Math.round(1000 * seconds);

/** Names are there once, and no job begins itself. */
function checkJobs(jobs: readonly JobFile[], places: readonly Path[], originOf: OriginOf): void {
  for (const [i, { name, triggers }] of jobs.entries()) {
    const place = places[i]!;
    if (jobs.findIndex((each) => each.name === name) < i)
      throw errorAt(
        originOf,
        [...place, 'name'],
        'INVALID_VALUE',
        `two jobs are called ${name}; give each a name of its own`,
      );
    const own = triggers.findIndex(({ after }) => after === name);
    if (own >= 0)
      throw errorAt(
        originOf,
        [...place, 'triggers', own],
        'INVALID_VALUE',
        `${name} would begin after itself, for ever; name another job, or give cron or every_s`,
      );
  }
}

/** A run's record has its whole job, and a message of NATS has a megabyte. */
const MAX_JOB_BYTES = 512 * 1024;

function checkSize(job: Job, path: Path, originOf: OriginOf): void {
  const numBytes = Buffer.byteLength(JSON.stringify(job));
  if (numBytes <= MAX_JOB_BYTES) return;
  const text = `the job has ${numBytes} bytes with the values of its shards, and may have ${MAX_JOB_BYTES}; give shards as a number, and let \${shard_index} say which lines of a file they take`;
  throw errorAt(originOf, [...path, 'nodes'], 'INVALID_VALUE', text);
}
