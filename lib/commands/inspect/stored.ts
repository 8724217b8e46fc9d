/** What the files of a model folder hold, told by their headers. */
import type { ModelSpec } from '../../model/spec/spec.js';
import { declaredWeights, rememberedWeights } from '../../model/stored/declared_weights.js';
import { ModelWeights, type KnownWeights } from '../../model/stored/model_weights.js';
import { unusedTensors, type UnusedTensors } from '../../model/weights/rank_tensors.js';
import { tensorShapesOf } from '../../model/spec/tensor_shapes.js';
import { openCheckpoint, type Checkpoint } from '../../weights/checkpoint.js';
import { WeightError } from '../../weights/errors.js';
import type { JsonObject } from '../../weights/model_files.js';

/** Tensors of one element type. */
export interface DtypeCount {
  readonly tensors: number;
  readonly bytes: number;
}

/** Files that are there. */
export interface StoredFiles {
  readonly files: number;
  readonly bytes: number;
  /** By what safetensors calls them. */
  readonly dtypes: Readonly<Record<string, DtypeCount>>;
}

/** What is known of a folder's weights. */
export interface StoredWeights {
  /** Null: they aren't there, or can't be opened. */
  readonly stored: StoredFiles | null;
  /** Of the spec: from the files where these are whole, else from config.json; null without a spec. */
  readonly known: KnownWeights | null;
  /** Whether `known` is from the files. */
  readonly isWhole: boolean;
  readonly unused: UnusedTensors;
  readonly problems: readonly WeightError[];
}

const NOTHING_UNUSED: UnusedTensors = { unknown: [], skipped: [] };

/** Uses what is known while the files are open, and closes them. */
export async function withStored<T>(
  dir: string,
  spec: ModelSpec | null,
  config: JsonObject,
  use: (weights: StoredWeights) => T,
): Promise<T> {
  const opened = await openCheckpoint(dir).catch(asWeightError);
  const declared = spec && declaredWeights(spec, config);
  if (opened instanceof WeightError) {
    const isAbsent = opened.code === 'MODEL_NOT_FOUND'; // a config.json alone
    return use({
      ...{ stored: null, known: declared, isWhole: false, unused: NOTHING_UNUSED },
      problems: isAbsent ? [] : [opened],
    });
  }
  try {
    const stored = filesOf(opened);
    if (spec === null) return use({ stored, known: null, isWhole: false, unused: NOTHING_UNUSED, problems: [] });
    const weights = new ModelWeights(opened, spec);
    const known = foundOf(spec, weights);
    if (known instanceof WeightError) {
      return use({ stored, known: declared, isWhole: false, unused: NOTHING_UNUSED, problems: [known] });
    }
    return use({ stored, known, isWhole: true, unused: unusedTensors(spec, weights), problems: [] });
  } finally {
    await opened.close();
  }
}

function asWeightError(error: unknown): WeightError {
  if (error instanceof WeightError) return error;
  throw error;
}

function filesOf(checkpoint: Checkpoint): StoredFiles {
  const dtypes: Record<string, { tensors: number; bytes: number }> = {};
  let bytes = 0;
  for (const name of checkpoint.names()) {
    const { dtype, begin, end } = checkpoint.info(name);
    const count = (dtypes[dtype] ??= { tensors: 0, bytes: 0 });
    count.tensors++;
    count.bytes += end - begin;
    bytes += end - begin;
  }
  return { files: checkpoint.identities.length, bytes, dtypes };
}

/** Every tensor, or what is wrong with the first that isn't there, or in no form that can be read. */
function foundOf(spec: ModelSpec, weights: ModelWeights): KnownWeights | WeightError {
  try {
    const known = rememberedWeights(weights.infos(() => true));
    for (const { name } of tensorShapesOf(spec)) if (!known.has(name)) weights.info(name);
    return known;
  } catch (error) {
    return asWeightError(error);
  }
}
