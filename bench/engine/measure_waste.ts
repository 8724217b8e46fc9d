/** KV slots that sequences hold and don't use. */
import type { Engine } from '../../lib/head/engine.js';
import { askedOf, mixedLengths } from './asked.js';
import { runBatch } from './followed.js';
import { sized, withEngine, type Bench, type Measured } from './measurement.js';

const CONCURRENCY = 16;
const PROMPT_TOKENS = 192;
const MEAN_OUTPUT = 96;

/** One row. */
export async function measureWaste(bench: Bench): Promise<Measured> {
  const row = await withEngine(bench, {}, async (engine, prompts) => {
    const lengths = mixedLengths(
      sized(bench, 4 * CONCURRENCY, 4),
      MEAN_OUTPUT,
      engine.limits.maxModelLen - PROMPT_TOKENS,
      bench.seed,
    );
    const usage = new SlotUsage(engine);
    try {
      await runBatch(engine, askedOf(prompts, PROMPT_TOKENS, lengths), CONCURRENCY, 'continuous', bench.signal);
    } finally {
      usage.close();
    }
    return {
      steps: usage.shares.length,
      waste: mean(usage.shares),
      reserved_waste: mean(usage.reservedShares),
    };
  });
  return {
    formula: `mean over steps of 1 − tokens in the cache / (blocks that sequences hold, those of the step too that is planned already, × block_size); ${CONCURRENCY} sequences at a time, ${PROMPT_TOKENS} prompt tokens, answers of ${MEAN_OUTPUT} on average`,
    baseline:
      'reserved: were the slots of prompt and whole answer taken at the start, with the same steps and sequences',
    rows: [row],
  };
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Counts slots at each step. */
class SlotUsage {
  readonly shares: number[] = [];
  readonly reservedShares: number[] = [];
  /** By sequence. */
  private readonly tokens = new Map<number, number>();
  private readonly reserved = new Map<number, number>();
  private readonly stop: () => void;

  constructor(private readonly engine: Engine) {
    this.stop = engine.watch({
      request: (news) => {
        if (news.kind === 'queued') this.reserved.set(news.sequence, news.numPromptTokens + news.maxNewTokens);
        if (news.kind === 'preempted') this.tokens.delete(news.sequence);
        if (news.kind !== 'finished' && news.kind !== 'ended') return;
        this.tokens.delete(news.sequence);
        this.reserved.delete(news.sequence);
      },
      step: ({ plans }) => {
        for (const { parts } of plans)
          for (const { sequence, position, tokenIds } of parts) this.tokens.set(sequence, position + tokenIds.length);
        this.count();
      },
    });
  }

  close(): void {
    this.stop();
  }

  private count(): void {
    const { ranks } = this.engine.load;
    const numSlots = ranks.reduce((sum, rank) => sum + rank.numUsedBlocks, 0) * this.engine.limits.blockSize;
    const numTokens = [...this.tokens.values()].reduce((sum, count) => sum + count, 0);
    const numReserved = [...this.tokens.keys()].reduce((sum, sequence) => sum + (this.reserved.get(sequence) ?? 0), 0);
    if (numSlots === 0 || numReserved === 0) return;
    this.shares.push(1 - numTokens / numSlots);
    this.reservedShares.push(1 - numTokens / numReserved);
  }
}
