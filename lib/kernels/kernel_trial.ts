/** What a machine's Node can do with the kernels, from what trials in processes of their own told. Pure. Why: docs/decisions/kernels.md#a-trial-decides */

import { mayBeWide } from './newer_node.js';

/** The two ways to sum products, each as wide as V8 makes it. */
export type TrialWay = 'plain' | 'fused';

/** One thing that a trial's process tells. */
export type Told =
  /** Bits of a small model. `bits`: as wide as V8 made the operations. */
  | { readonly kind: 'digest'; readonly way: TrialWay; readonly bits: 128 | 256; readonly digest: string }
  /** Whether a fused multiply-add is rounded once here. */
  | { readonly kind: 'fuses'; readonly isFused: boolean }
  /** The rows of the fastest tile, and how long a product takes with it. */
  | {
      readonly kind: 'tile';
      readonly way: TrialWay;
      readonly bits: 128 | 256;
      readonly rows: number;
      readonly us: number;
    };

/** How a reason begins that isn't the trial's: the next time may be another. */
export const NOT_STARTED = 'its trial did not start';

/** All that a process told, and how it ended if not by itself. */
export interface TrialEnd {
  readonly told: readonly Told[];
  /** Null: it ended well. */
  readonly reason: string | null;
  /** What it and V8 said on standard error. */
  readonly log: string;
}

/** Why something isn't to be had: this Node or processor has no such thing, or it has and computes wrongly. */
export interface Lack {
  readonly kind: 'lacking' | 'failed';
  readonly why: string;
}

/** What kernels may be here. */
export interface KernelTrial {
  /** Null: V8 makes 256-bit operations of 128-bit ones, with the same bits and in less time. */
  readonly lacks256: Lack | null;
  /** Null: products are summed with one rounding, with the same bits before and behind V8's optimisation. */
  readonly lacksFma: Lack | null;
  /** Rows of the fastest tiles, as {@link tileKey} names them; what is missing was not tried. */
  readonly tileRows: Readonly<Record<string, number>>;
  /** Time of a product at 128 bits / at 256. Null where that was not measured. */
  readonly gain: number | null;
}

/** Of a machine of which nothing is known: everything stays plain. */
export const UNTRIED: KernelTrial = {
  lacks256: { kind: 'lacking', why: 'nothing was tried' },
  lacksFma: { kind: 'lacking', why: 'nothing was tried' },
  tileRows: {},
  gain: null,
};

/** Name of a tile in {@link KernelTrial.tileRows}: 'plain 128'. */
export const tileKey = (way: TrialWay, bits: 128 | 256): string => `${way} ${bits}`;

/** A product must take so much longer at 128 bits, or the flag did nothing. */
export const LEAST_GAIN = 1.3;

/**
 * @param bits of the process that computes before V8 optimises, and never at 256 bits
 * @param width of the one in which V8 optimises everything: products fused at 128 bits, then all at 256 if it can
 */
export function judgeTrial(bits: TrialEnd, width: TrialEnd, { node }: { readonly node: string }): KernelTrial {
  const tiles = width.told.filter((each) => each.kind === 'tile');
  const usOf = (way: TrialWay, wide: 128 | 256): number | undefined =>
    tiles.find((tile) => tile.way === way && tile.bits === wide)?.us;
  const [narrow, wide] = [usOf('plain', 128), usOf('plain', 256)];
  const gain = narrow === undefined || wide === undefined ? null : narrow / wide;
  return {
    lacks256: lackOf256(bits, width, gain, node),
    lacksFma: lackOfFma(bits, width),
    tileRows: Object.fromEntries(tiles.map(({ way, bits: its, rows }) => [tileKey(way, its), rows])),
    gain,
  };
}

function lackOf256(bits: TrialEnd, width: TrialEnd, gain: number | null, node: string): Lack | null {
  if (!mayBeWide(node) || width.log.includes('unrecognized flag --experimental-wasm-revectorize'))
    return { kind: 'lacking', why: `Node ${node} has no 256-bit SIMD for WebAssembly` };
  if (width.reason !== null) return failed(width.reason);
  if (bits.reason !== null) return failed(bits.reason);
  if (gain === null || gain < LEAST_GAIN)
    return { kind: 'lacking', why: `on this processor, Node ${node} makes no 256-bit SIMD of WebAssembly's` };
  return isSame('plain', 256, bits, width) ? null : failed('it computed other bits than 128-bit SIMD');
}

function lackOfFma(bits: TrialEnd, width: TrialEnd): Lack | null {
  const probe = bits.told.find((each) => each.kind === 'fuses');
  if (probe?.isFused === false) return { kind: 'lacking', why: 'this processor rounds products and sums apart' };
  if (bits.reason !== null) return failed(bits.reason);
  if (probe === undefined) return failed('it told nothing');
  if (digestOf('fused', 128, width) === undefined) return failed(width.reason ?? 'it told nothing');
  // Where the second process ended at 256 bits, it has shown before what runs at 128.
  const isWide = digestOf('fused', 256, width) !== undefined;
  const isSteady = isSame('fused', 128, bits, width) && (!isWide || isSame('fused', 256, bits, width));
  return isSteady ? null : failed('its bits depend on V8');
}

const failed = (why: string): Lack => ({ kind: 'failed', why });

const digestOf = (way: TrialWay, bits: 128 | 256, { told }: TrialEnd): string | undefined =>
  told.filter((each) => each.kind === 'digest').find((each) => each.way === way && each.bits === bits)?.digest;

/** Whether the second process, so wide, has the bits of the first. */
function isSame(way: TrialWay, wide: 128 | 256, bits: TrialEnd, width: TrialEnd): boolean {
  const digest = digestOf(way, 128, bits);
  return digest !== undefined && digest === digestOf(way, wide, width);
}
