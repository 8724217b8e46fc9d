/** `experts.routing` where it names no file: 'gate', or a synthetic load as `kind:number:number`. Pure. */
import type { LoadPattern } from '../../experts/routing/synthetic_load.js';

/** What `experts.routing` may be, as messages say it. */
export const ROUTING_ALLOWED =
  'gate, uniform, zipf:ALPHA, k_hot:EXPERTS:SHARE, drift:ALPHA[:STAY], unbalanced:RANKS:SKEW, or the path of a recording';

/** How many numbers each kind takes: at least, at most. */
const NUMBERS: Readonly<Record<string, readonly [number, number]>> = {
  gate: [0, 0],
  uniform: [0, 0],
  zipf: [1, 1],
  k_hot: [2, 2],
  drift: [1, 2],
  unbalanced: [2, 2],
};

/** Whether it is meant as no path, well-formed or not: a path of that kind is written with ./ */
export const isRoutingText = (text: string): boolean => Object.hasOwn(NUMBERS, text.split(':')[0]!);

/** A synthetic load; null for 'gate'. @throws Error: what is wrong with it */
export function parseRoutingText(text: string): LoadPattern | null {
  const [kind, ...rest] = text.split(':') as [string, ...string[]];
  const values = rest.map((value) => (value.trim() === '' ? NaN : Number(value)));
  const [least, most] = NUMBERS[kind]!;
  if (values.length < least || values.length > most || !values.every(Number.isFinite)) {
    const count = least === most ? `${least}` : `${least} or ${most}`;
    throw new Error(`${kind} takes ${count} ${most === 1 ? 'number' : 'numbers'}`);
  }
  const [first, second] = values as [number, number];
  switch (kind) {
    case 'uniform':
      return { kind };
    case 'zipf':
      return { kind, alpha: first };
    case 'k_hot':
      return { kind, numHot: first, hotShare: second };
    case 'drift':
      return { kind, alpha: first, ...(values.length > 1 && { stay: second }) };
    case 'unbalanced':
      return { kind, numRanks: first, skew: second };
    default:
      return null;
  }
}
