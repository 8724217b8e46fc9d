import { expect } from 'chai';
import { killPlan } from '../../../../bench/experiment/serving/kill_plan.js';
import { ConfigError } from '../../../../lib/config/errors.js';
import { serveMeasure } from '../../../../lib/experiment/measures/serve.js';
import type { Json } from '../../../../lib/experiment/base/run.js';
import { openModel } from '../../../../lib/head/opened_model.js';
import { plannedRun, type RunOptions } from '../../../kit/experiment/planned_run.js';

describe('measure: serve', () => {
  async function check(workload: NonNullable<RunOptions['workload']>, set: readonly string[] = ['parallel.ranks=2']) {
    const run = await plannedRun('serve', { workload, set });
    await serveMeasure.check!(run, await openModel(run.config));
  }

  const refused = async (key: string, workload: NonNullable<RunOptions['workload']>, set?: readonly string[]) => {
    const error: unknown = await check(workload, set).catch((thrown: unknown) => thrown);
    expect(error, JSON.stringify(workload)).to.be.instanceOf(ConfigError).and.to.have.property('key', key);
  };

  it('takes a load, a link and kills', () =>
    check({ load: { input_len: 8, output_len: 4 }, link: { delay_ms: 1 }, kills: { per_minute: 6 } }));

  it('finds what can’t be asked before anything runs, with the key', async () => {
    await refused('workload.load.input_len', { load: { input_len: 1_000_000 } });
    await refused('workload.load.file', { load: { dataset: 'trace' } });
    await refused('workload.load.file', { load: { file: 'a.csv' } });
    await refused('workload.load.prompts', { load: { endpoint: 'chat', prompts: 'tokens' } });
    await refused('workload.kills', { load: { input_len: 4, output_len: 4 }, kills: { per_minute: 1 } }, []);
  });

  it('refuses keys and values that there are not', () => {
    const wrong: Json[] = [{ loads: {} }, { load: { num_prompt: 1 } }, { load: { request_rate: 0 } }, { kills: {} }];
    for (const workload of wrong) {
      expect(serveMeasure.workload.safeParse(workload).success, JSON.stringify(workload)).to.equal(false);
    }
    expect(serveMeasure.settings.safeParse({ goodput: { ttft: 5 } }).success).to.equal(false);
  });

  it('has no gap between kills that no timer can wait for', () => {
    const accepts = (rate: number): boolean =>
      serveMeasure.workload.safeParse({ load: {}, kills: { per_minute: rate } }).success;
    expect([0, 0.001, 600].map(accepts)).to.deep.equal([true, true, true]);
    expect([-1, 0.00002, 601].map(accepts)).to.deep.equal([false, false, false]);
    for (const { atMs } of killPlan({ kind: 'rate', perMinute: 0.001, returnMs: null, seed: 1 })) {
      expect(atMs).to.be.below(2 ** 31);
      break;
    }
  });

  it('kills nobody where ranks are threads of one process', () =>
    refused('workload.kills', { load: { input_len: 4, output_len: 4 }, kills: { per_minute: 1 } }, [
      'parallel.ranks=2',
      'comm.transport=threads',
      'comm.on_peer_loss=fail',
    ]));
});
