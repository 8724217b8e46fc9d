/** Numbers as people read them. Pure. */
import type { LiveTier } from '../../server/live/messages.js';

/** A dash: nothing was measured. */
export const NOTHING = '–';

/** Whole below 10,000 and with thousands from there: 9,876; 12.3 k; 4.56 M. */
export function count(value: number): string {
  if (value < 10_000) return Math.round(value).toLocaleString('en-US');
  return value < 1e6 ? `${digits(value / 1e3)} k` : `${digits(value / 1e6)} M`;
}

/** Tokens per second: a decimal below 100. */
export const rate = (value: number): string => (value < 100 ? value.toFixed(1) : count(value));

/** Milliseconds up to a second, then seconds. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return NOTHING;
  return ms < 999.5 ? `${digits(ms)} ms` : `${digits(ms / 1000)} s`;
}

const BYTE_UNITS = ['B/s', 'KiB/s', 'MiB/s', 'GiB/s'] as const;

/** The unit that a number of bytes per second is read in, and how many bytes it is: a power of 1024. */
export function byteUnit(bytes: number): { readonly name: string; readonly bytes: number } {
  const power = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), BYTE_UNITS.length - 1);
  return { name: BYTE_UNITS[power]!, bytes: 1024 ** power };
}

/** Bytes per second with their unit. */
export function byteRate(bytes: number): string {
  const unit = byteUnit(bytes);
  return `${unit.bytes === 1 ? Math.round(bytes) : digits(bytes / unit.bytes)} ${unit.name}`;
}

/** Whole percents of a share 0 … 1. */
export const percent = (share: number | null): string => (share === null ? NOTHING : `${Math.round(100 * share)} %`);

/** A share of 1 with two decimals. */
export const share = (value: number | null): string => (value === null ? NOTHING : value.toFixed(2));

/** Three digits that count. */
export const digits = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);

/** `1 token`, `2 tokens`. */
export const plural = (n: number, noun: string): string => `${count(n)} ${noun}${n === 1 ? '' : 's'}`;

/** KV blocks that are in use, and those with prefixes beside them. */
export const blocksText = (numUsed: number, numCached: number, numAll: number): string =>
  `${count(numUsed)} of ${count(numAll)}${numCached === 0 ? '' : `, ${count(numCached)} cached`}`;

/** KV blocks in a tier, and their bytes. */
export const tierText = ({ tier, numBlocks, numBytes, maxBytes }: LiveTier): string =>
  `${tier}: ${plural(numBlocks, 'block')}, ${byteSize(numBytes)} of ${byteSize(maxBytes)}`;

/** Bytes with their unit. */
const byteSize = (bytes: number): string => byteRate(bytes).replace('/s', '');

/** Without decimals that are zero: for axes. */
export const short = (text: string): string => text.replace(/(\.\d*?)0+(?=\D|$)/, '$1').replace(/\.(?=\D|$)/, '');
