import { UsageError } from './context.js';

/** A numeric option that must be whole and at least `min`; undefined where it wasn't given. */
export function wholeNumber(name: string, value: number | undefined, min: number): number | undefined {
  if (value === undefined || (Number.isSafeInteger(value) && value >= min)) return value;
  throw new UsageError(`${name} is not a whole number from ${min} on; give one`);
}
