/** What is measured: every combination of the dimensions. */
import { UsageError } from '../../lib/commands/base/context.js';
import { WIRE_DTYPES } from '../../comm/index.js';
import { list, wholeNumbers } from '../../lib/commands/base/numbers.js';
import { TRANSPORTS, type Transport } from './base/transport.js';
import { combineDtypeFor } from './base/wire.js';

/** One combination. */
export interface Setting {
  readonly ranks: number;
  /** Per rank. */
  readonly tokens: number;
  readonly hidden: number;
  readonly topk: number;
  readonly experts: number;
  /** Of dispatch; or a codec's name. */
  readonly dtype: string;
  readonly combineDtype: string;
  /** 'uniform', 'zipf' (exponent 1) or 'zipf:EXPONENT'. */
  readonly skew: string;
  readonly transport: Transport;
}

/** The dimensions as given: comma lists. */
export interface GivenDimensions {
  readonly ranks?: string | undefined;
  readonly tokens?: string | undefined;
  readonly hidden?: string | undefined;
  readonly topk?: string | undefined;
  readonly experts?: string | undefined;
  readonly dtype?: string | undefined;
  readonly 'combine-dtype'?: string | undefined;
  readonly skew?: string | undefined;
  readonly transport?: string | undefined;
}

type Dimensions = Readonly<Record<Exclude<keyof GivenDimensions, 'combine-dtype'>, string>>;

/** What is measured where nothing is given: it ends within a minute and a half. */
export const DEFAULTS: Dimensions = {
  ranks: '2',
  tokens: '1,128,4096',
  hidden: '1024',
  topk: '8',
  experts: '64',
  dtype: WIRE_DTYPES.join(','),
  skew: 'uniform',
  transport: 'ws',
};

/** With `--all`. */
export const ALL: Dimensions = {
  ...DEFAULTS,
  ranks: '2,4,8',
  hidden: '1024,7168',
  experts: '64,256',
  skew: 'uniform,zipf',
  transport: TRANSPORTS.join(','),
};

const MAX_RANKS = 64;
const ZIPF = /^zipf(?::(\d+(?:\.\d+)?))?$/;

/** `codecs`: names that plug-ins brought. @throws UsageError naming the option. */
export function settingsOf(given: GivenDimensions, isAll: boolean, codecs: readonly string[] = []): Setting[] {
  const forms: readonly string[] = [...WIRE_DTYPES, ...codecs];
  const lists = isAll ? ALL : DEFAULTS;
  const numbers = (name: keyof Dimensions, min = 1, max?: number): number[] =>
    wholeNumbers(`--${name}`, given[name] ?? lists[name], min, max);
  const experts = numbers('experts');
  const dtypes = named('dtype', given.dtype ?? [lists.dtype, ...codecs].join(), forms);
  const combine = given['combine-dtype'];
  const combineDtypes = combine === undefined ? undefined : named('combine-dtype', combine, forms);
  const transports = named('transport', given.transport ?? lists.transport, TRANSPORTS);
  return product({
    transport: transports,
    ranks: numbers('ranks', 2, MAX_RANKS),
    hidden: numbers('hidden'),
    topk: numbers('topk').map((topk) => checkTopk(topk, experts)),
    experts,
    skew: list(given.skew ?? lists.skew).map(checkSkew),
    tokens: numbers('tokens'),
    wire: dtypes.flatMap((dtype) => (combineDtypes ?? [combineDtypeFor(dtype)]).map((back) => [dtype, back] as const)),
  }).map(({ wire: [dtype, combineDtype], ...rest }) => ({ ...rest, dtype, combineDtype }));
}

/** The exponent of the Zipf law. */
export const alphaOf = (skew: string): number => (skew === 'uniform' ? 0 : Number(ZIPF.exec(skew)?.[1] ?? 1));

function checkSkew(skew: string): string {
  if (skew === 'uniform' || ZIPF.test(skew)) return skew;
  throw new UsageError(`--skew: there is no '${skew}'; give uniform, zipf or zipf:EXPONENT`);
}

function checkTopk(topk: number, experts: readonly number[]): number {
  const fewest = Math.min(...experts);
  if (topk <= fewest) return topk;
  throw new UsageError(`--topk: ${topk} of ${fewest} experts can't be chosen; give at most as many as --experts`);
}

function named<T extends string>(name: string, given: string, known: readonly T[]): T[] {
  return list(given).map((text) => {
    const found = known.find((value) => value === text);
    if (found !== undefined) return found;
    throw new UsageError(`--${name}: there is no '${text}'; give ${known.join(', ')}`);
  });
}

/** Every combination, the last dimension fastest. */
function product<T extends Readonly<Record<string, unknown>>>(lists: {
  readonly [K in keyof T]: readonly T[K][];
}): T[] {
  return Object.entries(lists).reduce<T[]>(
    (all, [name, values]) =>
      all.flatMap((one) => (values as readonly unknown[]).map((value) => ({ ...one, [name]: value }))),
    [{} as T],
  );
}
