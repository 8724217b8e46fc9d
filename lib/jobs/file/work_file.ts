/** From what a node of a file does to work that is kept whole: files that it names become blobs. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { errorAt, type OriginOf } from '../../experiment/file/checked_part.js';
import { readExperiment } from '../../experiment/file/read_experiment.js';
import { BatchCheck } from '../../batches/batch_line.js';
import { textLines } from '../../batches/text_lines.js';
import type { CheckRun } from '../../experiment/file/run_check.js';
import type { Environment } from '../../hub/cache/hub_cache.js';
import { MAX_SHARDS, type Shards, type Work } from '../base/job.js';
import { planBytes } from '../base/plan_blob.js';
import { checkCommand } from './command_node.js';
import type { NodeFile } from './job_schema.js';
import { existingFile, nearPath, type FilePlace } from './place.js';

/** What the bus has to have before the job. */
export interface JobBlob {
  /** Has a digest of what is in it: another content is another blob. */
  readonly name: string;
  readonly content: () => AsyncIterable<Uint8Array>;
}

/** Where a node stands, and who looks at runs of experiments. */
export interface NodePlace extends Omit<FilePlace, 'path'> {
  readonly path: readonly PropertyKey[];
  readonly job: string;
  readonly node: string;
  readonly hasTriggers: boolean;
  readonly env: Environment;
  readonly checkRun: CheckRun | undefined;
}

/** Of a node. */
export interface ReadWork {
  readonly work: Work;
  /** Null: as the file says. */
  readonly shards: Shards | null;
  readonly blobs: readonly JobBlob[];
}

const KINDS = ['experiment', 'command', 'batch', 'rebalance'] as const;

/** @throws ConfigError */
export async function workOf(file: NodeFile, shards: Shards, place: NodePlace): Promise<ReadWork> {
  const { path, originOf } = place;
  const given = KINDS.filter((kind) => file[kind] !== undefined);
  const [kind] = given;
  if (given.length !== 1 || kind === undefined) {
    const text = `a node has one of ${KINDS.join(', ')}, and this one has ${given.join(' and ') || 'none'}; give one`;
    throw errorAt(originOf, path, 'INVALID_VALUE', text);
  }
  if (file.shards !== undefined && (kind === 'experiment' || kind === 'batch')) {
    const how = kind === 'experiment' ? 'each run is a shard' : 'lines_per_shard says how many there are';
    throw errorAt(
      originOf,
      [...path, 'shards'],
      'INVALID_VALUE',
      `"shards" of ${kind === 'experiment' ? 'an experiment' : 'a batch'} follow from it: ${how}; remove the key`,
    );
  }
  const at = { ...place, path: [...path, kind] };
  if (kind === 'experiment') return experimentWork(file.experiment!, at);
  if (kind === 'batch') return batchWork(file.batch!, at);
  if (kind === 'rebalance') return { work: { kind, url: file.rebalance!.url }, shards: null, blobs: [] };
  const { hasTriggers } = place;
  checkCommand(file.command!, { shards, hasNeeds: file.needs.length > 0, hasTriggers }, at.path, originOf);
  return { work: { kind, args: file.command! }, shards: null, blobs: [] };
}

async function experimentWork(file: string, place: NodePlace): Promise<ReadWork> {
  const { cwd, env, checkRun, path, originOf } = place;
  const found = existingFile(file, 'file of an experiment', place);
  const plan = await readExperiment(nearPath(found, cwd), { cwd, env, ...(checkRun !== undefined && { checkRun }) });
  const numRuns = plan.runs.length;
  if (numRuns > MAX_SHARDS)
    throw errorAt(
      originOf,
      path,
      'INVALID_VALUE',
      `${file} has ${numRuns} runs, and a node has ${MAX_SHARDS} shards at most; cut the experiment into several`,
    );
  const blob = await blobOf(place, 'plan.jsonl', () => planBytes(plan));
  return {
    work: { kind: 'experiment', plan: blob.name, numRuns },
    shards: { kind: 'count', count: numRuns },
    blobs: [blob],
  };
}

async function batchWork(batch: NonNullable<NodeFile['batch']>, place: NodePlace): Promise<ReadWork> {
  const at = { ...place, path: [...place.path, 'input'] };
  const found = existingFile(batch.input, 'file of requests', at);
  const numLines = await checkedLines(found, at.path, place.originOf);
  const { url, lines_per_shard: linesPerShard, concurrency } = batch;
  const count = Math.ceil(numLines / linesPerShard);
  if (count > MAX_SHARDS)
    throw errorAt(
      place.originOf,
      at.path,
      'INVALID_VALUE',
      `${numLines} lines in shards of ${linesPerShard} are ${count} shards, and a node has ${MAX_SHARDS} at most; raise lines_per_shard`,
    );
  const blob = await blobOf(place, 'input.jsonl', () => createReadStream(found));
  return {
    work: { kind: 'batch', input: blob.name, ...{ url, numLines, linesPerShard, concurrency } },
    shards: { kind: 'count', count },
    blobs: [blob],
  };
}

/** How many requests there are: all of them are looked at, as a server's /v1/batches does. */
async function checkedLines(file: string, path: readonly PropertyKey[], originOf: OriginOf): Promise<number> {
  const check = new BatchCheck(null, Infinity);
  for await (const { number, text } of textLines(createReadStream(file), Infinity)) {
    if (!check.add(text!, number)) break;
  }
  check.end();
  const [problem] = check.problems;
  if (problem !== undefined) throw errorAt(originOf, path, 'INVALID_VALUE', `${file}: ${problem.message}`);
  return check.numLines;
}

async function blobOf(
  { job, node }: NodePlace,
  name: string,
  content: () => AsyncIterable<Uint8Array>,
): Promise<JobBlob> {
  const hash = createHash('sha256');
  for await (const piece of content()) hash.update(piece);
  return { name: `job.${job}/${node}/${hash.digest('hex').slice(0, DIGEST_DIGITS)}/${name}`, content };
}

const DIGEST_DIGITS = 16;
