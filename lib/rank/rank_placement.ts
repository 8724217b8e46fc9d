/** The placement that a rank computes with, and the rank's part in changing it. Why: docs/decisions/rebalancing.md#a-loss-drops-what-is-being-moved */
import { setMaxListeners } from 'node:events';
import { Migration, type MigrationParts } from '../../experts/layer/migration.js';
import { LivePlacement } from '../../experts/placement/live_placement.js';
import { placementFrom, type Placement } from '../../experts/placement/placement.js';
import { InternalError } from '../../base/coded_error.js';
import { RowTraffic } from './row_traffic.js';
import { remoteErrorOf } from '../../comm/base/errors.js';
import type { GatherReport, MoveOrder, MoveReport, StepPlan, ToldPlacement } from '../protocol/step_plan.js';

/** Rows that travel beside a step. */
export interface Moving {
  /** The step is over: how far moving is, and how long the step was held up. Null: no experts move. */
  end(): Promise<MoveReport | null>;
  /** The step failed. */
  abort(): void;
}

/** Which experts are where, as one rank knows it between two steps. */
export class RankPlacement {
  private readonly migration: Migration;
  private readonly traffic: RowTraffic;
  private readonly live: LivePlacement;

  constructor(placement: Placement, parts: MigrationParts) {
    this.live = new LivePlacement(placement);
    this.traffic = new RowTraffic(parts.mesh);
    this.migration = new Migration({ ...parts, mesh: this.traffic.mesh });
  }

  /** What the ranks that are left hold. */
  get current(): Placement {
    return this.live.left;
  }

  /** Takes a step towards another placement. No step may be running. */
  move(move: MoveOrder): void {
    switch (move.kind) {
      case 'prepare':
        this.migration.prepare(move.order, this.live.left);
        return;
      case 'commit':
        this.live.commit(this.migration.commit(move.version, this.live.whole));
        return;
      case 'drop':
        this.migration.drop();
    }
  }

  /** Reads what `version` wants from disk; tells how far that is until it is over, or `signal` is aborted. */
  async gather(version: number, signal: AbortSignal, tell: (report: GatherReport) => void): Promise<void> {
    const aborted = new Promise<null>((resolve) =>
      signal.addEventListener('abort', () => resolve(null), { once: true }),
    );
    const onRead = (numLeft: number): void => {
      if (!signal.aborted) tell({ version, numLeft });
    };
    const done = await Promise.race([this.migration.gather(version, onRead), aborted]);
    if (signal.aborted) return;
    if (done === null) throw new InternalError(`this rank gathers no version ${version}`);
    const { error, ...rest } = done;
    tell({ version, ...rest, ...(error !== undefined && { error: remoteErrorOf(error) }) });
  }

  /** All ranks that are not there from now on. What was being moved is dropped: the head plans anew. `inForce`: told to a rank that joins. */
  enter(absent: readonly number[], inForce?: ToldPlacement): void {
    this.migration.drop();
    this.live.enter(absent);
    if (inForce === undefined) return;
    const { numRanks, numExperts } = this.live.whole;
    this.live.commit(placementFrom(inForce.version, numRanks, numExperts, inForce.phy2log));
  }

  /**
   * Sends the rows of this step, if any, and begins to receive.
   * @throws EngineError INTERNAL for a step of another placement
   */
  begin({ placementVersion, moveRound, step, epoch }: StepPlan, signal?: AbortSignal): Moving {
    if (placementVersion !== this.live.version) {
      const text = `step ${step} is for version ${placementVersion} of the placement, this rank has ${this.live.version}`;
      throw new InternalError(text);
    }
    if (moveRound === undefined) return NOTHING_MOVES;
    const failed = new AbortController();
    const either = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
    setMaxListeners(0, either); // each copy listens
    const startMs = performance.now();
    this.traffic.begin();
    const progress = this.migration.run(moveRound, { step, epoch }, either);
    const sendMs = performance.now() - startMs;
    return {
      abort: () => failed.abort(),
      end: async () => {
        const endMs = performance.now();
        const done = await progress;
        if (done === null) return null;
        const { error, ...rest } = done;
        const stallMs = sendMs + performance.now() - endMs;
        const timeline = this.traffic.events(step);
        return { ...rest, stallMs, timeline, ...(error !== undefined && { error: remoteErrorOf(error) }) };
      },
    };
  }

  /** Frees what is being gathered. */
  dispose(): void {
    this.migration.drop();
  }
}

const NOTHING_MOVES: Moving = { end: () => Promise.resolve(null), abort: () => undefined };
