/** How a node is cut, and what each shard of it does. Pure. */
import type { PlannedRun } from '../../experiment/base/run.js';
import { JobError } from '../base/errors.js';
import type { JobNode, Json } from '../base/job.js';
import { argumentOf, filled, type Placeholder } from '../base/placeholders.js';
import type { JobRun } from '../base/run.js';
import type { Task, TaskWork } from '../base/task.js';

/** How many shards a node has; null: it is one for each worker, and none lives. */
export function shardTotalOf({ work, shards }: JobNode, numWorkers: number): number | null {
  if (work.kind === 'experiment') return work.numRuns;
  if (work.kind === 'batch') return Math.ceil(work.numLines / work.linesPerShard);
  switch (shards.kind) {
    case 'count':
      return shards.count;
    case 'each':
      return shards.items.length;
    case 'broadcast':
      return numWorkers === 0 ? null : numWorkers;
  }
}

/**
 * The task of a shard of a node whose `shardTotal` is known; `planned`: runs of an experiment by index.
 * @throws JobError NOT_ALLOWED: a placeholder has no value; BROKEN_RECORD: the plan has no such run
 */
export function taskOf(run: JobRun, node: JobNode, index: number, planned: readonly PlannedRun[] = []): Task {
  return {
    key: { run: run.id, node: node.name, index },
    job: run.job.name,
    shardTotal: run.nodes[node.name]!.shardTotal!,
    work: workOf(run, node, index, planned),
    inputs: node.needs.map((need) => ({ run: run.nodes[need]!.of, node: need })),
    timeoutMs: node.timeoutMs,
    retries: node.retries,
    dueMs: run.dueMs,
  };
}

function workOf(run: JobRun, node: JobNode, index: number, planned: readonly PlannedRun[]): TaskWork {
  const { work } = node;
  switch (work.kind) {
    case 'experiment':
      return { kind: 'measure', run: planned[index] ?? lacking(work.plan, index) };
    case 'command':
      return { kind: 'command', args: work.args.map((arg) => filled(arg, valuesOf(run, node, index))) };
    case 'batch': {
      const from = index * work.linesPerShard;
      const { url, input, concurrency } = work;
      return { kind: 'batch', url, input, from, to: Math.min(from + work.linesPerShard, work.numLines), concurrency };
    }
    case 'rebalance':
      return work;
  }
}

/** What stands for placeholders; `inputs` is the worker's. */
function valuesOf(run: JobRun, node: JobNode, index: number): (placeholder: Placeholder) => string | undefined {
  return (placeholder) => {
    switch (placeholder.name) {
      case 'inputs':
        return undefined;
      case 'run':
        return run.id;
      case 'job':
        return run.job.name;
      case 'shard_index':
        return String(index);
      case 'shard_total':
        return String(run.nodes[node.name]!.shardTotal);
      case 'item':
        return argumentOf(partOf(itemOf(node, index), placeholder) ?? unknown(node, placeholder));
      case 'param':
        return argumentOf(partOf(run.params, placeholder) ?? unknown(node, placeholder));
      default:
        return unknown(node, placeholder);
    }
  };
}

const itemOf = ({ shards }: JobNode, index: number): Json | undefined =>
  shards.kind === 'each' ? shards.items[index] : undefined;

/** The value, or what it has under the placeholder's key. */
function partOf(value: Json | undefined, { key }: Placeholder): Json | undefined {
  if (key === null || value === undefined) return value;
  const isMapping = value !== null && typeof value === 'object' && !Array.isArray(value);
  return isMapping && Object.hasOwn(value, key) ? (value as Readonly<Record<string, Json>>)[key] : undefined;
}

function unknown(node: JobNode, { text, name, key }: Placeholder): never {
  const advice = name === 'param' && key !== null ? `give it: --param ${key}=VALUE` : 'mend the file of the job';
  throw new JobError('NOT_ALLOWED', `node '${node.name}' has no value for ${text}; ${advice}`);
}

function lacking(plan: string, index: number): never {
  throw new JobError('BROKEN_RECORD', `${plan} has no run ${index}; apply the job again`);
}
