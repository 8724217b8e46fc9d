/** Running a family's golden configurations. */
import { modelSpecOf } from '../../../lib/model/families/registry.js';
import type { Compute } from '../../../lib/model/weights/residence.js';
import { outputPart, promptPart, startLocalJob, startOf, type LocalJob } from '../engine/local_job.js';
import { withTempFolder } from '../temp_folder.js';
import { writeConformanceModel, type Conformance, type ConformanceCase } from './conformance.js';

/** What the first case does beside logits. */
export interface Choices {
  /** [MoE layer][token], ascending */
  readonly experts: number[][][];
  /** As many as are golden. */
  readonly greedy: number[];
}

/** A family's cases in one process; weights that several cases have are made once. */
export class ConformanceRun {
  private readonly weights = new Map<string, Uint8Array>();

  constructor(private readonly goldens: Conformance) {}

  /** The ways to compute that the family has. */
  get computes(): readonly Compute[] {
    const { layers, attention } = modelSpecOf(this.goldens.cases[0]!.config);
    const hasStates = layers.some(({ mixer }) => mixer.kind !== 'attention');
    const hasIndexer = attention.kind === 'mla' && attention.indexer !== null;
    return hasStates || hasIndexer ? ['kernels'] : ['kernels', 'tensors'];
  }

  /**
   * The largest difference between logits and golden ones, of the largest logit or of 1; null: the prompt is beyond the model's positions, and the engine admits none such.
   *
   * @throws ModelError for a configuration that is refused
   */
  async errorOf(golden: ConformanceCase, compute: Compute): Promise<number | null> {
    const { tokens, positions } = this.goldens;
    if (tokens.length > modelSpecOf(golden.config).maxPositions) return null;
    const logits = await this.withJob(golden, compute, async (job) => {
      const [outputs] = await job.step([[promptPart(0, tokens)]], [[startOf(0)]]);
      return outputs![0]!.logits!;
    });
    const width = logits.length / tokens.length;
    const actual = positions.flatMap((position) => [...logits.subarray(position * width, (position + 1) * width)]);
    const expected = golden.logits!.flat();
    const size = Math.max(1, largest(expected.map(Math.abs)));
    return largest(expected.map((value, i) => Math.abs(value - actual[i]!))) / size;
  }

  /** Of the first case. */
  choices(compute: Compute): Promise<Choices> {
    const { tokens, greedy, experts, cases } = this.goldens;
    return this.withJob(cases[0]!, compute, async (job) => {
      const [outputs] = await job.step([[promptPart(0, tokens)]], [[startOf(0)]]);
      const { tokenId, routedExperts } = outputs![0]!;
      const generated = [tokenId!];
      while (generated.length < greedy.length) {
        const position = tokens.length + generated.length - 1;
        const [next] = await job.step([[outputPart(0, generated.at(-1)!, position)]]);
        generated.push(next![0]!.tokenId!);
      }
      return { experts: byLayerOf(routedExperts!, experts.length, tokens.length), greedy: generated };
    });
  }

  private withJob<T>(golden: ConformanceCase, compute: Compute, run: (job: LocalJob) => Promise<T>): Promise<T> {
    return withTempFolder(async (dir) => {
      await writeConformanceModel(dir, golden, this.weights);
      const job = await startLocalJob(dir, { residence: { compute }, maxTokens: this.goldens.tokens.length });
      return run(job).finally(() => job.close());
    });
  }
}

/** NaN where one is. */
const largest = (values: readonly number[]): number => Math.max(0, ...values);

/** Experts [T][MoE layer][K] as [MoE layer][T], each list ascending. */
function byLayerOf(routed: ArrayLike<number>, numLayers: number, numTokens: number): number[][][] {
  const numTopk = routed.length / (numLayers * numTokens);
  const choice = (layer: number, t: number): number[] =>
    Array.from({ length: numTopk }, (_, k) => routed[(t * numLayers + layer) * numTopk + k]!);
  return Array.from({ length: numLayers }, (_, layer) =>
    Array.from({ length: numTokens }, (__, t) => choice(layer, t).toSorted((a, b) => a - b)),
  );
}
