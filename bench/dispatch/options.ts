/** The options of `expertwire bench dispatch`, checked. */
import { FRAME_HEADER_BYTES } from '../../comm/mesh/frame.js';
import { WIRE_DTYPES } from '../../comm/index.js';
import { UsageError } from '../../lib/commands/base/context.js';
import { checkBytes, seedNumber, wholeNumber, wholeNumbers } from '../../lib/commands/base/numbers.js';
import type { PluginRegistry } from '../../lib/plugins/plugin_registry.js';
import { pluginsAt, PLUGINS_OPTION } from '../base/codecs.js';
import { benchParser } from '../base/options.js';
import { ALL, DEFAULTS, settingsOf, type Setting } from './settings.js';
import { IO_THREAD_TRANSPORTS, TRANSPORTS } from './base/transport.js';

/** The checked options of the benchmark: what is measured, on which settings, and how often. */
export interface DispatchOptions {
  readonly mode: 'all_to_all' | 'back_to_back' | 'messages' | 'overlap';
  readonly settings: readonly Setting[];
  /** Payload bytes of mode 'messages'. */
  readonly messages: readonly number[];
  readonly iterations: number;
  readonly warmUp: number;
  /** Per setting. */
  readonly maxSeconds: number;
  readonly linkMbit: number | undefined;
  readonly ioThread: boolean;
  /** Of mode 'overlap'. */
  readonly layers: number;
  /** Of mode 'overlap', per micro-batch and layer; undefined: as much as its bytes take. */
  readonly computeMs: number | undefined;
  readonly seed: number;
  readonly matrix: boolean;
  readonly trace: string | undefined;
  readonly plugins: string | undefined;
  /** What they brought. */
  readonly registry: PluginRegistry;
  readonly json: boolean;
}

/** Overlap is about a network, and about phases of at least 16 MB. */
const OVERLAP = { linkMbit: 1000, tokens: '4096', iterations: 3, warmUp: 0, layers: 3 } as const;
const ITERATIONS = 100;
/** As many as a tenth of --max-seconds allows: until V8 has compiled what is measured, even where a repeat takes microseconds. */
const WARM_UP = Infinity;

const DIMENSIONS = ['tokens', 'hidden', 'topk', 'experts', 'dtype', 'combine-dtype', 'skew'] as const;

/** What a frame takes by default. */
const MAX_MESSAGE_BYTES = 2 ** 26 - FRAME_HEADER_BYTES;

type Given = ReturnType<typeof parse>;

/** @throws UsageError for what can't be measured, PluginError. */
export async function parseOptions(args: readonly string[]): Promise<DispatchOptions> {
  const given = parse(args);
  const registry = await pluginsAt(given.plugins);
  const mode = modeOf(given);
  const isOverlap = mode === 'overlap';
  const dimensions = isOverlap ? { ...given, tokens: given.tokens ?? OVERLAP.tokens } : given;
  const settings = settingsOf(dimensions, given.all, [...registry.codecs.keys()]);
  const linkMbit = positive('--link-mbit', given['link-mbit']) ?? (isOverlap ? OVERLAP.linkMbit : undefined);
  for (const setting of settings) checkSize(setting);
  if (given['io-thread']) checkIoThread(settings);
  if (linkMbit !== undefined) checkLinks(settings);
  return {
    mode,
    settings,
    messages: given.messages === undefined ? [] : wholeNumbers('--messages', given.messages, 1, MAX_MESSAGE_BYTES),
    iterations: wholeNumber('--iterations', given.iterations, 1) ?? (isOverlap ? OVERLAP.iterations : ITERATIONS),
    warmUp: wholeNumber('--warm-up', given['warm-up'], 0) ?? (isOverlap ? OVERLAP.warmUp : WARM_UP),
    maxSeconds: positive('--max-seconds', given['max-seconds'])!,
    linkMbit,
    ioThread: given['io-thread'],
    layers: wholeNumber('--layers', given.layers, 1) ?? OVERLAP.layers,
    computeMs: positive('--compute-ms', given['compute-ms']),
    seed: seedNumber('--seed', given.seed)!,
    matrix: given.matrix,
    trace: given.trace,
    plugins: given.plugins,
    registry,
    json: given.json,
  };
}

