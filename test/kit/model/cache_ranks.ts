/** Two ranks of a small model, whose steps and cache blocks a test chooses itself. */
import { createPlacement, type Placement } from '../../../experts/placement/placement.js';
import type { KvCache, SequencePart } from '../../../lib/model/decoder/decoder.js';
import { moeLayersOf, type ModelSpec } from '../../../lib/model/spec/spec.js';
import { heldMemory, type HeldMemory } from '../kernels/held_memory.js';
import { startLocalJob, type LocalJob, type LocalJobOptions } from '../engine/local_job.js';

const NUM_RANKS = 2;

/** The model is the same to the bit on both ranks. */
export class CacheRanks {
  private readonly placement: Placement;
  private step = 0;

  private constructor(private readonly job: LocalJob) {
    const { numExperts } = job.spec.moe.gate;
    this.placement = createPlacement('linear', {
      numLayers: moeLayersOf(job.spec).length,
      numExperts,
      numRanks: NUM_RANKS,
    });
  }

  static async start(modelDir: string, options: LocalJobOptions): Promise<CacheRanks> {
    return new CacheRanks(await startLocalJob(modelDir, { ...options, numRanks: NUM_RANKS, reduce: 'source' }));
  }

  get spec(): ModelSpec {
    return this.job.spec;
  }

  cache(rank: number): KvCache {
    return this.job.models[rank]!.cache;
  }

  held(): HeldMemory {
    return heldMemory(this.job.models);
  }

  /** Logits behind the last of some tokens on one rank. */
  async run(
    rank: number,
    tokens: readonly number[],
    sequence: Pick<SequencePart, 'position' | 'blocks' | 'isPrompt' | 'state'>,
  ): Promise<Float32Array> {
    this.step++;
    const results = await Promise.all(
      this.job.models.map((model, each) => {
        const own = each === rank ? tokens : [];
        const parts = each === rank ? [{ rowStart: 0, numTokens: own.length, ...sequence }] : [];
        const tag = { step: this.step, epoch: 0 };
        return model.forward({ tokenIds: Int32Array.from(own), parts, placement: this.placement, tag });
      }),
    );
    const { states } = results[rank]!;
    const [logits] = await states!.logits([tokens.length - 1]);
    const values = logits!.values();
    states!.dispose();
    return values;
  }

  close(): Promise<void> {
    return this.job.close();
  }
}
