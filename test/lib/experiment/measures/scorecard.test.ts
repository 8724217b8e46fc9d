import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { costMetrics } from '../../../../bench/experiment/scorecard.js';
import { ConfigError } from '../../../../lib/config/errors.js';
import { readExperiment } from '../../../../lib/experiment/file/read_experiment.js';
import {
  canLoseRank,
  SCORECARD,
  scorecardMeasure,
  scorecardSettingsOf,
} from '../../../../lib/experiment/measures/scorecard.js';
import { measured } from '../../../kit/experiment/planned_run.js';
import { tinyModel } from '../../../kit/paths.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

describe('measure: scorecard', () => {
  const planned = (base: object, workload: object, settings: object = {}, sweep: object = {}) =>
    withTempFolder(async (dir) => {
      const file = join(dir, 'card.yaml');
      const measure = { kind: 'scorecard', ...settings };
      const text = { base: { model: tinyModel('tiny-mixtral'), ...base }, workload, measure, sweep };
      await writeFile(file, JSON.stringify(text));
      return (await readExperiment(file)).runs[0]!;
    });
  const workload = { texts: [{ token_ids: [1, 2, 3, 4] }], load: { input_len: 4, output_len: 4 } };
  const lossy = {
    parallel: { ranks: 2 },
    comm: { wire: { dispatch: 'int8', combine: 'bf16' } },
    experts: { num_redundant_experts: 2, routing: 'uniform', resident: 'int8' },
    engine: { kv_dtype: 'bf16' },
  };

  it('is held against one rank that rounds nothing and routes as the model does, unless it is said otherwise', async () => {
    const { reference } = scorecardSettingsOf(await planned(lossy, workload));
    expect(reference.parallel.ranks).to.equal(1);
    expect(reference.comm).to.deep.include({ reduce: 'source', wire: { dispatch: 'f32', combine: 'f32' } });
    expect(reference.experts).to.include({ routing: 'gate', resident: 'auto', num_redundant_experts: 0 });
    expect(reference.engine.kv_dtype).to.equal('f32');
    const own = scorecardSettingsOf(await planned(lossy, workload, { reference: { 'parallel.ranks': 2 } }));
    expect(own.reference.comm.wire.dispatch).to.equal('int8');
  });

  it('takes back what a run overrides of the model, so that fewer experts per token have their loss', async () => {
    const sweep = { list: [{ 'model_overrides.num_experts_per_tok': 1 }] };
    const base = { model_overrides: { num_experts_per_tok: 3 } };
    const run = await planned(base, workload, {}, sweep);
    expect(run.config.model_overrides).to.deep.equal({ num_experts_per_tok: 1 });
    expect(scorecardSettingsOf(run).reference.model_overrides).to.deep.equal({});
    const { result } = await measured({ ...run, measure: { ...run.measure, kind: 'score' } });
    expect(result.metrics.kl_nats).to.be.above(0);
    const own = await planned(base, workload, { reference: { 'parallel.ranks': 1 } }, sweep);
    expect(scorecardSettingsOf(own).reference.model_overrides).to.deep.equal({ num_experts_per_tok: 1 });
  });

  it('finds texts and loads that can’t be before anything runs', async () => {
    for (const wrong of [
      { ...workload, texts: [] },
      { ...workload, load: { input_len: 1_000_000 } },
    ]) {
      const error: unknown = await planned(lossy, wrong).catch((thrown: unknown) => thrown);
      expect(error, JSON.stringify(wrong)).to.be.instanceOf(ConfigError);
    }
  });

  it('tells of money and of a kill where they are asked for', () => {
    const names = (settings: object): string[] => {
      const parsed = scorecardMeasure.settings.parse(settings);
      return Object.keys(scorecardMeasure.metricsOf(parsed as never));
    };
    expect(names({})).to.include('kill_stall_ms').and.not.include('cost_per_mtoken');
    expect(names({ kill: false, cost_per_hour: 2 }))
      .to.include('cost_per_mtoken')
      .and.not.include('kill_stall_ms');
  });

  it('has a first metric in each corner, which says what is better', () => {
    const firsts = Object.values(SCORECARD).map((metrics) => Object.entries(metrics)[0]!);
    expect(firsts.map(([name, { corner, better }]) => [corner, name, better])).to.deep.equal([
      ['effect', 'kl_nats', 'lower'],
      ['performance', 'goodput_per_s', 'higher'],
      ['cost', 'core_s_per_mtoken', 'lower'],
    ]);
  });

  it('kills nobody where nobody is left, or where ranks end together', async () => {
    const { config } = await planned(lossy, workload);
    const of = (parallel: object, comm: object): boolean =>
      canLoseRank({ parallel: { ...config.parallel, ...parallel }, comm: { ...config.comm, ...comm } });
    expect([of({}, {}), of({ ranks: 1 }, {}), of({}, { transport: 'threads' })]).to.deep.equal([true, false, false]);
  });

  it('counts costs per million tokens', () => {
    const metrics = { core_ms_per_token: 2, duration_s: 36, total_tokens_per_s: 1000 };
    expect(costMetrics(metrics, null)).to.deep.equal({ core_s_per_mtoken: 2000 });
    // 1 per hour is a hundredth in 36 s, for 36,000 tokens.
    expect(costMetrics(metrics, 1).cost_per_mtoken).to.be.closeTo(0.01 / 0.036, 1e-12);
    expect(costMetrics({ ...metrics, core_ms_per_token: null }, null)).to.deep.equal({ core_s_per_mtoken: null });
  });
});
