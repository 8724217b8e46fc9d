/** A checkpoint's weights by the names of tensor_names.ts: whoever loads a model knows no other names, and no formats. Why: docs/decisions/memory.md#one-view-of-a-checkpoint */
import { printable } from '../../../base/foreign_text.js';
import type { StoredMatrix } from '../../../compute/base/stored_matrix.js';
import { matrixOf, type WeightDtype, type WeightMatrix } from '../../../compute/base/weight_matrix.js';
import { openCheckpoint, unreadableDtype, type Checkpoint, type CheckpointOptions } from '../../weights/checkpoint.js';
import { decodeToFloat32 } from '../../weights/dtypes.js';
import type { Fingerprint } from '../../weights/fingerprint.js';
import { partName, type TensorPart } from '../../weights/tensor_part.js';
import type { ModelSpec } from '../spec/spec.js';
import { UNSAID } from '../spec/quantization.js';
import { LM_HEAD } from '../spec/tensor_names.js';
import { tensorShapesOf } from '../spec/tensor_shapes.js';
import { placesOf, storedName, type Located } from './located.js';
import type { Packing, PlainDtype } from './packing.js';
import { unknownDtype, type Folder, type Format, type Shape } from './format.js';
import { fp8Packing } from './fp8.js';
import { mxfp4Packing } from './mxfp4.js';
import { packedIntPacking } from './packed_int.js';
import { nvfp4Packing } from './nvfp4.js';
import { awqPacking } from './awq.js';
import { gptqPacking } from './gptq.js';
import { plainPacking } from './plain.js';
import { readAll, StoredRows, type PackedRows } from './stored_rows.js';
import { SharedParts } from './shared_parts.js';

/** What is known of a tensor before it is read. */
export interface WeightInfo {
  readonly name: string;
  /** As [rows, columns], or [length] of a vector. */
  readonly shape: Shape;
  /** What holds it as it is stored, to the bit: codes and scales where the kernels have their like. */
  readonly dtype: WeightDtype;
  /** The first that it is in. */
  readonly file: string;
}

/** What is known of weights before any is read: from the headers of files, or from config.json alone (declared_weights.ts). */
export type KnownWeights = Pick<ModelWeights, 'has' | 'info' | 'infos'>;

/** How one tensor is read. */
export interface WeightReadOptions {
  /** Ends the read; the signal's reason is thrown. */
  readonly signal?: AbortSignal | undefined;
  /** Gets the bytes as they are on disk, so that hashing needs no second read. */
  readonly fingerprint?: Fingerprint | undefined;
  /** What a matrix will be kept as: rows come as codes and scales where it is the type that holds them. Default: numbers. */
  readonly as?: WeightDtype | undefined;
}

/** Opens a model folder's weights. @throws WeightError as {@link openCheckpoint} */
export async function openWeights(
  dir: string,
  spec: ModelSpec,
  options: CheckpointOptions = {},
): Promise<ModelWeights> {
  return new ModelWeights(await openCheckpoint(dir, options), spec);
}

/** The view. What a checkpoint holds that no model of this spec has isn't seen. */
export class ModelWeights {
  private readonly shapes: ReadonlyMap<string, Shape>;
  private readonly shared: SharedParts;
  private readonly folder: Folder;

  constructor(
    readonly checkpoint: Checkpoint,
    private readonly spec: ModelSpec,
  ) {
    const { vocabSize, hiddenSize } = spec;
    const all = Array.from(tensorShapesOf(spec), ({ name, shape }) => [name, shape as Shape] as const);
    this.shapes = new Map([[LM_HEAD, [vocabSize, hiddenSize]], ...all]);
    this.shared = new SharedParts(checkpoint);
    let hasScales: boolean | undefined;
    this.folder = {
      checkpoint,
      quantization: spec.quantization ?? UNSAID,
      hasScales: () =>
        (hasScales ??= spec.quantization !== null || checkpoint.names().some((name) => SCALES.test(name))),
    };
  }

  /** Whether the checkpoint holds a tensor. @throws WeightError where it does in a form that can't be read */
  has(name: string): boolean {
    const shape = this.shapes.get(name);
    return shape !== undefined && this.find(name, shape) !== undefined;
  }

  /** All tensors of the spec that the checkpoint holds. @throws WeightError as {@link has} */
  names(): string[] {
    return [...this.shapes.keys()].filter((name) => this.has(name));
  }

  /** What the files call all tensors that some of the spec's are made of. @throws WeightError as {@link has} */
  storedNames(): Set<string> {
    const parts = [...this.shapes].flatMap(([name, shape]) => this.find(name, shape)?.parts ?? []);
    return new Set(parts.map(({ tensor }) => tensor.name));
  }

  /** @throws WeightError MISSING_TENSOR, SHAPE_MISMATCH, UNKNOWN_DTYPE */
  info(name: string): WeightInfo {
    const shape = this.shapeOf(name);
    return infoOf(name, shape, this.packing(name, shape));
  }

  /** Of all tensors that are wanted and there. @throws WeightError as {@link has} */
  infos(isWanted: (name: string) => boolean): WeightInfo[] {
    return [...this.shapes].flatMap(([name, shape]) => {
      const found = isWanted(name) ? this.find(name, shape) : undefined;
      return found === undefined ? [] : [infoOf(name, shape, found)];
    });
  }

  /** What it is made of. @throws WeightError as {@link info} */
  parts(name: string): readonly TensorPart[] {
    return this.packing(name, this.shapeOf(name)).parts;
  }

