/** Which tensors are kept as something of their own: globs over their names. Pure. */
import type { CHOICE_DTYPES } from '../../../compute/base/weight_matrix.js';

/** `auto`: as it is stored, to the bit; where nothing holds that, f32. */
export type ResidentChoice = (typeof CHOICE_DTYPES)[number] | 'auto';

/** What tensors with such names are kept as; of several that match, the last counts. */
export interface ResidentOverride {
  /** `*` stands for any characters; names are without `model.`, as in `layers.0.*`. */
  readonly glob: string;
  readonly choice: ResidentChoice;
}

/** As the configuration has them, in its order. */
export const overridesOf = (globs: Readonly<Record<string, ResidentChoice>>): ResidentOverride[] =>
  Object.entries(globs).map(([glob, choice]) => ({ glob, choice }));

/** What tensors are to be kept as that belong together, where an override matches one of them; undefined: none does. */
export const overrideFor = (
  overrides: readonly ResidentOverride[],
  names: readonly string[],
): ResidentChoice | undefined =>
  overrides.findLast(({ glob }) => names.some((name) => matchesGlob(glob, name)))?.choice;

/** A tensor's name as overrides have it. */
export const ownName = (name: string): string => name.replace(/^model\./, '');

/** Whether an override is of a tensor. Piece by piece, so that no glob takes long. */
export function matchesGlob(glob: string, name: string): boolean {
  const own = ownName(name);
  const pieces = glob.split('*');
  const [first, last] = [pieces[0]!, pieces.at(-1)!];
  if (pieces.length === 1) return own === glob;
  if (!own.startsWith(first) || !own.endsWith(last) || own.length < first.length + last.length) return false;
  let at = first.length;
  for (const piece of pieces.slice(1, -1)) {
    const found = own.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return at <= own.length - last.length;
}
