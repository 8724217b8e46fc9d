import { expect } from 'chai';
import { heatOf } from '../../../bench/experiment/base/pass_details.js';
import { textMetrics } from '../../../bench/experiment/base/pass_metrics.js';
import { generateMeasure } from '../../../lib/experiment/measures/generate.js';
import { openModel } from '../../../lib/head/opened_model.js';
import { countsOf, measured, plannedRun, type RunOptions } from '../../kit/experiment/planned_run.js';
import { Processes } from '../../kit/processes/processes.js';
import { errorOf } from '../../kit/rejects.js';

const processes = new Processes();
const TWO_RANKS: RunOptions = {
  workload: { random: { prompts: 3, tokens: 9 } },
  set: ['parallel.ranks=2', 'generate.max_new_tokens=5', 'generate.ignore_eos=true'],
};

describe('measure: generate', function () {
  this.timeout(120_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  it('two runs of a seed have the same tokens, routing and counts, also after a warm-up and over slow links', async () => {
    const [cold, warm] = await Promise.all([
      plannedRun('generate', TWO_RANKS),
      plannedRun('generate', { ...TWO_RANKS, warmup: 1, workload: { ...TWO_RANKS.workload, link: { delay_ms: 1 } } }),
    ]);
    const { result: first } = await measured(cold);
    const { result: second, log } = await measured(warm);
    const declared = Object.keys(generateMeasure.metricsOf({ routing: true } as never));
    expect(Object.keys(first.metrics)).to.have.members(declared);
    const counts = countsOf(cold, first);
    expect(counts).to.include({ num_prompts: 3, prompt_tokens: 27, output_tokens: 15 });
    expect(counts.bytes_per_token).to.be.above(0);
    expect(countsOf(warm, second)).to.deep.equal(counts);
    expect(log.join()).to.match(/warm-up 1 of 1/);
    expect(first.metrics).to.include({ rebalances: null, lost_ranks: 0 });
    const load = (first.details as { expert_load: number[][] }).expert_load.flat();
    const { prompts } = first.details as unknown as { prompts: { routed: number[][] }[] };
    const routed = prompts.flatMap((prompt) => prompt.routed.flat());
    expect(load.reduce((a, b) => a + b)).to.equal(routed.reduce((a, b) => a + b));
  });

  it('experts move beside the same steps in two runs of a seed', async () => {
    const balanced = ['step_interval=4', 'window_size=8', 'cool_down=2', 'min_gain=0', 'enabled=true'].map(
      (each) => `load_balance.${each}`,
    );
    const set = [...TWO_RANKS.set!, ...balanced, 'parallel.on_slow=ignore', 'generate.max_new_tokens=20'];
    const run = await plannedRun('generate', { ...TWO_RANKS, set: [...set, 'experts.num_redundant_experts=2'] });
    const [first, second] = [(await measured(run)).result, (await measured(run)).result];
    expect(first.metrics.rebalances).to.be.above(0);
    expect(countsOf(run, second)).to.deep.equal(countsOf(run, first));
    expect(second.metrics.moved_experts).to.equal(first.metrics.moved_experts);
  });

  it('prompts that say two things, nothing, or too much are found before a rank starts', async () => {
    const wrong: readonly [RunOptions, string][] = [
      [{ workload: { prompts: ['one'], random: { prompts: 1, tokens: 1 } } }, 'workload has prompts and random'],
      [{}, 'there is no prompt'],
      [{ workload: { prompts: ['a text'] } }, 'has no tokenizer'],
      [{ workload: { prompts_file: '/nowhere/prompts.txt' } }, "can't be read"],
      [{ workload: { prompts: [{ token_ids: [1, 99_999] }] } }, 'outside the model'],
      [{ workload: { random: { prompts: 1, tokens: 99_999 } } }, 'CONTEXT_LENGTH_EXCEEDED'],
    ];
    for (const [options, text] of wrong) {
      const run = await plannedRun('generate', options);
      const error = await errorOf(Error, async () => generateMeasure.check!(run, await openModel(run.config)));
      expect(error.message).to.include(text);
    }
  });

  it('the heat of a prompt counts each choice of its tokens', () => {
    expect(heatOf([[[0, 2]], [[2, 1]]], 3)).to.deep.equal([[1, 1, 2]]);
  });

  it('a hash tells outputs apart by order, and is left out where experts were not told', () => {
    const one = textMetrics([
      { tokenIds: [1, 2], routed: null },
      { tokenIds: [3], routed: null },
    ]);
    const other = textMetrics([
      { tokenIds: [1], routed: null },
      { tokenIds: [2, 3], routed: null },
    ]);
    expect(one).to.have.all.keys('tokens_sha256');
    expect(one.tokens_sha256).not.to.equal(other.tokens_sha256);
  });
});
