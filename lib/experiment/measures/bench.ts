/** `measure: bench`: what it takes and gives. */
import * as z from 'zod';
import { ConfigError } from '../../config/errors.js';
import { choice, key } from '../../config/key_types.js';
import { BENCH_NAMES, type BenchName } from '../base/bench_names.js';
import type { MeasureInfo } from '../base/measure_info.js';
import type { MetricInfo } from '../base/metric.js';
import type { PlannedRun } from '../base/run.js';
import { time } from './metric_kinds.js';

/** A step of a path: a key, a place of a list, or the first of a list with these values. */
export type PathStep = string | number | Readonly<Record<string, string>>;

const PATH = /^[^.[\]]+(\.[^.[\]]+|\[[^\]=,]+=[^\],]*(,[^\]=,]+=[^\],]*)*\])*$/u;

/** 'rows[ranks=2,phase=dispatch].wire_bytes' → ['rows', { ranks: '2', phase: 'dispatch' }, 'wire_bytes'] */
export const pathStepsOf = (path: string): PathStep[] =>
  (path.match(/\[[^\]]*\]|[^.[\]]+/gu) ?? []).map((step) => {
    if (!step.startsWith('[')) return /^\d+$/u.test(step) ? Number(step) : step;
    return Object.fromEntries(step.slice(1, -1).split(',').map(valueWanted));
  });

function valueWanted(text: string): readonly [name: string, value: string] {
  const [name = '', value = ''] = text.split('=').map((part) => part.trim());
  return [name, value];
}

/** What prints something else and ends the process, and what a run gives itself. */
const NOT_OPTIONS = ['help', 'h', 'version', 'json', 'showhidden', 'askoptions'];

const isOption = (name: string): boolean =>
  /^[a-z]/iu.test(name) &&
  !NOT_OPTIONS.includes(
    name
      .toLowerCase()
      .replace(/^no[_-]/u, '')
      .replaceAll(/[_-]/gu, ''),
  );

const scalar = z.union([z.string(), z.number(), z.boolean()]);
const metric = z.strictObject({
  path: key(
    z.string().regex(PATH),
    "a path in the benchmark's --json: 'rows.0.wire_bytes', or 'rows[phase=dispatch].wire_bytes'",
    'string',
  ),
  unit: key(z.string().default(''), 'a unit as text', 'string'),
  better: key(z.enum(['higher', 'lower']).nullable().default(null), 'higher, lower or null', 'string', 'null'),
  kind: choice('count', 'time', 'text').default('time'),
  what: key(z.string().nullable().default(null), 'a line of text, or null', 'string', 'null'),
});

const settings = z.strictObject({
  bench: choice(...BENCH_NAMES),
  args: key(
    z
      .record(z.string(), z.union([scalar, z.array(scalar)]))
      .superRefine((args, context) => {
        for (const name of Object.keys(args)) {
          if (isOption(name)) continue;
          const message = 'no option of a benchmark in an experiment, which has its figures and no help; remove it';
          context.addIssue({ code: 'custom', path: [name], message });
        }
      })
      .default({}),
    'a mapping of options of the benchmark to values',
    'mapping',
  ),
  metrics: key(
    z.record(z.string().regex(/^[a-z][a-z0-9_]*$/u), metric).default({}),
    'a mapping of names in snake_case to { path, unit, better, kind, what }',
    'mapping',
  ),
});

/** Of `measure` beside its kind. */
export type BenchSettings = z.infer<typeof settings> & { readonly bench: BenchName };

/** Of a run of this measure. */
export const benchSettingsOf = ({ measure }: Pick<PlannedRun, 'measure'>): BenchSettings =>
  measure as unknown as BenchSettings;

/** Benchmarks whose `--json` names a file; others print it. */
const WITH_FILE: readonly BenchName[] = [
  'chaos',
  'cluster',
  'engine',
  'jobs',
  'kv',
  'peers',
  'scale',
  'scenarios',
  'serve',
  'slow',
];
const WITHOUT_SEED: readonly BenchName[] = ['jobs', 'launch', 'tokenizer'];

/** What the command line of the benchmark says. `file`: where figures are wanted. Lists are joined by commas, but `set`, which is given for each. */
export function benchArguments({ bench, args }: BenchSettings, seed: number, file: string): readonly string[] {
  const given = Object.entries(args).flatMap(([name, value]) => optionsOf(name.replaceAll('_', '-'), value));
  const isSeeded = Object.hasOwn(args, 'seed') || WITHOUT_SEED.includes(bench);
  return [
    bench,
    ...given,
    ...(isSeeded ? [] : [`--seed=${seed}`]),
    WITH_FILE.includes(bench) ? `--json=${file}` : '--json',
  ];
}

type Scalar = z.infer<typeof scalar>;

function optionsOf(name: string, value: Scalar | readonly Scalar[]): readonly string[] {
  if (typeof value === 'boolean') return [value ? `--${name}` : `--no-${name}`];
  if (typeof value === 'string' || typeof value === 'number') return [`--${name}=${value}`];
  return name === 'set' ? value.map((each) => `--${name}=${each}`) : [`--${name}=${value.join(',')}`];
}

/** What a path leads to; undefined: nothing is there. */
export function valueOnPath(figures: unknown, path: string): unknown {
  let at = figures;
  for (const step of pathStepsOf(path)) {
    if (typeof step === 'object') at = Array.isArray(at) ? at.find((each) => hasAll(each, step)) : undefined;
    else at = (at as Record<string | number, unknown> | null | undefined)?.[step];
  }
  return at;
}

const hasAll = (value: unknown, wanted: Readonly<Record<string, string>>): boolean =>
  Object.entries(wanted).every(([name, each]) => {
    const own = (value as Record<string, unknown> | null)?.[name];
    return typeof own === 'string' ? own === each : JSON.stringify(own) === each;
  });

/** A benchmark doesn't see the configuration: sweeping it would measure the same again and again. @throws ConfigError */
function check({ point }: PlannedRun): void {
  const swept = Object.keys(point).find((name) => name !== 'label' && !/^(measure|workload)\./u.test(name));
  if (swept === undefined) return;
  const what = `a benchmark has options of its own and doesn't see "${swept}"; sweep measure.args.… instead`;
  throw new ConfigError('INVALID_VALUE', what, { key: swept });
}

/** A benchmark of the command bench, in the process of the run. */
export const benchMeasure: MeasureInfo = {
  describe: 'A benchmark of the command bench, and figures of its --json',
  settings,
  workload: z.strictObject({}),
  metricsOf: ({ bench, metrics }: BenchSettings): Readonly<Record<string, MetricInfo>> => ({
    ...Object.fromEntries(
      Object.entries(metrics).map(([name, { path, unit, better, kind, what }]) => [
        name,
        { unit, better, kind, what: what ?? `${path} of bench ${bench}` },
      ]),
    ),
    duration_ms: time('ms', 'lower', 'of the benchmark'),
  }),
  hasEngine: false,
  files: [],
  check,
};
