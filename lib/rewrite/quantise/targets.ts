/** Which modules of a checkpoint are quantised, and which tensors stay. */
import type { ModelSpec } from '../../model/spec/spec.js';
import type { TensorShape } from '../../model/spec/tensor_shape.js';
import { tensorShapesOf } from '../../model/spec/tensor_shapes.js';
import { storedName } from '../../model/stored/located.js';
import { moduleMatcher } from '../../model/stored/module_patterns.js';
import { isCoded } from '../../../compute/base/weight_matrix.js';
import { RewriteError } from '../errors.js';
import type { RewriteSource } from '../source.js';
import type { WeightCoding } from './weight_coding.js';

/** Routed experts alone, or all projections: those of attention, dense networks and shared experts too. Never routers, embedding, head or norms. */
export const QUANTISED_PARTS = ['experts', 'all'] as const;
/** One of them. */
export type QuantisedParts = (typeof QUANTISED_PARTS)[number];

/** What is asked for. */
export interface TargetOptions {
  readonly coding: Pick<WeightCoding, 'columnStep' | 'label'>;
  readonly only: QuantisedParts;
  /** Modules that stay as they are: names as files have them, or parts of names, with `*`, or `re:` and a simple expression. */
  readonly ignore: readonly string[];
}

/** A matrix that becomes codes. */
export interface Target {
  /** As the new files call it, without `.weight`. */
  readonly module: string;
  /** By our names, of the matrix or of one of those that lie in it: what tells its layer. */
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  /** Whether {@link name} is all of it; otherwise it is all of the tensor `module.weight`. */
  readonly isWhole: boolean;
}

/** What becomes of a checkpoint. */
export interface Targets {
  readonly targets: readonly Target[];
  /** Stored tensors that targets are made of. */
  readonly replaced: ReadonlySet<string>;
  /** Matrices that were meant, and whose columns are no whole groups. */
  readonly unfit: readonly string[];
}

/** @throws RewriteError NOTHING_TO_DO, also for a pattern that no module has, UNSUITABLE where an expert's matrices would be of several types; WeightError MISSING_TENSOR, SHAPE_MISMATCH */
export function targetsOf({ spec, weights }: Pick<RewriteSource, 'spec' | 'weights'>, options: TargetOptions): Targets {
  const { coding, only } = options;
  checkPatterns(options.ignore, { spec, weights });
  const isIgnored = moduleMatcher(options.ignore);
  const targets = new Map<string, Target>();
  const replaced = new Set<string>();
  const unfit = new Set<string>();
  for (const tensor of tensorShapesOf(spec)) {
    if (!isMeant(tensor, only)) continue;
    const target = targetOf(spec, weights, tensor);
    if (isIgnored(target.module)) continue;
    if (target.columns % coding.columnStep !== 0) {
      if (isExpert(tensor)) throw noGroups(target, coding);
      unfit.add(target.module);
      continue;
    }
    targets.set(target.module, target);
    for (const part of weights.parts(tensor.name)) replaced.add(part.tensor.name);
  }
  if (targets.size === 0) throw nothing(options);
  return { targets: [...targets.values()], replaced, unfit: [...unfit] };
}

const isExpert = ({ name }: TensorShape): boolean => name.includes('.experts.');

/** What is called a projection and is no part of what chooses: experts, or tokens (DeepSeek-V3.2's indexer). */
export function isMeant(tensor: TensorShape, only: QuantisedParts): boolean {
  const { kind, name } = tensor;
  const isProjection = kind === 'matrix' && /_proj(_with_mqa)?\.weight$/.test(name) && !name.includes('.indexer.');
  return isProjection && (only === 'all' || isExpert(tensor));
}

/** Experts by themselves, as readers of these formats have them; projections that lie in one tensor stay together. */
function targetOf(spec: ModelSpec, weights: RewriteSource['weights'], tensor: TensorShape): Target {
  const { name } = tensor;
  const [rows, columns] = tensor.shape as [number, number];
  const own = { module: moduleOf(storedName(spec.stored, name)), name, rows, columns, isWhole: true };
  const [{ tensor: stored }] = weights.parts(name) as [ReturnType<typeof weights.parts>[number]];
  const isShared = stored.shape[0] !== rows && stored.shape.length === 2 && stored.shape[1] === columns;
  if (isExpert(tensor) || !isShared || isCoded(weights.info(name).dtype)) return own;
  return { ...own, module: moduleOf(stored.name), rows: stored.shape[0]!, isWhole: false };
}

/** A module's name by that of its weight. */
export const moduleOf = (weight: string): string => weight.replace(/\.weight$/, '');

/** The layer of a tensor by our names, or what it is where it is of none. */
export const layerOf = (name: string): number => Number(/^model\.layers\.(\d+)\./.exec(name)?.[1] ?? -1);

/** All values of a target. @throws WeightError as the reads of weights; the signal's reason */
export async function valuesOf(
  { weights }: Pick<RewriteSource, 'weights'>,
  { module, name, rows, columns, isWhole }: Target,
  signal?: AbortSignal,
): Promise<Float32Array> {
  if (isWhole) return weights.floats(name, [rows, columns], { signal });
  return weights.checkpoint.read(`${module}.weight`, { signal });
}

/** What scales of four bits are stored as: as the numbers of experts are, where bfloat16 holds them. */
export function storedScales({ spec, weights }: Pick<RewriteSource, 'spec' | 'weights'>): 'BF16' | 'F32' {
  for (const tensor of tensorShapesOf(spec)) {
    if (isMeant(tensor, 'experts'))
      return ['F32', 'F16'].includes(weights.parts(tensor.name)[0]!.tensor.dtype) ? 'F32' : 'BF16';
  }
  return 'BF16';
}

/** Each is of a module, which need not be one that would be quantised. */
function checkPatterns(patterns: readonly string[], { spec, weights }: Pick<RewriteSource, 'spec' | 'weights'>): void {
  if (patterns.length === 0) return;
  const ours = Array.from(tensorShapesOf(spec), ({ name }) => storedName(spec.stored, name));
  const modules = [...ours, ...weights.checkpoint.names()].map(moduleOf);
  const unknown = patterns.find((pattern) => !modules.some(moduleMatcher([pattern])));
  if (unknown === undefined) return;
  const text = `--ignore ${unknown} is no module of the checkpoint; give names such as ${modules.at(-1)!}, with *, or re: and a simple expression`;
  throw new RewriteError('NOTHING_TO_DO', text);
}

function noGroups({ module, columns }: Target, { columnStep, label }: TargetOptions['coding']): RewriteError {
  const fitting = [128, 64, 32, 16, 8].find((size) => columns % size === 0);
  const advice = fitting === undefined ? 'use --format fp8, which takes any sizes' : `give --group ${fitting}`;
  const text = `${module} has ${columns} columns, which are no whole groups of ${columnStep} for ${label}, and an expert's matrices are of one type; ${advice}`;
  return new RewriteError('UNSUITABLE', text);
}

function nothing({ only, ignore }: TargetOptions): RewriteError {
  const what = only === 'experts' ? "routed experts' matrices" : 'projections';
  const why = ignore.length === 0 ? 'the model has none that fit' : `--ignore ${ignore.join(' ')} leaves none`;
  return new RewriteError('NOTHING_TO_DO', `no matrix would be quantised of the ${what}: ${why}; name fewer modules`);
}