  /** Bytes on disk of some tensors, of each as often as it is named; what the three matrices of an expert share counts once for all of them. @throws WeightError as {@link info} */
  totalBytes(names: readonly string[]): number {
    let sum = 0;
    for (const name of names) {
      const isSecond = name.endsWith('.up_proj.weight') || name.endsWith('.up_proj.bias');
      for (const { rowBytes, numBytes, offset, tensor } of this.packing(name, this.shapeOf(name)).parts) {
        const gate = rowBytes === null && isSecond ? this.parts(name.replace('.up_proj.', '.gate_proj.')) : [];
        if (!gate.some((part) => part.tensor === tensor && part.offset === offset)) sum += numBytes;
      }
    }
    return sum;
  }

  /** All values as float32, in the order of the shape. @throws WeightError as {@link info}; MALFORMED_SAFETENSORS, READ_FAILED, CLOSED */
  async floats(name: string, shape: Shape, options: WeightReadOptions = {}): Promise<Float32Array<ArrayBuffer>> {
    const packing = this.packing(name, shape);
    return decodeToFloat32(await this.bytesOf(packing, shape, options), DTYPES[packing.dtype]);
  }

  /** A matrix: f32 or bf16 as it is stored, anything else as what it decodes to, or codes and scales. @throws WeightError as {@link floats} */
  async matrix(
    name: string,
    shape: readonly [rows: number, columns: number],
    options: WeightReadOptions = {},
  ): Promise<WeightMatrix> {
    const [rows, columns] = shape;
    const packing = rowsAs(this.packing(name, shape), options.as);
    const { dtype } = packing;
    const bytes = await this.bytesOf(packing, shape, options);
    return dtype === 'f16'
      ? matrixOf(decodeToFloat32(bytes, DTYPES.f16), rows, columns)
      : { dtype, rows, columns, bytes };
  }

  /** A matrix whose rows are read when they are asked for. @throws WeightError as {@link info}; its reads as {@link floats} */
  stored(
    name: string,
    shape: readonly [rows: number, columns: number],
    { signal, as }: Pick<WeightReadOptions, 'signal' | 'as'> = {},
  ): StoredMatrix {
    return new StoredRows(this.shared, rowsAs(this.packing(name, shape), as), shape, signal);
  }

  /** Closes the checkpoint. Idempotent. */
  close(): Promise<void> {
    return this.checkpoint.close();
  }

  private bytesOf(
    packing: PackedRows,
    shape: Shape,
    { signal, fingerprint }: WeightReadOptions,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const read = (part: TensorPart, bytes: Uint8Array): void => fingerprint?.add(partName(part), bytes);
    return readAll(this.shared, packing, shape, signal, read);
  }

  /** Of a tensor of the spec. */
  private shapeOf(name: string): Shape {
    const shape = this.shapes.get(name);
    if (shape !== undefined) return shape;
    throw this.checkpoint.missingTensor(printable(name));
  }

  private packing(name: string, shape: Shape): Packing {
    const found = this.find(name, shape);
    if (found !== undefined) return found;
    throw this.checkpoint.missingTensor(storedName(this.spec.stored, name));
  }

  /** Inputs that are multiplied channel by channel before the product are a form of their own. @throws WeightError UNKNOWN_DTYPE */
  private checked(found: Packing, { base }: Located): Packing {
    const scales = this.checkpoint.find(`${base}.pre_quant_scale`);
    if (scales !== undefined) throw unknownDtype(scales, 'of inputs');
    return found;
  }

  private find(name: string, shape: Shape): Packing | undefined {
    for (const at of placesOf(this.spec, name, shape[0])) {
      for (const format of FORMATS) {
        const found = format(this.folder, at, shape);
        if (found !== undefined) return this.checked(found, at);
      }
    }
    for (const { base, ending } of placesOf(this.spec, name, shape[0])) {
      const partner = missingPartner(this.checkpoint, base);
      if (partner !== undefined) throw this.checkpoint.missingTensor(base + partner);
      const tensor = this.checkpoint.find(base + ending);
      if (tensor !== undefined) throw unreadableDtype(tensor);
    }
    return undefined;
  }
}

/** In the order in which they are looked for. */
const FORMATS: readonly Format[] = [
  plainPacking,
  fp8Packing,
  mxfp4Packing,
  packedIntPacking,
  nvfp4Packing,
  awqPacking,
  gptqPacking,
];

/** What packed weights lack at a place; undefined: nothing, or none are there. */
function missingPartner(checkpoint: Checkpoint, base: string): string | undefined {
  const isU8 = (ending: string): boolean => checkpoint.find(base + ending)?.dtype === 'U8';
  const has = (ending: string): boolean => checkpoint.find(base + ending) !== undefined;
  const needed = [
    ...(has('.weight_packed') ? ['.weight_scale'] : []),
    ...(isU8('.weight_packed') && !isU8('.weight_scale') ? ['.weight_global_scale'] : []),
    ...(isU8('.weight') && has('.weight_scale') ? ['.weight_scale_2'] : []),
    ...(has('.qweight') ? ['.qzeros', '.scales'] : []),
    ...(has('_blocks') ? ['_scales'] : []),
  ];
  return needed.find((ending) => !has(ending));
}

/** What scales of weights are called. */
const SCALES = /(weight|proj)(_scale|_scale_inv|\.scale)$|\.weight_global_scale$/;

const infoOf = (name: string, shape: Shape, { dtype, parts, coded }: Packing): WeightInfo => ({
  ...{ name, shape, file: parts[0]!.tensor.file },
  dtype: coded?.dtype ?? (dtype === 'f16' ? 'f32' : dtype),
});

const rowsAs = ({ dtype, parts, decode, coded }: Packing, as: WeightDtype | undefined): PackedRows =>
  coded !== undefined && coded.dtype === as ? { parts, ...coded } : { dtype, parts, decode };

const DTYPES = { bf16: 'BF16', f16: 'F16', f32: 'F32' } as const satisfies Record<PlainDtype, string>;
