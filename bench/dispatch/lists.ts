/** Comma lists of a command line. */
import { UsageError } from '../../lib/commands/context.js';

export const list = (text: string): string[] => text.split(',').map((part) => part.trim());

/** @throws UsageError naming the option and the part that is no number. */
export function wholeNumbers(name: string, text: string, min = 1, max = Number.MAX_SAFE_INTEGER): number[] {
  return list(text).map((part) => {
    const value = part === '' ? NaN : Number(part);
    if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
    const range = max === Number.MAX_SAFE_INTEGER ? `from ${min} on` : `from ${min} to ${max}`;
    throw new UsageError(`--${name}: '${part}' is not a whole number ${range}; give a list like ${min},${2 * min}`);
  });
}
