/** The shards of a run, counted as they come: each once, however often it is told. */
import { causeText } from '../../../base/foreign_text.js';
import { JobError } from '../base/errors.js';
import type { JobRecord, Records } from '../base/job_bus.js';
import { shardOf } from '../base/parse.js';
import type { TaskError } from '../base/run.js';
import type { Shard } from '../base/task.js';
import type { Tally } from '../decisions/graph.js';

/** Of one node. */
class NodeShards {
  readonly ended = new Set<number>();
  /** Of those that are there and open. */
  readonly revisions = new Map<number, number>();
  readonly tally = { numDone: 0, numFailed: 0, numStopped: 0, error: null as TaskError | null };
}

/** Follows the records of a run's shards. */
export class ShardCounts {
  /** All that were there are counted. */
  readonly ready: Promise<void>;
  private readonly nodes = new Map<string, NodeShards>();
  private readonly stopWatching: () => void;
  private isReady: () => void = () => undefined;

  /** `ended`: one more shard of a node has; with how many of it now. */
  constructor(
    records: Records,
    private readonly run: string,
    private readonly ended: (node: string, numEnded: number) => void,
  ) {
    this.ready = new Promise((resolve) => (this.isReady = resolve));
    this.stopWatching = records.watch(`shard.${run}`, {
      changed: (key, text, revision) => this.hear(key, text, revision),
      ready: () => this.isReady(),
    });
  }

  /** What has come of a node's shards. */
  tallyOf(node: string): Tally {
    return this.of(node).tally;
  }

  /** Whether one may still come to its end. */
  isOpen(node: string, index: number): boolean {
    return !this.of(node).ended.has(index);
  }

  /** Of the record of an open shard; 0: there is none. */
  revisionOf(node: string, index: number): number {
    return this.of(node).revisions.get(index) ?? 0;
  }

  /** A shard is like this now. */
  count(node: string, index: number, shard: Shard, revision: number): void {
    const shards = this.of(node);
    if (shards.ended.has(index)) return;
    if (shard.state === 'trying') {
      shards.revisions.set(index, revision);
      return;
    }
    shards.ended.add(index);
    shards.revisions.delete(index);
    if (shard.state === 'done') shards.tally.numDone++;
    else {
      if (shard.state === 'failed') shards.tally.numFailed++;
      else shards.tally.numStopped++;
      shards.tally.error ??= shard.error;
    }
    this.ended(node, shards.ended.size);
  }

  /** Hears no more; nobody waits for it either. */
  stop(): void {
    this.stopWatching();
    this.isReady();
  }

  private hear(key: string, text: string | null, revision: number): void {
    const [node, index] = key.slice(`shard.${this.run}.`.length).split('.') as [string, string];
    if (text !== null) this.count(node, Number(index), shardIn({ key, text, revision }), revision);
  }

  private of(node: string): NodeShards {
    const found = this.nodes.get(node) ?? new NodeShards();
    this.nodes.set(node, found);
    return found;
  }
}

/** What can't be read has failed: nobody can do it again. */
export function shardIn(record: JobRecord): Shard {
  try {
    return shardOf(record)!;
  } catch (reason) {
    const error = { code: 'BROKEN_RECORD', message: reason instanceof JobError ? reason.text : causeText(reason) };
    return { state: 'failed', error, worker: '', attempts: 0, endedMs: 0 };
  }
}
