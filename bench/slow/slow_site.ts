/** A job whose last rank is as slow as one wants it to be. */
import { randomBytes } from 'node:crypto';
import { loadConfig } from '../../lib/config/load.js';
import { Engine } from '../../lib/head/engine.js';
import { BenchError } from '../base/errors.js';
import { BurdenedRank } from './burdened_rank.js';

/** What is started. */
export interface SlowSiteOptions {
  readonly model: string;
  readonly ranks: number;
  /** Whether each rank gets what it can compute, or all the same. */
  readonly onSlow: 'ignore' | 'warn';
  /** Further keys: 'comm.reduce=source'. */
  readonly set: readonly string[];
  readonly onNotice: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Owns all of it: {@link close} ends every process. */
export class SlowSite {
  /** The job runs, and no rank is slow. Errors as those of `Engine.start`; BenchError PROCESS_DIED */
  static async start({ model, ranks, onSlow, set, onNotice, signal }: SlowSiteOptions): Promise<SlowSite> {
    const secret = randomBytes(32).toString('hex');
    const parallel = { ranks: ranks - 1, max_ranks: ranks, threads: 1, on_slow: onSlow };
    const config = await loadConfig({ flags: { model, parallel }, overrides: set });
    const failed = new AbortController();
    const started: { last: BurdenedRank | null } = { last: null };
    try {
      const engine = await Engine.start({
        ...{ config, secret, onNotice, numExternalRanks: 1, onRankLog: (_, line) => onNotice(line) },
        signal: AbortSignal.any([signal, failed.signal]),
        onListening: (head) => {
          started.last = new BurdenedRank({ head, secret, ranksHere: ranks });
          void started.last.ended.then(() => failed.abort(died()));
        },
      });
      return new SlowSite(engine, started.last!);
    } catch (error) {
      await started.last?.close();
      throw error;
    }
  }

  private constructor(
    readonly engine: Engine,
    private readonly last: BurdenedRank,
  ) {}

  /** How many times longer the last rank takes from now on. */
  burden(factor: number): void {
    this.last.burden(factor);
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.engine.close();
    await this.last.close();
  }
}

const died = (): BenchError =>
  new BenchError('PROCESS_DIED', 'the process of the slow rank ended; look at what it wrote, and run it again');
