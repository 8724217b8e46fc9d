/** The tensors of a checkpoint that is quantised: codes of its targets, and all others as they are, or decoded where they were codes. */
import { isCoded, bf16Of } from '../../../compute/base/weight_matrix.js';
import { tensorShapesOf } from '../../model/spec/tensor_shapes.js';
import { storedName } from '../../model/stored/located.js';
import type { Checkpoint } from '../../weights/checkpoint.js';
import type { TensorSource } from '../../weights/checkpoint_writer.js';
import { isSupportedDtype } from '../../weights/dtypes.js';
import type { TensorInfo } from '../../weights/safetensors_header.js';
import { RewriteError } from '../errors.js';
import { copiedTensor, madeTensor, madeTogether } from '../new_tensors.js';
import type { RewriteSource } from '../source.js';
import { notFinite } from './not_finite.js';
import { scale, type Factors } from './scaling.js';
import { moduleOf, valuesOf, type Target, type Targets } from './targets.js';
import type { WeightCoding } from './weight_coding.js';

/** How they are made. */
export interface NewWeightsOptions {
  readonly coding: WeightCoding;
  /** Whether codes may be decoded. */
  readonly mayDecode: boolean;
  /** What tensors are multiplied with before they are rounded or written, by our names. */
  readonly factors: ReadonlyMap<string, Factors>;
  /** Told of each target when it is made: its values, and what readers make of its codes. */
  readonly onMade: (target: Target, values: Float32Array, decoded: Float32Array) => void;
  readonly signal?: AbortSignal | undefined;
}

/** What the new files hold. */
export interface NewWeights {
  readonly tensors: readonly TensorSource[];
  /** Modules with matrices that aren't codes. */
  readonly left: readonly string[];
  /** Stored tensors of codes that belong to no part of the model that runs here. */
  readonly dropped: readonly string[];
}

/** @throws RewriteError ALREADY_QUANTISED; WeightError as the view of weights */
export function newWeights(source: RewriteSource, found: Targets, options: NewWeightsOptions): NewWeights {
  const { weights } = source;
  const { checkpoint } = weights;
  const { packed, stranded } = namesToDecode(source, found);
  if (!options.mayDecode) checkNumbers(source, found);
  const isTarget = isTargetIn(source, found);
  const decoded = [...new Set([...packed, ...stranded])].filter((name) => !isTarget(name));
  const gone = new Set([
    ...found.replaced,
    ...decoded.flatMap((name) => weights.parts(name).map((part) => part.tensor.name)),
  ]);
  const used = packed.length > 0 ? weights.storedNames() : null;
  const names = checkpoint.names();
  const kept = names.filter((name) => !gone.has(name) && (used?.has(name) ?? true));
  const scaled = scaledNames(source, options.factors, gone);
  const plain = [
    ...kept.map((name) => {
      const factors = scaled.get(name);
      const tensor = checkpoint.info(name);
      return factors === undefined
        ? copiedTensor(checkpoint, tensor)
        : scaledTensor(checkpoint, tensor, factors, options.signal);
    }),
    ...decoded.map((name) => decodedTensor(source, name, options)),
  ];
  const coded = found.targets.map((target) => targetTensors(source, target, options));
  const left = plain.filter(({ name, shape }) => name.endsWith('.weight') && shape.length > 1);
  return {
    tensors: inOrder([...plain.map((tensor) => [tensor]), ...coded]),
    left: left.map(({ name }) => moduleOf(name)),
    dropped: used === null ? [] : names.filter((name) => !used.has(name)),
  };
}

/** @throws RewriteError ALREADY_QUANTISED; WeightError as the view of weights */
export function checkNumbers(source: RewriteSource, found: Targets): void {
  const [coded] = namesToDecode(source, found).packed;
  if (coded !== undefined) throw alreadyQuantised(source, coded);
}

