/** What ranks were told to load from their own tiers. */
import type { StoreRunner } from '../../job/step_runner.js';
import type { LiftReport } from '../../protocol/kv_store.js';
import type { BlockNumbers } from './kv_costs.js';
import type { BlockSource, LiftPart } from './lift.js';
import { numbersOf } from './lift_plan.js';
import { Patience } from './patience.js';

/** What loads run on. */
export interface TierLoadsParts {
  readonly ranks: Pick<StoreRunner, 'store'>;
  /** Keys turned out to be in no tier of a rank. */
  readonly onLost: (rank: number, keys: readonly string[]) => void;
  /** All blocks of a load came, so many from each tier, and took so long. Default: nobody asks. */
  readonly onBrought?: ((blocks: BlockNumbers, ms: number) => void) | undefined;
  /** How long a rank may take for these. */
  readonly loadMs: (blocks: BlockNumbers) => number;
}

/** Numbers loads, and brings their reports to who ordered them. */
export class TierLoads implements BlockSource {
  private nextLoad = 0;
  /** By load. */
  private readonly running = new Map<number, (report: LiftReport) => void>();

  constructor(private readonly parts: TierLoadsParts) {}

  /** None of the blocks count of a rank that says nothing in time, or isn't there any more. */
  async bring({ rank, blocks, origins }: LiftPart, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    const load = this.nextLoad++;
    const { ranks, loadMs } = this.parts;
    return new Promise((resolve, reject) => {
      const end = (): void => {
        this.running.delete(load);
        signal.removeEventListener('abort', onAbort);
        patience.end();
      };
      const cancel = (): void => {
        end();
        ranks.store(rank, { kind: 'cancel_load', load });
      };
      const onAbort = (): void => {
        cancel();
        reject(signal.reason as Error);
      };
      const patience = new Patience(loadMs(numbersOf(origins)), () => {
        cancel();
        resolve(0);
      });
      signal.addEventListener('abort', onAbort, { once: true });
      this.running.set(load, ({ numBlocks, tookMs }) => {
        end();
        if (numBlocks === blocks.length) this.parts.onBrought?.(numbersOf(origins), tookMs);
        resolve(numBlocks);
      });
      patience.begin();
      if (ranks.store(rank, { kind: 'load', order: { load, blocks } })) return;
      end();
      resolve(0);
    });
  }

  /** What came of a load; nothing where it was given up. */
  hear(rank: number, report: LiftReport): void {
    if (report.lost.length > 0) this.parts.onLost(rank, report.lost);
    this.running.get(report.load)?.(report);
  }
}
