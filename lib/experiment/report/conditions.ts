/** What was run, and under which conditions: the same for all rows, or told apart. Pure. */
import { stringify } from 'yaml';
import { bytes } from '../../metrics/charts.js';
import type { Block } from '../document/document.js';
import type { Json, ResultRow } from '../base/run.js';
import { pointText } from '../summary/findings.js';
import { axisTitle, valueTitle } from '../summary/names.js';
import { durationText } from './figures_text.js';
import { numRuns, type Results } from './results.js';

/** Values of an axis that are listed. */
const MAX_VALUES = 12;

/** The sweep, the measure, and how often. */
export function whatWasRun(results: Results): readonly Block[] {
  const { experiment, rows } = results;
  const { numPoints, numSeeds, numRepeats } = numRuns(results);
  const numAll = numPoints * numSeeds * numRepeats;
  const first = rows[0]!;
  const { kind, ...all } = first.measure;
  const isShared = (key: string): boolean =>
    rows.every(({ measure }) => JSON.stringify(measure[key]) === JSON.stringify(all[key]));
  const settings = Object.fromEntries(Object.entries(all).filter(([key]) => isShared(key))); // the others are axes
  const axes = experiment.axes.map(
    ({ key, values }) =>
      [
        axisTitle(key, experiment.axes),
        `\`${key}\`: ${values.slice(0, MAX_VALUES).map(valueTitle).join(', ')}${values.length > MAX_VALUES ? `, … (${values.length})` : ''}`,
      ] as const,
  );
  const seeds = [...new Set(rows.map(({ seed }) => seed))].sort((a, b) => a - b).join(', ');
  return [
    { kind: 'heading', text: 'What was run' },
    {
      kind: 'terms',
      items: [
        ['measure', `\`${kind}\`${settingsText(settings)}`],
        ...axes,
        [
          'runs',
          `${rows.length === numAll ? '' : `${rows.length} of ${numAll}: `}${numPoints} points × ${numSeeds === 1 ? `seed ${seeds}` : `seeds ${seeds}`} × ${numRepeats} ${numRepeats === 1 ? 'repeat' : 'repeats'}, ` +
            `each in a process of its own, after ${first.warmup} ${first.warmup === 1 ? 'pass' : 'passes'} of warm-up`,
        ],
        ...timeItems(rows),
      ],
    },
  ];
}

const settingsText = (settings: Readonly<Record<string, Json>>): string => {
  const shown = Object.entries(settings).filter(
    ([, value]) => value !== null && JSON.stringify(value).length <= MAX_SETTING_CHARS,
  );
  return shown.length === 0 ? '' : `, ${shown.map(([key, value]) => `${key} \`${valueTitle(value)}\``).join(', ')}`;
};

/** A setting that is longer stands with the configuration alone. */
const MAX_SETTING_CHARS = 80;

function timeItems(rows: readonly ResultRow[]): readonly (readonly [string, string])[] {
  const started = rows.map(({ started_at: at }) => Date.parse(at)).filter(Number.isFinite);
  const totalMs = rows.reduce((sum, row) => sum + row.duration_ms, 0);
  const overheads = rows.flatMap(({ overhead_ms: ms }) => (ms === null ? [] : [ms])).sort((a, b) => a - b);
  const day = (ms: number): string => `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
  const began = started.length === 0 ? '' : `, the first on ${day(Math.min(...started))}`;
  const middle = overheads[Math.floor(overheads.length / 2)];
  const overhead =
    middle === undefined ? '' : `; starting and ending a process takes ${durationText(middle)} of it (median)`;
  return [['time', `${durationText(totalMs)} in all runs together${began}${overhead}`]];
}

