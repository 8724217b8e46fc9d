/** Checkpoints with random weights, for experiments: what a model computes is noise, what it costs is real. */
import { join } from 'node:path';
import {
  numBytesOf,
  writeJson,
  writeTensors,
  type TensorSource,
  type WriteOptions,
  type WrittenFiles,
} from '../weights/checkpoint_writer.js';
import type { WritableDtype } from '../weights/dtypes.js';
import { checkRoom } from '../weights/disk_room.js';
import type { JsonObject } from '../weights/model_files.js';
import { writeNewFolder } from '../weights/new_folder.js';
import { modelSpecOf } from './families/registry.js';
import { codedTensors, isCoded, QUANTIZATION_CONFIG, type CodeFormat } from './random_codes.js';
import { RandomFill, repeated } from './random_fill.js';
import { byteTokenizer } from './random_tokenizer.js';
import type { ModelSpec } from './spec/spec.js';
import type { TensorShape } from './spec/tensor_shape.js';
import { tensorShapesOf } from './spec/tensor_shapes.js';
import { storedName } from './stored/located.js';

/** Which model to write, and as what. */
export interface RandomCheckpointOptions extends WriteOptions {
  /** config.json. */
  readonly config: JsonObject;
  readonly dtype: WritableDtype;
  /** What projections are stored as instead. Default null: as all others are. */
  readonly codes?: CodeFormat | null;
  /** A byte-level tokenizer with as many tokens. Default false. */
  readonly hasTokenizer?: boolean;
  /** Whole, 0 … 2⁵³ − 1. A weight depends on seed, tensor and position alone; BF16 has the rounded values of F32. */
  readonly seed: number;
}

/** What was written. */
export interface RandomCheckpoint extends WrittenFiles {
  readonly spec: ModelSpec;
  readonly numParameters: number;
  /** Not where the vocabulary has no room for it. */
  readonly hasTokenizer: boolean;
}

/**
 * Writes config.json, safetensors files and perhaps a tokenizer into a folder that is new or empty; it appears when all is written.
 *
 * @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG; WeightError FOLDER_NOT_EMPTY, WRITE_FAILED; the signal's reason
 */
export async function makeRandomCheckpoint(
  dir: string,
  { config, dtype, codes = null, hasTokenizer = false, seed, ...options }: RandomCheckpointOptions,
): Promise<RandomCheckpoint> {
  const whole = codes === null ? config : { ...config, quantization_config: QUANTIZATION_CONFIG[codes] };
  const spec = modelSpecOf(whole);
  const shapes = [...tensorShapesOf(spec)];
  const numParameters = shapes.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const random = new RandomFill();
  const tensors = shapes.flatMap((tensor) => {
    const stored = { ...tensor, name: storedName(spec.stored, tensor.name) };
    if (codes === null || !isCoded(tensor, codes)) return randomTensor(stored, dtype, seed, random);
    const deviation = deviationOf(tensor.kind, tensor.shape)!;
    return codedTensors(stored.name, [tensor.shape[0]!, tensor.shape[1]!], codes, { deviation, seed, random });
  });
  const numBytes = tensors.reduce((sum, tensor) => sum + numBytesOf(tensor), 0);
  await checkRoom(dir, numBytes, 'give a smaller shape or another folder');
  const tokenizer = hasTokenizer ? byteTokenizer(spec.vocabSize) : null;
  const written = await writeNewFolder(dir, async (partial) => {
    await writeJson(join(partial, 'config.json'), whole);
    for (const [name, json] of Object.entries(tokenizer ?? {})) await writeJson(join(partial, name), json);
    return writeTensors(partial, tensors, options);
  });
  return { spec, numParameters, hasTokenizer: tokenizer !== null, ...written };
}

function randomTensor(
  { name, kind, shape }: TensorShape,
  dtype: WritableDtype,
  seed: number,
  random: RandomFill,
): TensorSource {
  const deviation = deviationOf(kind, shape);
  if (deviation === null) return { name, shape, dtype, fill: repeated(ONE[dtype]) };
  return { name, shape, dtype, fill: random.uniform({ seed, name }, dtype, Math.sqrt(3) * deviation) };
}

/** 1, as it lies in a file. */
const ONE: Readonly<Record<WritableDtype, Uint8Array>> = {
  BF16: Uint8Array.of(0x80, 0x3f),
  F32: Uint8Array.of(0, 0, 0x80, 0x3f),
};

/** Standard deviation that keeps activations near 1; null: the tensor is all ones. */
function deviationOf(kind: TensorShape['kind'], shape: readonly number[]): number | null {
  switch (kind) {
    case 'matrix':
      return shape[1]! ** -0.5;
    case 'embedding':
      return 1;
    case 'bias':
      return 0.01; // of a gate, whose scores lie in 0 … 1
    case 'filter':
      return shape[2]! ** -0.5;
    case 'norm':
      return null;
  }
}
