/** A checkpoint whose weights are rounded to codes, in a form that other readers of model folders load. Why: docs/decisions/formats.md#what-quantise-writes */
import type { WriteOptions, WrittenFiles } from '../../weights/checkpoint_writer.js';
import { rewriteCheckpoint } from '../rewrite.js';
import type { RewriteSource } from '../source.js';
import { factorsOf, type LayerScaling } from './scaling.js';
import { leftPatterns } from './left_modules.js';
import { newWeights } from './new_weights.js';
import { layerOf, targetsOf, type QuantisedParts } from './targets.js';
import type { WeightCoding } from './weight_coding.js';

/** What is asked for. */
export interface QuantiseOptions extends WriteOptions {
  readonly coding: WeightCoding;
  readonly only: QuantisedParts;
  readonly ignore: readonly string[];
  /** Whether weights that are codes already may be decoded; what isn't quantised anew becomes bfloat16. */
  readonly mayDecode: boolean;
  /** What channels are multiplied with first, layer by layer. Default: nothing. */
  readonly scaling?: readonly LayerScaling[] | undefined;
  /** More of what config.json says of how it was made. */
  readonly notes?: Readonly<Record<string, unknown>> | undefined;
}

/** What rounding changed in a layer. */
export interface LayerError {
  readonly layer: number;
  readonly numMatrices: number;
  /** Root mean square of what its weights changed, as a share of theirs. */
  readonly weightError: number;
}

/** What was done. */
export interface QuantiseReport extends WrittenFiles {
  readonly label: string;
  readonly numMatrices: number;
  readonly layers: readonly LayerError[];
  /** Matrices that were meant, and whose columns are no whole groups. */
  readonly unfit: readonly string[];
  /** Tensors of codes that no part of the model needs here, which were left out. */
  readonly dropped: readonly string[];
  /** Of all tensors before. */
  readonly sourceBytes: number;
}

/** Writes a folder that doesn't exist yet or is empty. @throws RewriteError, WeightError; the signal's reason */
export async function quantiseCheckpoint(
  source: RewriteSource,
  out: string,
  { coding, only, ignore, mayDecode, scaling = [], notes: more, ...options }: QuantiseOptions,
): Promise<QuantiseReport> {
  const found = targetsOf(source, { coding, only, ignore });
  const errors = new LayerErrors();
  const { tensors, left, dropped } = newWeights(source, found, {
    ...{ coding, mayDecode, signal: options.signal },
    factors: factorsOf(source.spec, scaling),
    onMade: ({ name }, values, decoded) => errors.add(layerOf(name), values, decoded),
  });
  const modules = found.targets.map(({ module }) => module);
  const patterns = coding.takesExpressions ? leftPatterns(left, modules) : left;
  const value = coding.config(patterns);
  const notes = { quantise: { format: coding.label, only, ignore, ...more } };
  const edits = [...formerConfig(source), { path: ['quantization_config'], value } as const];
  const written = await rewriteCheckpoint(source, out, { tensors, edits, notes }, options);
  const { label } = coding;
  const { checkpoint } = source.weights;
  const sourceBytes = checkpoint
    .names()
    .reduce((sum, name) => sum + checkpoint.info(name).end - checkpoint.info(name).begin, 0);
  const figures = { numMatrices: modules.length, layers: errors.all(), sourceBytes };
  return { label, ...figures, unfit: found.unfit, dropped, ...written };
}

/** Models that see may have said it inside. */
const formerConfig = ({ config }: RewriteSource): { path: [string, string]; value: undefined }[] =>
  (config.text_config as { quantization_config?: unknown } | undefined)?.quantization_config === undefined
    ? []
    : [{ path: ['text_config', 'quantization_config'], value: undefined }];

class LayerErrors {
  private readonly sums = new Map<number, { numMatrices: number; changed: number; whole: number }>();

  add(layer: number, values: Float32Array, decoded: Float32Array): void {
    const sum = this.sums.get(layer) ?? { numMatrices: 0, changed: 0, whole: 0 };
    this.sums.set(layer, sum);
    sum.numMatrices++;
    for (let i = 0; i < values.length; i++) {
      sum.changed += (values[i]! - decoded[i]!) ** 2;
      sum.whole += values[i]! ** 2;
    }
  }

  all(): LayerError[] {
    return [...this.sums]
      .sort(([a], [b]) => a - b)
      .map(([layer, { numMatrices, changed, whole }]) => {
        return { layer, numMatrices, weightError: whole === 0 ? 0 : Math.sqrt(changed / whole) };
      });
  }
}
