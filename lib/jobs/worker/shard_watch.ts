/** Tells who works on a shard that somebody else ended it. One look at a run's records serves all of its shards in hand. */
import type { JobClock, Records } from '../base/job_bus.js';
import { shardOf } from '../base/parse.js';
import { shardRecord, type ShardKey } from '../base/task.js';

/** The next shard is mostly of the same run. */
const LINGER_MS = 2000;

interface Watched {
  readonly inHand: Map<string, () => void>;
  /** Shards that ended, as far as the watch was told: who takes one just then would hear of it no more. */
  readonly over: Set<string>;
  readonly stop: () => void;
  forget: () => void;
}

/** Of all shards that a worker has in hand. */
export class ShardWatch {
  private readonly runs = new Map<string, Watched>();

  constructor(
    private readonly records: Pick<Records, 'watch'>,
    private readonly clock: JobClock,
  ) {}

  /** Calls once where the shard's record says an end. Returns how to stop that. */
  watch(key: ShardKey, onEnd: () => void): () => void {
    const watched = this.runs.get(key.run) ?? this.begin(key.run);
    watched.forget();
    const name = shardRecord(key);
    watched.inHand.set(name, onEnd);
    if (watched.over.has(name)) onEnd();
    return () => {
      watched.inHand.delete(name);
      if (watched.inHand.size > 0) return;
      watched.forget();
      watched.forget = this.clock.after(LINGER_MS, () => this.end(key.run, watched));
    };
  }

  /** Nobody is told anything any more. */
  close(): void {
    for (const [run, watched] of this.runs) this.end(run, watched);
  }

  private begin(run: string): Watched {
    const inHand: Watched['inHand'] = new Map();
    const over: Watched['over'] = new Set();
    const stop = this.records.watch(`shard.${run}`, {
      changed: (key, text, revision) => {
        if (text === null) over.delete(key);
        if (text === null || !isOver(key, text, revision)) return;
        over.add(key);
        inHand.get(key)?.();
      },
    });
    const watched: Watched = { inHand, over, stop, forget: () => undefined };
    this.runs.set(run, watched);
    return watched;
  }

  private end(run: string, watched: Watched): void {
    if (this.runs.get(run) !== watched) return;
    watched.forget();
    watched.stop();
    this.runs.delete(run);
  }
}

/** One that can't be read is none of an end: the try finds out what it is. */
function isOver(key: string, text: string, revision: number): boolean {
  try {
    return shardOf({ key, text, revision })?.state !== 'trying';
  } catch {
    return false;
  }
}
