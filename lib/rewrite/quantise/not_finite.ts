import { RewriteError } from '../errors.js';
import type { WeightCoding } from './weight_coding.js';

/** A matrix has a value without a code. */
export function notFinite(module: string, { label }: Pick<WeightCoding, 'label'>): RewriteError {
  const text = `${module} holds NaN, infinity or a number too large for ${label}; check the checkpoint, or leave it out: --ignore ${module}`;
  return new RewriteError('NOT_FINITE', text);
}
