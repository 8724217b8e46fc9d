/** `expertwire bench codec`: how fast rows become bytes and back, per wire dtype and codec of a plug-in, against a plain copy of the same values. */
import { wireFormsOf } from '../comm/all_to_all/contract/wire_forms.js';
import {
  WIRE_DTYPES,
  decodeRows,
  encodeRows,
  roundTripRows,
  wireRowBytes,
  type WireForm,
} from '../comm/codec/wire_dtype.js';
import type { CommandContext } from '../lib/commands/base/context.js';
import { checkBytes, seedNumber, wholeNumber, wholeNumbers } from '../lib/commands/base/numbers.js';
import { uniform } from '../base/philox.js';
import { bytes, table } from '../lib/metrics/charts.js';
import { wireNamed } from '../lib/plugins/codecs.js';
import type { PluginRegistry } from '../lib/plugins/plugin_registry.js';
import { pluginsAt, PLUGINS_OPTION } from './base/codecs.js';
import { median, thisMachine } from './base/machine.js';
import { accepted, benchParser } from './base/options.js';

interface Options {
  readonly hidden: readonly number[];
  readonly tokens: number;
  readonly repeats: number;
  readonly warmUpMs: number;
  readonly seed: number;
  readonly plugins: string | undefined;
  readonly json: boolean;
}

/** Figures of one (hidden, dtype); GB/s of float32 values, medians over the repeats. */
export interface CodecRow {
  readonly hidden: number;
  /** Or a codec's name. */
  readonly dtype: string;
  readonly wire_bytes_per_row: number;
  /** All rows in order. */
  readonly encode_gb_per_s: number;
  /** Rows picked in random order. */
  readonly gather_gb_per_s: number;
  readonly decode_gb_per_s: number;
  /** The plain copy of this run. */
  readonly copy_gb_per_s: number;
  readonly encode_ratio: number;
  readonly gather_ratio: number;
  readonly decode_ratio: number;
  /** What is lost one way: root of the mean square error / root of the mean square. */
  readonly rms_error: number;
}

/** Runs the benchmark and writes a report, or one JSON object with --json, to `stdout`. @throws UsageError for options that can't be measured, PluginError. */
export async function benchCodec(args: readonly string[], { stdout }: CommandContext): Promise<void> {
  const options = accepted(parse(args));
  const registry = await pluginsAt(options.plugins);
  const rows = options.hidden.flatMap((hidden) => measure(options, hidden, formsOf(registry, hidden)));
  const { seed, tokens, repeats } = options;
  const machine = thisMachine();
  stdout.write(options.json ? `${JSON.stringify({ machine, seed, tokens, repeats, rows })}\n` : report(options, rows));
}

/** Dtypes and codecs by their names. @throws CommError CODEC_FAILED */
function formsOf(registry: PluginRegistry, hidden: number): ReadonlyMap<string, WireForm> {
  const names = [...WIRE_DTYPES, ...registry.codecs.keys()];
  return new Map(
    names.map((name) => {
      const wire = wireNamed({ dispatch: name, combine: name }, registry);
      return [name, wireFormsOf(wire, hidden).dispatchDtype];
    }),
  );
}

function parse(args: readonly string[]): Options {
  const what =
    'GB/s of float32 values that are encoded for the wire and decoded, per dtype and codec, against a plain copy.';
  const parsed = benchParser('codec', args, what)
    .option('hidden', {
      type: 'string',
      default: '1024,7168',
      describe: 'channels of a row',
    })
    .option('tokens', { type: 'number', default: 512, describe: 'rows' })
    .option('repeats', { type: 'number', default: 25, describe: 'interleaved runs; the median counts' })
    .option('warm-up-ms', {
      type: 'number',
      default: 100,
      describe: 'per run: V8 compiles kernels better while they run',
    })
    .option('seed', { type: 'number', default: 1, describe: 'of the values and of the order of picked rows' })
    .option('plugins', PLUGINS_OPTION)
    .option('json', { type: 'boolean', default: false, describe: 'one JSON object' })
    .parseSync();
  const { tokens, repeats, warmUpMs, seed } = parsed;
  wholeNumber('--tokens', tokens, 1);
  wholeNumber('--repeats', repeats, 1);
  wholeNumber('--warm-up-ms', warmUpMs, 0);
  seedNumber('--seed', seed);
  const hidden = wholeNumbers('--hidden', parsed.hidden);
  checkBytes('the rows of --tokens and --hidden', 6 * 4 * tokens * Math.max(...hidden));
  return { ...parsed, hidden };
}

type Forms = ReadonlyMap<string, WireForm>;

