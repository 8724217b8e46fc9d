/** Numbers of a command line: whole, and small enough for what is made of them. */
import { totalmem } from 'node:os';
import { bytes } from '../../metrics/charts.js';
import { UsageError } from './context.js';

/** No count of things that a command makes arrays of, or repeats, is larger: such a number is a slip, and would be memory or time without end. */
export const MAX_COUNT = 2 ** 24;

/** The longest wait that an option may ask for: what timers count up to. */
export const MAX_TIMEOUT_S = Math.floor((2 ** 31 - 1) / 1000);

/** A numeric option that must be whole and within bounds; undefined where it wasn't given. */
export function wholeNumber(name: string, value: number | undefined, min: number, max = MAX_COUNT): number | undefined {
  if (value === undefined || isWithin(value, min, max)) return value;
  throw new UsageError(`${name} is not a whole number from ${min} to ${max}; give one`);
}

/** Any number that a random generator begins with. */
export const seedNumber = (name: string, value: number | undefined): number | undefined =>
  wholeNumber(name, value, 0, Number.MAX_SAFE_INTEGER);

/** A comma list of such numbers. @throws UsageError naming the option and the part that is none */
export function wholeNumbers(name: string, text: string, min = 1, max = MAX_COUNT): number[] {
  return list(text).map((part) => {
    const value = part === '' ? NaN : Number(part);
    if (isWithin(value, min, max)) return value;
    throw new UsageError(
      `${name}: '${part}' is not a whole number from ${min} to ${max}; give a list like ${min},${2 * min}`,
    );
  });
}

/** The parts of a comma list. */
export const list = (text: string): string[] => text.split(',').map((part) => part.trim());

/** Refuses what this machine can't hold, before it is made. @param what whose size it is: '--hidden 4096 and --experts 64' */
export function checkBytes(what: string, numBytes: number): void {
  const most = Math.min(process.availableMemory(), totalmem());
  if (numBytes <= most) return;
  throw new UsageError(
    `${what} take ${bytes(numBytes)}, and this machine has ${bytes(most)} left; give smaller numbers`,
  );
}

const isWithin = (value: number, min: number, max: number): boolean =>
  Number.isSafeInteger(value) && value >= min && value <= max;
