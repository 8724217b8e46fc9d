/** A run that runs: its nodes begin, their shards are put in line and counted, and it ends. */
import { JobError } from '../base/errors.js';
import type { JobNode } from '../base/job.js';
import type { QueuedTask } from '../base/job_bus.js';
import type { JobRun, NodeRun } from '../base/run.js';
import { runRecord, shardRecord, type Shard } from '../base/task.js';
import { advanced, hasEnded, isOut, withNode } from '../decisions/graph.js';
import { placedRecord } from '../decisions/ids.js';
import { loadsOf, lostShards, movedPlacement, placementOf, type Placement } from '../decisions/placement.js';
import { isRouted, routed } from '../decisions/routing.js';
import { inParallel } from './in_parallel.js';
import type { LeaderParts } from './leader_parts.js';
import { nodeTasks } from './node_tasks.js';
import { ShardCounts, shardIn } from './shard_counts.js';

/** Tasks that are put in line at once. */
const TASKS_AT_ONCE = 500;

/** Of whoever leads. One step at a time. */
export class LiveRun {
  private readonly counts: ShardCounts;
  /** Nodes whose shards this process put in line. */
  private readonly sent = new Set<string>();

  /** `wake`: there may be something to do. */
  constructor(
    private readonly parts: LeaderParts,
    private run: JobRun,
    private readonly saved: (run: JobRun) => void,
    wake: () => void,
  ) {
    this.counts = new ShardCounts(parts.bus.records, run.id, (node, numEnded) => {
      if (numEnded >= (this.run.nodes[node]?.shardTotal ?? Infinity)) wake();
    });
  }

  /** As it is kept. */
  get current(): JobRun {
    return this.run;
  }

  /** Until nothing more is to be done now. @throws JobError */
  async step(): Promise<void> {
    await this.counts.ready;
    do {
      await this.save(advanced(this.run, this.facts()));
    } while (!hasEnded(this.run) && (this.run.isStopping ? await this.stopShards() : await this.sendShards()));
  }

  /** Writes what it is next, where that is something else. @throws JobError */
  async save(next: JobRun): Promise<void> {
    if (next === this.run) return;
    await this.parts.own.put(runRecord(next.id), next);
    this.run = next;
    this.saved(next);
  }

  /** How many open shards workers have of it. */
  loads(): readonly ReadonlyMap<string, number>[] {
    return this.nodesOut().flatMap(({ name }) => {
      const placed = this.placementOf(name);
      return placed === null ? [] : [loadsOf(placed, (index) => this.counts.isOpen(name, index))];
    });
  }

  /** Hears no more. */
  stop(): void {
    this.counts.stop();
  }

  private facts(): Parameters<typeof advanced>[1] {
    const { clock, workers } = this.parts;
    return { nowMs: clock.now(), numWorkers: workers.all.length, tallyOf: (node) => this.counts.tallyOf(node) };
  }

  private nodesOut(): readonly JobNode[] {
    return this.run.job.nodes.filter(({ name }) => isOut(this.run.nodes[name]!));
  }

  private openShards(name: string): readonly number[] {
    const all = Array.from({ length: this.run.nodes[name]!.shardTotal ?? 0 }, (_, index) => index);
    return all.filter((index) => this.counts.isOpen(name, index));
  }

  /** Nobody commits a shard any more that isn't by now. Whether there were some. */
  private async stopShards(): Promise<boolean> {
    const open = this.nodesOut().flatMap(({ name }) => this.openShards(name).map((index) => ({ name, index })));
    if (open.length === 0) return false;
    await this.parts.bus.tasks.drop({ run: this.run.id });
    await inParallel(open, ({ name, index }) => this.stopShard(name, index));
    return true;
  }

  private async stopShard(node: string, index: number): Promise<void> {
    const { bus, own, id, clock } = this.parts;
    const error = this.run.error ?? { code: 'RUN_STOPPED', message: 'the run was stopped' };
    const shard: Shard = { state: 'stopped', error, worker: id, attempts: 0, endedMs: clock.now() };
    const key = shardRecord({ run: this.run.id, node, index });
    let revision = this.counts.revisionOf(node, index);
    while (this.counts.isOpen(node, index)) {
      own.check();
      try {
        this.counts.count(node, index, shard, await bus.records.write(key, JSON.stringify(shard), revision));
      } catch (reason) {
        if (!(reason instanceof JobError && reason.code === 'RECORD_CONFLICT')) throw reason;
        // Its worker wrote meanwhile: that it is done, or that it will try again.
        const found = await bus.records.read(key);
        revision = found?.revision ?? 0;
        if (found !== null) this.counts.count(node, index, shardIn(found), revision);
      }
    }
  }