function parse(args: readonly string[]) {
  const text = (describe: string, usual?: string) =>
    ({ type: 'string', describe: usual === undefined ? describe : `${describe} [${usual}]` }) as const;
  const what =
    'The all-to-all between rank processes, beside raw TCP that moves the same bytes between as many processes.\n' +
    'Dimensions take lists like 2,4,8; every combination is measured.';
  return benchParser('dispatch', args, what)
    .option('ranks', text('processes', DEFAULTS.ranks))
    .option('tokens', text('tokens per rank; with --overlap per micro-batch', DEFAULTS.tokens))
    .option('hidden', text('channels per token', DEFAULTS.hidden))
    .option('topk', text('experts per token', DEFAULTS.topk))
    .option('experts', text('experts of all ranks', DEFAULTS.experts))
    .option('dtype', text(`of dispatch: ${WIRE_DTYPES.join(', ')}, or a codec's name`, DEFAULTS.dtype))
    .option('combine-dtype', text('of combine', 'that of dispatch; bf16 for fp8, as in DeepEP'))
    .option('plugins', PLUGINS_OPTION)
    .option('skew', text('uniform, zipf or zipf:EXPONENT', DEFAULTS.skew))
    .option('transport', text(TRANSPORTS.join(', '), DEFAULTS.transport))
    .option('all', {
      type: 'boolean',
      default: false,
      describe: `the whole matrix: ranks ${ALL.ranks}; hidden ${ALL.hidden}; experts ${ALL.experts}; skew ${ALL.skew}; every transport`,
    })
    .option('messages', text('payload bytes: plain frames of these sizes, and an echo, in place of the all-to-all'))
    .option('back-to-back', { type: 'boolean', default: false, describe: 'blocks of pairs of phases without barriers' })
    .option('overlap', { type: 'boolean', default: false, describe: 'what two micro-batches in flight hide' })
    .option('layers', { type: 'number', describe: `with --overlap: layers [${OVERLAP.layers}]` })
    .option('compute-ms', {
      type: 'number',
      describe: 'with --overlap: per micro-batch and layer [what its bytes take]',
    })
    .option('link-mbit', { type: 'number', describe: 'limit every link, each way [none; 1000 with --overlap]' })
    .option('io-thread', { type: 'boolean', default: false, describe: 'serve sockets in a thread of their own' })
    .option('iterations', { type: 'number', describe: `timed repeats; p99 needs 100 [${ITERATIONS}]` })
    .option('warm-up', {
      type: 'number',
      describe: 'untimed repeats before, a tenth of --max-seconds at most [that many]',
    })
    .option('max-seconds', { type: 'number', default: 4, describe: 'per setting: then fewer repeats must do' })
    .option('seed', { type: 'number', default: 1, describe: 'of the routing' })
    .option('matrix', { type: 'boolean', default: false, describe: 'what passed between each two ranks' })
    .option('trace', text('file for a Chrome trace of every rank'))
    .option('json', { type: 'boolean', default: false, describe: 'one JSON object' })
    .parseSync();
}

/** Ways of measuring exclude each other, and options of one mean nothing to another. */
function modeOf(given: Given): DispatchOptions['mode'] {
  const refuse = (mode: string, names: readonly (keyof Given)[]): void => {
    const other = names.find((name) => given[name] !== undefined && given[name] !== false);
    if (other !== undefined) throw new UsageError(`${mode} and --${other} exclude each other; leave one out`);
  };
  if (given.messages !== undefined) {
    refuse('--messages', [...DIMENSIONS, 'back-to-back', 'overlap', 'layers', 'compute-ms', 'matrix', 'trace']);
    return 'messages';
  }
  if (given.overlap) {
    refuse('--overlap', ['back-to-back', 'matrix']);
    return 'overlap';
  }
  if (given.layers !== undefined || given['compute-ms'] !== undefined) {
    throw new UsageError('--layers and --compute-ms say how to --overlap; give that too');
  }
  if (!given['back-to-back']) return 'all_to_all';
  refuse('--back-to-back', ['matrix', 'trace']);
  return 'back_to_back';
}

/** Of all ranks: rows, what arrives of them, and what goes back, in float32 and on the wire. */
function checkSize({ ranks, tokens, hidden, topk, experts }: Setting): void {
  const perRank = 4 * tokens * (hidden * (2 + 2 * Math.min(topk, ranks)) + 4 * topk) + 16 * experts;
  checkBytes(`--ranks ${ranks}, --tokens ${tokens}, --hidden ${hidden} and --experts ${experts}`, ranks * perRank);
}

function checkIoThread(settings: readonly Setting[]): void {
  const without = settings.find(({ transport }) => !IO_THREAD_TRANSPORTS.includes(transport));
  if (without === undefined) return;
  throw new UsageError(`--io-thread: transport ${without.transport} has no thread of its own; leave one out`);
}

function checkLinks(settings: readonly Setting[]): void {
  if (settings.every(({ transport }) => transport !== 'threads')) return;
  throw new UsageError('--link-mbit and --overlap limit links, and transport threads has none; leave one out');
}

/** Undefined where it wasn't given. */
function positive(name: string, value: number | undefined): number | undefined {
  if (value === undefined || (Number.isFinite(value) && value > 0)) return value;
  throw new UsageError(`${name} is not a positive number; give one`);
}
