/** Numbers as a paper has them: as many digits as their interval leaves meaning to. Pure. */
import { durationText as roughDurationText } from '../file/estimate.js';
import type { Spread } from '../summary/summary.js';

/** A unit as a column shows it, and by what its figures are divided. */
export interface ShownUnit {
  readonly unit: string;
  readonly divisor: number;
}

/** A spread that is smaller, to the mean, is of sums in another order. */
const NOISE = 1e-6;

const BINARY = ['', 'Ki', 'Mi', 'Gi', 'Ti'];

/** One for all figures of a column: bytes as KiB, MiB, so that the largest is below 1024. */
export function shownUnit(unit: string, values: readonly number[]): ShownUnit {
  if (!/^B(\/|$)/.test(unit)) return { unit, divisor: 1 };
  const highest = Math.max(0, ...values.map(Math.abs));
  const power = Math.min(BINARY.length - 1, highest < 1 ? 0 : Math.floor(Math.log2(highest) / 10));
  return { unit: `${BINARY[power]!}${unit}`, divisor: 1024 ** power };
}

/** '123.4 ± 2.1': the mean and half its interval, which has two digits that mean something; without an interval the mean alone. */
export function meanText({ mean, ci, n }: Spread, divisor = 1): string {
  const half = ci === null ? 0 : (ci[1] - ci[0]) / 2 / divisor;
  const value = mean / divisor;
  if (n === 1 || half <= NOISE * Math.abs(value)) return numberText(value);
  if (isExtreme(Math.max(Math.abs(value), half))) return scientific(value, half);
  const decimals = decimalsOf(half);
  return `${fixed(value, decimals)} ± ${fixed(half, decimals)}`;
}

/** Whole numbers whole, others to four digits. */
export function numberText(value: number): string {
  if (value === 0) return '0';
  if (isExtreme(Math.abs(value))) return scientific(value, null);
  if (Number.isInteger(value)) return fixed(value, 0);
  return fixed(value, Math.max(0, 3 - magnitudeOf(value)));
}

/** '1.50× [1.42, 1.58]'; without an interval the mean alone. Ends that are far from each other have three digits each. */
export function ratioText({ mean, ci }: Spread): string {
  const half = ci === null ? 0 : (ci[1] - ci[0]) / 2;
  if (ci === null || half <= NOISE * mean)
    return `${mean === 1 ? '1' : isFar(mean) ? threeDigits(mean) : fixed(mean, Math.max(2, 2 - magnitudeOf(mean)))}×`;
  const all = [mean, ...ci] as const;
  const texts =
    all.some(isFar) || ci[1] > MAX_WIDTH * ci[0]
      ? all.map(threeDigits)
      : all.map((value) => fixed(value, Math.min(Math.max(3, 2 - magnitudeOf(mean)), Math.max(2, decimalsOf(half)))));
  return `${texts[0]!}× [${texts[1]!}, ${texts[2]!}]`;
}

/** Of an interval's ends, the higher to the lower: beyond, no number of decimals suits both. */
const MAX_WIDTH = 100;

const isFar = (value: number): boolean => value < 1e-3 || value >= 1000;

function threeDigits(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return value === 0 ? '0' : '∞';
  if (value < 1e-3 || value >= 1e6) return scientific(value, null);
  return fixed(value, Math.max(0, 2 - magnitudeOf(value)));
}

/** '1 h 5 min', '12 s', '230 ms'. */
export function durationText(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : roughDurationText(ms);
}

const magnitudeOf = (value: number): number => Math.floor(Math.log10(Math.abs(value)));
/** So that two digits of it stand; of whole numbers all do. */
const decimalsOf = (half: number): number => Math.max(0, 1 - magnitudeOf(half));
const isExtreme = (value: number): boolean => value > 0 && (value < 1e-3 || value >= 1e12);

/** With thousands apart, and a minus sign where it isn't 0. */
const fixed = (value: number, decimals: number): string => {
  const [whole, fraction = ''] = Math.abs(value).toFixed(decimals).split('.');
  const text = whole!.replaceAll(/\B(?=(\d{3})+$)/g, ',') + (fraction === '' ? '' : `.${fraction}`);
  return value < 0 && /[1-9]/.test(text) ? `−${text}` : text;
};

const superscript = (power: number): string =>
  String(power).replaceAll(/./g, (sign) => (sign === '-' ? '⁻' : '⁰¹²³⁴⁵⁶⁷⁸⁹'[Number(sign)]!));

/** '1.23·10⁻⁶', '(1.23 ± 0.04)·10⁻⁶'. */
function scientific(value: number, half: number | null): string {
  const power = magnitudeOf(Math.max(Math.abs(value), half ?? 0));
  const raised = superscript(power);
  if (half === null) return `${fixed(value / 10 ** power, 2)}·10${raised}`;
  const decimals = Math.min(4, decimalsOf(half / 10 ** power));
  return `(${fixed(value / 10 ** power, decimals)} ± ${fixed(half / 10 ** power, decimals)})·10${raised}`;
}
