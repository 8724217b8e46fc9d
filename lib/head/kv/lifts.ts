/** Brings blocks to sequences that wait for them. Why: docs/decisions/kv_store.md#a-block-is-found-by-its-key-wherever-it-lies */
import type { BlockSource, Lift, LiftPart, LiftSource } from './lift.js';
import { Shunned } from './shunned.js';

/** What lifts come from, and who has the sequences. */
export interface LiftsParts {
  /** By kind. */
  readonly sources: {
    readonly [Kind in LiftSource['kind']]: BlockSource<Extract<LiftSource, { readonly kind: Kind }>>;
  };
  /** So many blocks are there, from the first one that was to come, and nothing more comes. */
  readonly onEnd: (sequence: number, numBlocks: number) => void;
  /** What no source and no rank can have done. */
  readonly onFail: (sequence: number, error: unknown) => void;
  /** Of a clock that doesn't go back. Default: that of this process. */
  readonly nowMs?: () => number;
}

/** Who brings nothing for so long didn't answer. */
const LATE_MS = 500;

interface RunningLift {
  readonly lift: Lift;
  readonly stopped: AbortController;
}

/** The lift isn't wanted any more. */
class GaveWay extends Error {}

/** One per sequence that waits; whatever doesn't come, its sequence goes on behind what is there. */
export class Lifts {
  private readonly running = new Map<number, RunningLift>();
  private readonly shunned: Shunned;
  private readonly nowMs: () => number;

  constructor(private readonly parts: LiftsParts) {
    this.nowMs = parts.nowMs ?? ((): number => performance.now());
    this.shunned = new Shunned(this.nowMs);
  }

  /** How many run. */
  get size(): number {
    return this.running.size;
  }

  /** Stops those that are wanted no more: ranks hear of it at once, before anything else that they are told. `wanted`: by sequence, another object each time. */
  stop(wanted: ReadonlyMap<number, Lift>): void {
    for (const [sequence, { lift, stopped }] of this.running) {
      if (wanted.get(sequence) === lift) continue;
      this.running.delete(sequence);
      stopped.abort(new GaveWay());
    }
  }

  /** Begins those that don't run yet: ranks know what they are to forget before. */
  start(wanted: ReadonlyMap<number, Lift>): void {
    for (const [sequence, lift] of wanted) {
      if (this.running.has(sequence)) continue;
      const stopped = new AbortController();
      this.running.set(sequence, { lift, stopped });
      const { signal } = stopped;
      this.run(sequence, lift, signal).catch((error: unknown) => {
        if (signal.aborted) return;
        this.running.delete(sequence);
        this.parts.onFail(sequence, error);
      });
    }
  }

  private async run(sequence: number, lift: Lift, signal: AbortSignal): Promise<void> {
    let numBlocks = 0;
    for (const segment of lift.segments) {
      const numCame = await this.ask({ sequence, rank: lift.rank, ...segment }, signal);
      numBlocks += numCame;
      if (numCame < segment.blocks.length) break;
    }
    if (signal.aborted) return;
    this.running.delete(sequence);
    this.parts.onEnd(sequence, numBlocks);
  }

  /** Who was late lately isn't waited for. */
  private async ask(part: LiftPart, signal: AbortSignal): Promise<number> {
    const { shunned } = this;
    const name = nameOf(part);
    if (!shunned.mayAsk(name)) return 0;
    const startMs = this.nowMs();
    try {
      const numCame = await this.bring(part, signal);
      if (numCame === 0 && this.nowMs() - startMs >= LATE_MS) shunned.wasLate(name);
      else shunned.answered(name);
      return numCame;
    } finally {
      shunned.leave(name);
    }
  }

  private bring({ source, ...part }: LiftPart, signal: AbortSignal): Promise<number> {
    const { sources } = this.parts;
    switch (source.kind) {
      case 'tier':
        return sources.tier.bring({ ...part, source }, signal);
      case 'rank':
        return sources.rank.bring({ ...part, source }, signal);
      case 'loan':
        return sources.loan.bring({ ...part, source }, signal);
    }
  }
}

/** Who answers, or doesn't: for each rank that asks, since links may be broken. Memory answers where a disk doesn't. */
function nameOf({ source, rank, origins }: LiftPart): string {
  switch (source.kind) {
    case 'tier':
      return `${origins.includes('disk') ? 'disk' : 'ram'} of ${rank}`;
    case 'rank':
      return `rank ${source.rank} for ${rank}`;
    case 'loan':
      return `${source.loan.place.host}:${source.loan.place.port} for ${rank}`;
  }
}
