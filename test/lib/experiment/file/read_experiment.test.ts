import { expect } from 'chai';
import { appendFile, cp, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ConfigError } from '../../../../lib/config/errors.js';
import type { ExperimentPlan } from '../../../../lib/experiment/base/experiment.js';
import type { PlannedRun } from '../../../../lib/experiment/base/run.js';
import { planText } from '../../../../lib/experiment/file/plan_text.js';
import { readExperiment, type ReadExperimentOptions } from '../../../../lib/experiment/file/read_experiment.js';
import { moe7m, tinyModel } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const PROMPTS = 'workload: { prompts: [{ token_ids: [1, 2, 3] }] }\nmeasure: generate\n';
const BASE = `base: { model: ${tinyModel('tiny-mixtral')}, generate: { max_new_tokens: 2 } }\n`;

/** Reads `sweeps/own.yaml` beside further files. */
const read = (text: string, more: Readonly<Record<string, string>> = {}, options: ReadExperimentOptions = {}) =>
  withTempFolder(async (cwd) => {
    for (const [name, content] of Object.entries({ 'sweeps/own.yaml': text, ...more })) {
      await mkdir(dirname(join(cwd, name)), { recursive: true });
      await writeFile(join(cwd, name), content);
    }
    return { cwd, ...(await readExperiment('sweeps/own.yaml', { cwd, ...options })) };
  });

const pointsOf = ({ runs }: ExperimentPlan): PlannedRun['point'][] => runs.map(({ point }) => point);