  /** Whether something came of it that has to be looked at. */
  private async sendShards(): Promise<boolean> {
    let isChanged = false;
    for (const node of this.nodesOut()) {
      const before = this.run;
      try {
        await this.sendNode(node);
      } catch (reason) {
        if (!(reason instanceof JobError && CAUSES_OF_NODES.has(reason.code))) throw reason;
        const error = { code: reason.code, message: reason.text };
        await this.saveNode(node.name, { state: 'failed', error, endedMs: this.parts.clock.now() });
      }
      isChanged ||= this.run.nodes[node.name]!.state !== before.nodes[node.name]!.state;
    }
    return isChanged;
  }

  private async sendNode(node: JobNode): Promise<void> {
    const { bus } = this.parts;
    const { name } = node;
    const before = this.placementOf(name);
    const moved = isRouted(node) ? await this.place(node) : [];
    if (moved === null) return; // nobody lives
    const isWaiting = this.run.nodes[name]!.state === 'waiting';
    const isLost = !bus.tasks.isDurable && !this.sent.has(name);
    const isHalf = before?.isSent === false; // a leader before didn't come to its end
    if (!isWaiting && !isLost && !isHalf && moved.length === 0) return;
    const indices = isWaiting || isLost || isHalf ? this.openShards(name) : moved;
    await this.add(await nodeTasks(bus.blobs, this.run, node, indices, this.placementOf(name)));
    this.sent.add(name);
    const placed = this.placementOf(name);
    if (placed !== null) await this.savePlacement(name, { ...placed, isSent: true });
    await this.saveNode(name, { state: 'running' });
  }

  private async add(tasks: readonly QueuedTask[]): Promise<void> {
    for (let from = 0; from < tasks.length; from += TASKS_AT_ONCE) {
      this.parts.own.check();
      await this.parts.bus.tasks.add(this.stillOpen(tasks.slice(from, from + TASKS_AT_ONCE)));
    }
  }

  private stillOpen(tasks: readonly QueuedTask[]): readonly QueuedTask[] {
    return tasks.filter(({ task: { key } }) => this.counts.isOpen(key.node, key.index));
  }

  /** Says where its shards are, and where those of workers that are gone go: which ones; null: nobody lives. */
  private async place(node: JobNode): Promise<readonly number[] | null> {
    const { workers } = this.parts;
    const placed = this.placementOf(node.name);
    const isOpen = (index: number): boolean => this.counts.isOpen(node.name, index);
    const indices =
      placed === null
        ? Array.from({ length: this.run.nodes[node.name]!.shardTotal! }, (_, index) => index)
        : lostShards(placed, isOpen, (worker) => workers.isGone(worker));
    if (indices.length === 0) return [];
    if (workers.all.length === 0) return null;
    const chosen = this.choose(node, indices);
    await this.savePlacement(
      node.name,
      placed === null ? placementOf(chosen) : movedPlacement(placed, indices, chosen),
    );
    return indices;
  }

  private choose(node: JobNode, indices: readonly number[]): readonly string[] {
    const { workers, turns, loadOf } = this.parts;
    const hashKey = `${this.run.job.name}.${node.name}`;
    const lastTurn = turns.get(hashKey) ?? null;
    const chosen = routed(node, indices, { workers: workers.all, loadOf: loadOf(), lastTurn, hashKey });
    turns.set(hashKey, chosen.at(-1)!);
    return chosen;
  }

  private placementOf(node: string): Placement | null {
    return this.parts.placements.get(placedRecord(this.run.id, node)) ?? null;
  }

  private async savePlacement(node: string, placed: Placement): Promise<void> {
    const key = placedRecord(this.run.id, node);
    await this.parts.own.put(key, placed);
    this.parts.placements.set(key, placed);
  }

  private saveNode(name: string, changes: Partial<NodeRun>): Promise<void> {
    const node = this.run.nodes[name]!;
    return node.state === changes.state
      ? Promise.resolve()
      : this.save(withNode(this.run, name, { ...node, ...changes }));
  }
}

/** What is wrong with the node itself, and not with the bus. */
const CAUSES_OF_NODES: ReadonlySet<string> = new Set(['NOT_ALLOWED', 'BROKEN_RECORD', 'TOO_MANY']);