function measure(options: Options, hidden: number, forms: Forms): CodecRow[] {
  const x = normalValues(options.seed, options.tokens * hidden);
  const runs = runsOf(options, x, hidden, forms);
  const timesMs = new Map(Array.from(runs.keys(), (name) => [name, [] as number[]]));
  for (const run of runs.values()) {
    const endMs = performance.now() + options.warmUpMs;
    while (performance.now() < endMs) run();
  }
  for (let i = 0; i < options.repeats; i++) {
    for (const [name, run] of runs) {
      const startMs = performance.now();
      run();
      timesMs.get(name)!.push(performance.now() - startMs);
    }
  }
  const speed = (name: string): number => (4 * options.tokens * hidden) / (1e6 * median(timesMs.get(name)!));
  return Array.from(forms, ([name, form]) => rowOf(name, form, speed, { x, hidden }));
}

/** What is timed, by name: every run reads or writes the same float32 values on the JavaScript heap. */
function runsOf({ tokens, seed }: Options, x: Float32Array, hidden: number, forms: Forms): Map<string, () => void> {
  const y = new Float32Array(x.length);
  const picked = shuffled(seed, tokens);
  const runs = new Map([['copy', () => y.set(x)]]);
  for (const [name, form] of forms) {
    const wire = new Uint8Array(tokens * wireRowBytes(form, hidden));
    runs.set(`${name} encode`, () => encodeRows(form, x, null, tokens, hidden, wire));
    runs.set(`${name} gather`, () => encodeRows(form, x, picked, tokens, hidden, wire));
    runs.set(`${name} decode`, () => decodeRows(form, wire, tokens, hidden, y, 0));
  }
  return runs;
}

function rowOf(
  dtype: string,
  form: WireForm,
  speed: (name: string) => number,
  { x, hidden }: { readonly x: Float32Array; readonly hidden: number },
): CodecRow {
  const copy = speed('copy');
  const encode = speed(`${dtype} encode`);
  const gather = speed(`${dtype} gather`);
  const decode = speed(`${dtype} decode`);
  return {
    hidden,
    dtype,
    wire_bytes_per_row: wireRowBytes(form, hidden),
    encode_gb_per_s: encode,
    gather_gb_per_s: gather,
    decode_gb_per_s: decode,
    copy_gb_per_s: copy,
    encode_ratio: encode / copy,
    gather_ratio: gather / copy,
    decode_ratio: decode / copy,
    rms_error: rmsError(form, x, hidden),
  };
}

function rmsError(form: WireForm, x: Float32Array, hidden: number): number {
  const y = new Float32Array(x.length);
  roundTripRows(form, x, null, x.length / hidden, hidden, y, 0);
  const sum = (of: (i: number) => number): number => x.reduce((all, _, i) => all + of(i) ** 2, 0);
  return Math.sqrt(sum((i) => y[i]! - x[i]!) / sum((i) => x[i]!));
}

/** Standard normal, as activations roughly are. */
function normalValues(seed: number, count: number): Float32Array {
  const radius = (i: number): number => Math.sqrt(-2 * Math.log(1 - uniform(seed, 0, i)));
  return Float32Array.from({ length: count }, (_, i) => radius(i) * Math.cos(2 * Math.PI * uniform(seed, 1, i)));
}

/** 0 … count−1 in random order. */
function shuffled(seed: number, count: number): Int32Array {
  const keys = Float64Array.from({ length: count }, (_, i) => uniform(seed, 2, i));
  return Int32Array.from({ length: count }, (_, i) => i).sort((a, b) => keys[a]! - keys[b]!);
}

function report({ tokens, seed, repeats }: Options, rows: readonly CodecRow[]): string {
  const { cpu, cores, memory, node } = thisMachine();
  const gbPerS = (speed: number): string => speed.toFixed(speed < 1 ? 2 : 1);
  const pair = (speed: number, ratio: number): string[] => [gbPerS(speed), `${ratio.toFixed(2)}x`];
  return `${[
    `${cpu}, ${cores} cores, ${memory}, Node ${node}; seed ${seed}; ${tokens} rows of normal values; median of ${repeats} interleaved, after a warm-up`,
    'GB/s = 4 × rows × hidden / time, from JavaScript heap to JavaScript heap; picked = rows in random order; ratios are against a plain copy',
    '(Float32Array.set) of the same values in the same run; error = root mean square of what is lost one way, of that of the values',
    '',
    table([
      [
        'hidden × dtype',
        'wire/row',
        'encode GB/s',
        'ratio',
        'picked GB/s',
        'ratio',
        'decode GB/s',
        'ratio',
        'copy GB/s',
        'error',
      ],
      ...rows.map((row) => [
        `${row.hidden} × ${row.dtype}`,
        bytes(row.wire_bytes_per_row),
        ...pair(row.encode_gb_per_s, row.encode_ratio),
        ...pair(row.gather_gb_per_s, row.gather_ratio),
        ...pair(row.decode_gb_per_s, row.decode_ratio),
        gbPerS(row.copy_gb_per_s),
        `${(100 * row.rms_error).toFixed(2)} %`,
      ]),
    ]),
  ].join('\n')}\n`;
}
