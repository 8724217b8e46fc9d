import { expect } from 'chai';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { checkMeasure } from '../../../bench/index.js';
import { UsageError } from '../../../lib/commands/base/context.js';
import { ExperimentError } from '../../../lib/experiment/base/errors.js';
import { BENCH_NAMES } from '../../../lib/experiment/base/bench_names.js';
import { benchArguments, benchMeasure, pathStepsOf, valueOnPath } from '../../../lib/experiment/measures/bench.js';
import { countsOf, measured, plannedRun } from '../../kit/experiment/planned_run.js';
import { repoRoot } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';

const EPLB = {
  bench: 'eplb',
  args: { layers: 1, experts: 8, slots: 8, ranks: 2, windows: 3, planners: ['linear', 'eplb'] },
};
const NEXT = { path: 'rows[load=moe-7m,planner=eplb].next_even', better: 'higher', kind: 'count' };

describe('measure: bench', () => {
  it('picks figures from what a benchmark writes; those of a seed are the same again', async () => {
    const run = await plannedRun('bench', {
      settings: { ...EPLB, metrics: { next: NEXT, load: { path: 'rows.0.load', kind: 'text' } } },
    });
    const [first, second] = [(await measured(run)).result, (await measured(run)).result];
    expect(first.metrics).to.have.all.keys(Object.keys(benchMeasure.metricsOf(run.measure as never)));
    expect(first.metrics.next).to.be.above(0.5).and.at.most(1);
    expect(first.metrics.load).to.equal('uniform');
    expect(countsOf(run, first)).to.deep.equal(countsOf(run, second));
    const seeded = (await measured({ ...run, seed: 2 })).result;
    expect(seeded.metrics.next).not.to.equal(first.metrics.next);
  });

  it('a figure that isn’t there fails the run, with what there is', async () => {
    const run = await plannedRun('bench', {
      settings: { ...EPLB, metrics: { next: { path: 'rows[planner=magic].x' } } },
    });
    const error = await errorOf(ExperimentError, () => measured(run));
    expect(error.code).to.equal('MEASURE_FAILED');
    expect(error.message).to.match(/leads to nothing.*machine, seed, windows, rows/);
  });

  it('options that a benchmark doesn’t have, and what is no number, are found before it runs', async () => {
    const looked = async (args: Record<string, unknown>) =>
      checkMeasure(await plannedRun('bench', { settings: { bench: 'eplb', args } }));
    await looked({ layers: 1 });
    expect((await errorOf(UsageError, () => looked({ layer: 1 }))).message).to.include('layers');
    expect((await errorOf(UsageError, () => looked({ layers: 'many' }))).message).to.include('not a number');
  });

  it('so are values that can’t be, which its own checks find', async () => {
    for (const [bench, args, says] of [
      ['dispatch', { dtype: 'bf61' }, /bf61/],
      ['codec', { hidden: [64, 'abc'] }, /--hidden.*abc/],
      ['eplb', { planners: ['magic'] }, /magic/],
      ['engine', { size: 0 }, /--size is 0/],
      ['chaos', { on_peer_loss: 'cry' }, /cry/],
    ] as const) {
      const run = await plannedRun('bench', { settings: { bench, args } });
      expect((await errorOf(UsageError, () => checkMeasure(run))).message, bench).to.match(says);
    }
  });

  it('none begins where it is only looked at', async () => {
    for (const bench of BENCH_NAMES) {
      expect(sourceOf(bench), bench).to.match(/= accepted\((await )?parse/);
      const args = bench === 'serve' ? { url: 'http://127.0.0.1:9' } : {};
      await checkMeasure(await plannedRun('bench', { settings: { bench, args } }));
    }
  });

  it('what ends the process, or is the measure’s own, is no option of a file', () => {
    const parsed = (args: Record<string, unknown>) => benchMeasure.settings.safeParse({ bench: 'eplb', args });
    expect(parsed({ layers: 1 }).success).to.equal(true);
    for (const name of ['help', 'h', 'version', 'json', 'no_help', 'ask_options', 'no-json', 'show_hidden', '_', '--'])
      expect(parsed({ [name]: true }).success, name).to.equal(false);
  });

  it('a configuration that nobody sees isn’t swept', async () => {
    const run = { ...(await plannedRun('bench', { settings: EPLB })), point: { 'parallel.ranks': 2 } };
    expect((await errorOf(Error, () => benchMeasure.check!(run, null))).message).to.include('measure.args');
    await benchMeasure.check!({ ...run, point: { 'measure.args.ranks': 2, label: 'small' } }, null);
  });

  it('gives options as a command line has them, with the seed of the run where there is no other', () => {
    const args = { io_thread: true, cold: false, tokens: [1, 8], set: ['a=1', 'b=2'], wire: 'bf16' };
    expect(benchArguments({ bench: 'chaos', args, metrics: {} }, 7, 'f.json')).to.deep.equal([
      ...['chaos', '--io-thread', '--no-cold', '--tokens=1,8', '--set=a=1', '--set=b=2', '--wire=bf16'],
      ...['--seed=7', '--json=f.json'],
    ]);
    expect(benchArguments({ bench: 'codec', args: { seed: 3 }, metrics: {} }, 7, '')).to.deep.equal([
      'codec',
      '--seed=3',
      '--json',
    ]);
  });

  it('knows of each benchmark whether --json names a file, and whether it has a seed', () => {
    for (const bench of BENCH_NAMES) {
      const source = sourceOf(bench);
      const isFile = !source.includes("option('json', { type: 'boolean'");
      const args = benchArguments({ bench, args: {}, metrics: {} }, 1, 'figures.json');
      expect(args.includes('--json=figures.json'), bench).to.equal(isFile);
      expect(args.includes('--seed=1'), bench).to.equal(source.includes("'seed'"));
    }
  });

  it('a path has keys, places of lists, and the first of a list that is as wanted', () => {
    expect(pathStepsOf('rows[a=1,b=x y].c.0')).to.deep.equal(['rows', { a: '1', b: 'x y' }, 'c', 0]);
    const figures = {
      rows: [
        { a: 1, b: 'x' },
        { a: 1, b: 'x y', c: [5] },
      ],
    };
    expect(valueOnPath(figures, 'rows[a=1,b=x y].c.0')).to.equal(5);
    expect(valueOnPath(figures, 'rows[a=2].c')).to.equal(undefined);
    expect(valueOnPath(null, 'rows')).to.equal(undefined);
  });
});

/** All of its files in one text. */
function sourceOf(bench: string): string {
  const path = join(repoRoot(), 'bench', bench === 'experiment' ? 'runner' : bench);
  if (!existsSync(path) || !statSync(path).isDirectory()) return readFileSync(`${path}.ts`, 'utf8');
  const files = readdirSync(path).filter((name) => name.endsWith('.ts'));
  return files.map((name) => readFileSync(join(path, name), 'utf8')).join('\n');
}
