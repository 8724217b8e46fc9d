/** Overrides that can't do what they say: names that no tensor has, and tensors that are never kept as anything else. Pure. */
import { closest } from 'fastest-levenshtein';
import { isCoded } from '../../../compute/base/weight_matrix.js';
import { isNear } from '../../config/layers.js';
import type { ModelSpec } from '../spec/spec.js';
import { LM_HEAD } from '../spec/tensor_names.js';
import { tensorShapesOf } from '../spec/tensor_shapes.js';
import { isExpertTensor } from './rank_tensors.js';
import { isNeverCoded } from './residence.js';
import { matchesGlob, ownName, type ResidentOverride } from './resident_overrides.js';

/** What is wrong with the first of them that is wrong, and what to write instead; null: each one says something of some tensor. */
export function overrideProblem(overrides: readonly ResidentOverride[], spec: ModelSpec): string | null {
  if (overrides.length === 0) return null;
  const known = Array.from(tensorShapesOf(spec), ({ name, shape }) => ({ name, isMatrix: shape.length === 2 }));
  const tensors = [...known, { name: LM_HEAD, isMatrix: true }]; // a checkpoint may have one where none is needed
  const names = tensors.map(({ name }) => name);
  for (const { glob, choice } of overrides) {
    const matched = tensors.filter(({ name }) => matchesGlob(glob, name));
    if (matched.length === 0) return `has "${glob}", which no tensor of the model matches; ${advice(glob, names)}`;
    const matrices = matched.filter(({ isMatrix }) => isMatrix);
    if (matrices.length === 0) {
      return `has "${glob}", which matches vectors alone, and those are float32 always; name matrices, or remove it`;
    }
    if (isCoded(choice) && matrices.every(({ name }) => isNeverCoded(name))) {
      return `keeps "${glob}" as ${choice}, and gates and the embedding are never codes; give bf16 or f32, or remove it`;
    }
  }
  return null;
}

function advice(glob: string, names: readonly string[]): string {
  const near = nearGlob(glob, names);
  if (near !== undefined) return `did you mean "${near}"?`;
  const like = names.find(isExpertTensor) ?? names[0]!;
  return `names are like ${ownName(like)}, and * stands for any characters`;
}

/** The same without `model.`, with words that occur in place of those that don't, or with all that follows; undefined: none of these matches. */
function nearGlob(glob: string, names: readonly string[]): string | undefined {
  const words = [...new Set(names.flatMap((name) => ownName(name).split('.')))];
  const known = ownName(glob)
    .split('.')
    .map((word) => (word.includes('*') || words.includes(word) ? word : nearWord(word, words)))
    .join('.');
  return [ownName(glob), known, `${known}.*`].find(
    (each) => each !== glob && names.some((name) => matchesGlob(each, name)),
  );
}

function nearWord(word: string, words: readonly string[]): string {
  const near = closest(word, words);
  return /^\d/.test(word) || !isNear(word, near) ? word : near;
}
