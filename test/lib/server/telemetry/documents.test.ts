/** What is written about the series, and the board that shows them, held against what is exported. */
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Metrics } from '../../../../lib/server/telemetry/metrics.js';
import { repoRoot } from '../../../kit/paths.js';
import { PlayedSource } from '../../../kit/telemetry/played_source.js';
import { Scrape } from '../../../kit/telemetry/prometheus.js';

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly refId: string; readonly expr: string }[];
}

const fileOf = (...path: readonly string[]): string => readFileSync(join(repoRoot(), ...path), 'utf8');
const metrics = new Metrics(new PlayedSource(), { modelName: 'm', isFull: true });

describe('docs/metrics.md', () => {
  it('lists every series with its kind and labels, and no other', async () => {
    const rows = [
      ...fileOf('docs', 'metrics.md').matchAll(/^\| `((?:vllm|expertwire):\w+)` +\| (\w+) +\| (.*?) *\|/gm),
    ];
    const listed = rows.map(([, name, kind, labels]) => [name, kind, labels!.replaceAll('`', '')].join(' ').trim());
    const scrape = new Scrape(await metrics.text());
    const exported = metrics.series.map(({ name, labelNames }) => {
      return [name, scrape.of(name).type.toLowerCase(), ...labelNames].join(' ');
    });
    expect(listed.sort()).to.deep.equal(exported.sort());
  });
});

describe('the Grafana board', () => {
  const board = JSON.parse(fileOf('configs', 'grafana', 'expertwire.json')) as {
    readonly schemaVersion: number;
    readonly panels: readonly Panel[];
  };
  const queries = board.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
  const queried = new Set(
    queries.flatMap((expr) => expr.match(/(?:vllm|expertwire):\w+/g) ?? []).map((name) => name.replace(/_bucket$/, '')),
  );

  it('queries series that are exported, and shows all of them', () => {
    expect([...queried].sort()).to.deep.equal(metrics.series.map(({ name }) => name).sort());
  });

  it('asks histograms for buckets, and for rates of counters where it doesn’t show a count', async () => {
    const scrape = new Scrape(await metrics.text());
    for (const expr of queries) {
      for (const [, name, suffix] of expr.matchAll(/((?:vllm|expertwire):\w+?)(_bucket)?\{/g)) {
        expect(scrape.of(name!).type === 'HISTOGRAM', expr).to.equal(suffix !== undefined);
      }
      expect(expr, 'of the model that was chosen').to.include('{model_name=~"$model_name"}');
    }
  });

  it('has panels with ids and places of their own', () => {
    const { panels, schemaVersion } = board;
    expect(schemaVersion).to.be.at.least(39);
    expect(new Set(panels.map(({ id }) => id)).size).to.equal(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
    );
    expect(new Set(cells).size).to.equal(cells.length);
    expect(panels.every(({ gridPos: { x, w } }) => x + w <= 24)).to.equal(true);
    for (const { title, type, targets = [] } of panels) expect(targets.length > 0, title).to.equal(type !== 'row');
  });
});
