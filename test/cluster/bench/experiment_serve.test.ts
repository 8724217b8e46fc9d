/** `measure: serve` on real processes. */
import { expect } from 'chai';
import { measured, plannedRun } from '../../kit/experiment/planned_run.js';
import { Processes } from '../../kit/processes/processes.js';

const processes = new Processes();

describe('measure: serve', function () {
  this.timeout(120_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  const load = { num_prompts: 12, request_rate: 'inf', input_len: 8, output_len: 16 };
  const set = ['parallel.ranks=3', 'comm.reduce=source', 'experts.num_redundant_experts=3'];

  it('answers the same whatever befalls its ranks and links, and tells what did', async () => {
    const quiet = await measured(await plannedRun('serve', { workload: { load }, set }));
    const { metrics, details } = quiet.result;
    expect(metrics).to.include({ failed: 0, num_requests: 12, kills: 0, good_share: 1, degraded_tokens: 0 });
    expect(metrics.answers_sha256).to.match(/^[0-9a-f]{64}$/);
    expect(details.requests).to.have.length(12);

    // The first of two tokens of a stream comes a delay each way, and one layer's, before the second.
    const workload = { load, link: { delay_ms: 15 }, kills: { per_minute: 300, return_ms: null } };
    const faulty = await measured(await plannedRun('serve', { workload, set }));
    expect(faulty.result.metrics, faulty.log.join('\n')).to.include({ failed: 0, degraded_tokens: 0 });
    expect(faulty.result.metrics).to.include({ answers_sha256: metrics.answers_sha256 });
    expect(faulty.result.metrics.kills).to.be.at.least(1);
    expect(faulty.result.metrics.lost_ranks).to.be.at.least(1);
  });
});
