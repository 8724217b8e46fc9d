/** From results to a report. Pure. Why: docs/decisions/experiments.md#one-report-two-forms */
import type { Block, Document } from '../document/document.js';
import { findingsOf } from '../summary/findings.js';
import { configuration, environment, failedRuns, whatWasRun } from './conditions.js';
import { plotFigures } from './plots.js';
import { mainMetrics, measuredMetrics, type NamedMetric, type Results } from './results.js';
import { isScorecard, scorecard } from './scorecard.js';
import { fullTables, meanTables, ratioTables, textBlocks } from './tables.js';

/** Says what was measured, how sure it is, and all that it takes to do it again. */
export function reportOf(results: Results): Document {
  const { experiment } = results;
  const main = mainMetrics(results);
  const all = measuredMetrics(results);
  const isCard = isScorecard(results);
  return {
    title: experiment.name,
    blocks: [
      ...paragraphs(experiment.description),
      ...warnings(results),
      ...whatWasRun(results),
      ...(isCard ? scorecard(results) : []),
      { kind: 'heading', text: isCard ? 'Compared' : 'Results' },
      ...(isCard ? [] : meanTables(results, main)),
      ...ratioTables(results, main),
      ...plotFigures(results),
      ...(main.length === 0 ? [] : [{ kind: 'terms', items: main.map(meaningOf) } as const]),
      ...textBlocks(results),
      ...failedRuns(results),
      ...environment(results),
      ...rest(results, all, main),
      ...configuration(results),
    ],
  };
}

const paragraphs = (text: string): readonly Block[] =>
  text
    .split(/\n\s*\n/)
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => ({ kind: 'text', text: part }));

function warnings({ experiment, rows }: Results): readonly Block[] {
  const findings = findingsOf(experiment, rows);
  return findings.length === 0 ? [] : [{ kind: 'warning', items: findings.map(({ text }) => text) }];
}

const meaningOf = ([name, { what, unit, better }]: NamedMetric): readonly [string, string] => [
  `\`${name}\``,
  [what, unit === '' ? '' : `in ${unit}`, better === null ? '' : `${better} is better`]
    .filter((part) => part !== '')
    .join('; '),
];

/** All that was measured beside the main metrics. */
function rest(results: Results, all: readonly NamedMetric[], main: readonly NamedMetric[]): readonly Block[] {
  if (all.length === main.length) return [];
  const names = new Set(main.map(([name]) => name));
  const others = all.filter(([name]) => !names.has(name));
  return [
    {
      kind: 'more',
      title: 'All metrics',
      blocks: [
        ...fullTables(results, all),
        ...ratioTables(results, others),
        { kind: 'terms', items: others.map(meaningOf) },
      ],
    },
  ];
}