/** Tensors of the spec, by our names: those stored as anything but numbers, and those that lie in one with a target. */
function namesToDecode(source: RewriteSource, { replaced }: Targets): Record<'packed' | 'stranded', string[]> {
  const { spec, weights } = source;
  const stored = [...tensorShapesOf(spec)].flatMap(({ name }) => {
    return weights.has(name) ? [{ name, tensors: weights.parts(name).map(({ tensor }) => tensor) }] : [];
  });
  const having = (is: (tensor: TensorInfo) => boolean): string[] =>
    stored.filter(({ tensors }) => tensors.some(is)).map(({ name }) => name);
  return {
    packed: having(({ dtype }) => !isSupportedDtype(dtype)),
    stranded: having((tensor) => replaced.has(tensor.name)),
  };
}

function isTargetIn({ spec, weights }: RewriteSource, { targets }: Targets): (name: string) => boolean {
  const modules = new Set(targets.map(({ module }) => module));
  return (name) =>
    modules.has(moduleOf(storedName(spec.stored, name))) || modules.has(moduleOf(weights.parts(name)[0]!.tensor.name));
}

/** What is multiplied and otherwise as it was, by its stored name: tensors that lie in one have the same factors. */
function scaledNames(
  { weights }: RewriteSource,
  all: ReadonlyMap<string, Factors>,
  gone: ReadonlySet<string>,
): Map<string, Factors> {
  const scaled = new Map<string, Factors>();
  for (const [name, factors] of all) {
    const { tensor } = weights.parts(name)[0]!;
    if (!gone.has(tensor.name)) scaled.set(tensor.name, factors);
  }
  return scaled;
}

function targetTensors(source: RewriteSource, target: Target, options: NewWeightsOptions): readonly TensorSource[] {
  const { coding, factors, onMade, signal } = options;
  const { module, name, rows, columns } = target;
  return madeTogether(coding.heads(module, rows, columns), async () => {
    const values = await valuesOf(source, target, signal);
    scale(values, columns, factors.get(name));
    const made = coding.encode({ values, rows, columns });
    if (made === null) throw notFinite(module, coding);
    onMade(target, values, made.decoded);
    return made.bytes;
  });
}

/** As bfloat16, which every reader takes, or as float32 where it is numbers that bfloat16 can't hold. */
function decodedTensor(
  { spec, weights }: RewriteSource,
  name: string,
  { factors, signal }: Pick<NewWeightsOptions, 'factors' | 'signal'>,
): TensorSource {
  const { shape } = weights.info(name);
  const { dtype } = weights.parts(name)[0]!.tensor;
  return floatTensor({ name: storedName(spec.stored, name), shape }, dtype, async () => {
    const values = await weights.floats(name, shape, { signal });
    scale(values, shape.at(-1)!, factors.get(name));
    return values;
  });
}

function scaledTensor(
  checkpoint: Checkpoint,
  { name, shape, dtype }: TensorInfo,
  factors: Factors,
  signal?: AbortSignal,
): TensorSource {
  return floatTensor({ name, shape }, dtype, async () => {
    const values = await checkpoint.read(name, { signal });
    scale(values, shape.at(-1)!, factors);
    return values;
  });
}

/** @param was how the numbers were stored that these are made of */
function floatTensor(
  head: Pick<TensorSource, 'name' | 'shape'>,
  was: string,
  make: () => Promise<Float32Array>,
): TensorSource {
  const isWide = ['F32', 'F16'].includes(was);
  return madeTensor({ ...head, dtype: isWide ? 'F32' : 'BF16' }, async () => {
    const values = await make();
    return isWide ? new Uint8Array(values.buffer, values.byteOffset, values.byteLength) : bf16Of(values);
  });
}

/** Layers and experts by their numbers: what is read together lies together. */
function inOrder(groups: (readonly TensorSource[])[]): TensorSource[] {
  const { compare } = new Intl.Collator('en', { numeric: true });
  return groups.sort(([a], [b]) => compare(a!.name, b!.name)).flat();
}

function alreadyQuantised({ dir, spec, weights }: RewriteSource, name: string): RewriteError {
  const { dtype } = weights.info(name);
  const what = spec.quantization?.method ?? (isCoded(dtype) ? dtype : weights.parts(name)[0]!.tensor.dtype);
  const text = `the weights of ${dir} are quantised already (${what}); give the checkpoint that they were made of, or --decode to round what they decode to`;
  return new RewriteError('ALREADY_QUANTISED', text);
}
