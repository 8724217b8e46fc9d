/** Brings blocks to sequences that wait for them. Why: docs/decisions/kv_store.md#a-block-is-found-by-its-key-wherever-it-lies */
import type { BlockSource, Lift, LiftPart, LiftSource } from './lift.js';

/** What lifts come from, and who has the sequences. */
export interface LiftsParts {
  /** By kind. */
  readonly sources: {
    readonly [Kind in LiftSource['kind']]: BlockSource<Extract<LiftSource, { readonly kind: Kind }>>;
  };
  /** So many blocks are there, from the first one that was to come, and nothing more comes. */
  readonly onEnd: (sequence: number, numBlocks: number) => void;
}

interface RunningLift {
  readonly lift: Lift;
  readonly stopped: AbortController;
}

/** The lift isn't wanted any more. */
class GaveWay extends Error {}

/** One per sequence that waits; whatever fails, its sequence goes on behind what is there. */
export class Lifts {
  private readonly running = new Map<number, RunningLift>();

  constructor(private readonly parts: LiftsParts) {}

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
      void this.run(sequence, lift, stopped.signal);
    }
  }

  private async run(sequence: number, lift: Lift, signal: AbortSignal): Promise<void> {
    let numBlocks = 0;
    try {
      for (const segment of lift.segments) {
        const numCame = await this.bring({ sequence, rank: lift.rank, ...segment }, signal);
        numBlocks += numCame;
        if (numCame < segment.blocks.length) break;
      }
    } catch {
      // What failed didn't come.
    }
    if (signal.aborted) return;
    this.running.delete(sequence);
    this.parts.onEnd(sequence, numBlocks);
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