/** Machine, versions, backend, commit: each that there are. */
export function environment({ rows }: Results): readonly Block[] {
  const ok = rows.filter(({ status }) => status === 'ok');
  const some = ok.length > 0 ? ok : rows;
  const parts: readonly (readonly [string, (row: ResultRow) => string])[] = [
    ['machine', ({ machine }) => recordText(machine)],
    ['versions', ({ versions }) => recordText(versions)],
    ['commit', ({ commit }) => commit ?? 'unknown'],
    ['computed by', ({ backend }) => backend ?? 'nothing that computes tensors'],
  ];
  const items = parts.map(([name, of]) => [name, [...new Set(some.map(of))].join(' | ')] as const);
  return [
    { kind: 'heading', text: 'Environment' },
    { kind: 'terms', items },
  ];
}

const recordText = (record: Readonly<Record<string, string | number>>): string =>
  Object.entries(record)
    .map(([key, value]) =>
      key.endsWith('_bytes') && typeof value === 'number' ? `${key.slice(0, -6)} ${bytes(value)}` : `${key} ${value}`,
    )
    .join(', ') || 'unknown';

/** What all runs share, as YAML; keys in which runs differ are named. */
export function configuration({ experiment, rows }: Results): readonly Block[] {
  const wholes = rows.map(({ config, workload, measure, warmup }) =>
    flat({ config, workload, measure, warmup } as unknown as Json),
  );
  const first = wholes[0]!;
  const keys = [...new Set(wholes.flatMap((whole) => [...whole.keys()]))];
  const isShared = (key: string): boolean =>
    wholes.every((whole) => JSON.stringify(whole.get(key)) === JSON.stringify(first.get(key)));
  const differing = keys.filter((key) => !isShared(key));
  const shared = nested(keys.filter(isShared).map((key) => [key, first.get(key)!]));
  const told =
    differing.length === 0
      ? 'All runs have the same configuration but for their seeds.'
      : `Runs differ in ${differing.map((key) => `\`${key.replace(/^config\./, '')}\``).join(', ')}; all else they share:`;
  return [
    {
      kind: 'more',
      title: 'Configuration',
      blocks: [
        { kind: 'text', text: told },
        { kind: 'code', language: 'yaml', text: stringify(shared, { lineWidth: 0 }) },
      ],
    },
    {
      kind: 'more',
      title: 'The experiment as it was written',
      blocks: [{ kind: 'code', language: 'yaml', text: experiment.text }],
    },
  ];
}

/** Values by dotted keys; lists are values. */
function flat(value: Json, key = '', into = new Map<string, Json>()): Map<string, Json> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) into.set(key, value);
  else for (const [part, each] of Object.entries(value)) flat(each, key === '' ? part : `${key}.${part}`, into);
  return into;
}

function nested(entries: readonly (readonly [string, Json])[]): object {
  const root: Record<string, unknown> = {};
  for (const [key, value] of entries) {
    const parts = key.split('.');
    let node = root;
    for (const part of parts.slice(0, -1)) node = (node[part] ??= {}) as Record<string, unknown>;
    node[parts.at(-1)!] = value;
  }
  return root;
}

/** Characters of an error in a table. */
const MAX_ERROR_CHARS = 110;

/** Runs without a result, and why; nothing where there are none. */
export function failedRuns({ rows }: Results): readonly Block[] {
  const failed = rows.filter(({ status }) => status !== 'ok');
  if (failed.length === 0) return [];
  const head = (title: string, isFigure = false): { title: string; unit: string; isFigure: boolean } => ({
    title,
    unit: '',
    isFigure,
  });
  return [
    { kind: 'heading', text: 'Failed runs' },
    {
      kind: 'table',
      caption:
        'Runs without a result. What their processes said is in `runs/ID/log.txt`; `expertwire experiment FILE --retry-failed` does them again.',
      columns: [head('run'), head('point'), head('seed', true), head('repeat', true), head('error')],
      rows: failed.map(({ id, point, seed, repeat, error, status }) => [
        `\`${id}\``,
        pointText(point),
        String(seed),
        String(repeat),
        cut(error?.message ?? status),
      ]),
    },
  ];
}

const cut = (text: string): string => {
  const line = text.replaceAll(/\s+/g, ' ');
  return line.length <= MAX_ERROR_CHARS ? line : `${line.slice(0, MAX_ERROR_CHARS - 1)}…`;
};