describe('an experiment’s file', () => {
  it('without a sweep is one run of its base, named like the file', async () => {
    const { experiment, runs } = await read(BASE + PROMPTS);
    expect(runs).to.have.length(1);
    expect(runs[0]).to.include({ index: 0, round: 0, seed: 1, repeat: 0, warmup: 0 });
    expect(runs[0]!.point).to.deep.equal({});
    expect(runs[0]!.config.generate.max_new_tokens).to.equal(2);
    expect(experiment).to.deep.include({ name: 'own', axes: [], baseline: null, plots: [], timeoutMs: 600_000 });
    expect(experiment.text).to.equal(BASE + PROMPTS);
    expect(experiment.metrics.tokens_per_s!.unit).to.equal('tokens/s');
  });

  it('may take its base from a file that lies in a folder above it, with what that names', async () => {
    const base = `model: ${tinyModel('tiny-mixtral')}\nexperts: { placement: placements/p.json }\n`;
    const text = `base: configs/b.yaml\n${PROMPTS}sweep: { grid: { experts.placement: [linear, placements/q.json] } }`;
    const placement = JSON.stringify({ refused: true });
    const error = await errorOf(ConfigError, () => read(text, { 'configs/b.yaml': base, 'placements/q.json': '{}' }));
    expect(error.message).to.match(/own.yaml:4: with experts.placement ".*placements\/q.json": "experts.placement": /);
    const more = { 'configs/b.yaml': base, 'placements/p.json': placement };
    const { runs } = await read(
      `base: configs/b.yaml\n${PROMPTS}sweep: { list: [{ experts.placement: linear }] }`,
      more,
    );
    expect(runs[0]!.config.experts.placement).to.equal('linear');
  });

  it('names the line of the base’s own file where that is wrong', async () => {
    const error = await errorOf(ConfigError, () =>
      read(`base: b.yaml\n${PROMPTS}`, { 'sweeps/b.yaml': `model: ${moe7m()}\nengine: { sede: 1 }` }),
    );
    expect(error.message).to.match(/^UNKNOWN_KEY: sweeps\/b.yaml:2: there is no key "sede" .* "engine.seed"\?/);
  });

  it('gives a seed to all that is drawn, where nothing else says it', async () => {
    const { runs } = await read(
      `${BASE}${PROMPTS}seeds: [5, 6]\nsweep: { list: [{ label: a }, { label: b, engine.seed: 9 }] }`,
    );
    const seeds = runs.map(({ config: { engine, generate, experts } }) => [
      engine.seed,
      generate.seed,
      experts.routing_seed,
    ]);
    expect(seeds).to.deep.equal([
      [5, 5, 5],
      [9, 5, 5],
      [9, 6, 6],
      [6, 6, 6],
    ]);
    expect(runs.map(({ seed }) => seed)).to.deep.equal([5, 5, 6, 6]);
  });

  it('fills points given by hand with what they come to, so that tables have no holes', async () => {
    const plan = await read(
      `${BASE}${PROMPTS}sweep: { list: [{ label: a }, { label: b, comm.reduce: source, measure.routing: false }] }`,
    );
    expect(pointsOf(plan)).to.deep.equal([
      { label: 'a', 'comm.reduce': 'rank', 'measure.routing': true },
      { label: 'b', 'comm.reduce': 'source', 'measure.routing': false },
    ]);
    expect(plan.experiment.axes.map(({ key, values }) => [key, ...values])).to.deep.equal([
      ['label', 'a', 'b'],
      ['comm.reduce', 'rank', 'source'],
      ['measure.routing', true, false],
    ]);
    expect(plan.runs.map(({ measure }) => measure.routing)).to.deep.equal([true, false]);
  });

  it('refuses points that come to the same by what nobody sets, with the lines of both', async () => {
    const text = `${BASE}${PROMPTS}sweep:\n  list:\n    - { comm.reduce: rank }\n    - { measure.routing: true }\n`;
    const error = await errorOf(ConfigError, () => read(text));
    expect(error.message).to.match(/own.yaml:7: .*measure.routing.* is the same point as .*comm.reduce.* \(line 6\)/);
    const { runs } = await read(text.replace('true', 'false'));
    expect(new Set(runs.map(({ id }) => id)).size).to.equal(2);
  });

  it('sweeps whole sections, parts of the workload and files, whose paths come back absolute', async () => {
    const text = `${BASE}measure: generate
sweep:
  zip:
    workload.prompts_file: [one.txt, two.txt]
    comm.wire: [{ dispatch: bf16 }, { dispatch: bf16, combine: bf16 }]`;
    const files = { 'sweeps/one.txt': 'a\n', 'sweeps/two.txt': 'b\n' };
    const withTokenizer = text.replace(tinyModel('tiny-mixtral'), moe7m());
    const plan = await read(withTokenizer, files);
    expect(plan.runs.map(({ workload }) => workload.prompts_file)).to.deep.equal(
      ['one.txt', 'two.txt'].map((name) => join(plan.cwd, 'sweeps', name)),
    );
    expect(plan.runs.map(({ config }) => config.comm.wire)).to.deep.equal([
      { dispatch: 'bf16', combine: 'f32' },
      { dispatch: 'bf16', combine: 'bf16' },
    ]);
  });

  it('gives a run the same id whatever else the file says', async () => {
    const few = await read(`${BASE}${PROMPTS}sweep: { grid: { parallel.ranks: [1] } }`);
    const many = await read(
      `name: x\n${BASE}${PROMPTS}sweep: { grid: { parallel.ranks: [2, 1] } }\nrepeats: 2\ntimeout_s: 9\nplots: [{ y: tokens_per_s }]`,
    );
    const ids = many.runs.map(({ id }) => id);
    expect(ids).to.include(few.runs[0]!.id);
    expect(new Set(ids).size).to.equal(4);
  });

  it('gives it another where a file that it reads has other bytes', async () => {
    await withTempFolder(async (cwd) => {
      const model = join(cwd, 'model');
      await cp(tinyModel('tiny-mixtral'), model, { recursive: true });
      await writeFile(join(cwd, 'own.yaml'), `base: { model: ${model}, plugins: [plugin.mjs] }\n${PROMPTS}`);
      const plugin = join(cwd, 'plugin.mjs');
      await writeFile(plugin, 'export default () => {};');
      const idNow = async () => (await readExperiment('own.yaml', { cwd })).runs[0]!.id;
      const ids = [await idNow(), await idNow()];
      await appendFile(plugin, '\n');
      ids.push(await idNow());
      await appendFile(join(model, 'config.json'), '\n');
      ids.push(await idNow());
      expect(ids.map((id) => ids.indexOf(id))).to.deep.equal([0, 0, 2, 3]);
    });
  });

  it('has one run of each point looked at by who else wants to, and only once where nothing but the seed differs', async () => {
    const seen: PlannedRun['point'][] = [];
    const checkRun = (run: PlannedRun): Promise<void> => {
      seen.push(run.point);
      return Promise.resolve();
    };
    const sweep = 'sweep: { grid: { parallel.ranks: [1, 2] } }\nseeds: [1, 2]\nrepeats: 3';
    await read(`${BASE}${PROMPTS}${sweep}`, {}, { checkRun });
    expect(seen).to.deep.equal([{ 'parallel.ranks': 1 }, { 'parallel.ranks': 2 }]);
    const refuse = (): Promise<never> => Promise.reject(new Error('no such benchmark; give another'));
    const error = await errorOf(ConfigError, () => read(`${BASE}${PROMPTS}${sweep}`, {}, { checkRun: refuse }));
    expect(error.message).to.equal(
      'INVALID_VALUE: sweeps/own.yaml:4: with parallel.ranks 1: no such benchmark; give another',
    );
  });

  it('says that it isn’t there, or holds something else', async () => {
    const missing = await errorOf(ConfigError, () => readExperiment('/none.yaml'));
    expect(missing.message).to.match(
      /^NOT_FOUND: \/none.yaml cannot be read \(ENOENT.*; give the path of a YAML file$/,
    );
    const list = await errorOf(ConfigError, () => read('[1, 2]'));
    expect(list.message).to.match(
      /^INVALID_VALUE: sweeps\/own.yaml:1: "the file" is \[1,2\]; allowed is name, description/,
    );
    const empty = await errorOf(ConfigError, () => read('name: a\n'));
    expect(empty.message).to.match(/"measure" is missing; give the name of a measure/);
  });

  it('is shown before it runs: what is swept, in which order, and for how long', async () => {
    const text = `description: Two ranks are faster.\n${BASE}${PROMPTS}sweep: { grid: { parallel.ranks: [1, 2] } }
seeds: [1, 2]\nrepeats: 2\ntimeout_s: 60\nbaseline: { parallel.ranks: 1 }\nplots: [{ y: tokens_per_s, ratio: true }]`;
    const plan = await read(text);
    const fresh = planText(plan, []);
    expect(fresh).to.match(/^own: 8 runs = 2 points × 2 seeds × 2 repeats\nTwo ranks are faster.\n/);
    expect(fresh)
      .to.match(/\nswept +parallel.ranks: 1, 2\n/)
      .and.match(/\ncompared with +parallel.ranks 1\n/);
    expect(fresh).to.match(/\n1 +1 +0 of 4 +\?\n2 +2 +0 of 4 +\?\n/);
    expect(fresh).to.match(/\n8 runs of 8 to do: 8 min at most, by the time limit; a first run tells more.\n$/);
    const rows = plan.runs
      .slice(0, 3)
      .map(({ id, point }) => ({ id, point, duration_ms: 2000, status: 'ok' as const }));
    expect(planText(plan, rows)).to.match(/\n5 runs of 8 to do: about 10 s, as runs took so far.\n$/);
    const all = plan.runs.map(({ id, point }) => ({ id, point, duration_ms: 2000, status: 'ok' as const }));
    expect(planText(plan, all)).to.match(/\n2 +2 +4 of 4 +2 s\n\nAll 8 runs are done.\n$/);
  });
});
