/** Jobs of real processes under faults of many seeds: kills, stops, cut and silent links, slow ranks and ranks that join, one after another and at once. */
import { expect } from 'chai';
import { runChaos } from '../../bench/chaos/run_chaos.js';
import { chaosScenario } from '../kit/engine/chaos_scenarios.js';
import { Processes } from '../kit/processes/processes.js';

/** `npm run soak` sets more; one that failed is run alone with its seed as the first. */
const NUM_SCENARIOS = Number(process.env.SOAK_CHAOS ?? 1);
const FIRST_SEED = Number(process.env.SOAK_FIRST_SEED ?? 1);

const processes = new Processes();

describe('a job of real processes under faults', function () {
  this.timeout(300_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  for (let seed = FIRST_SEED; seed < FIRST_SEED + NUM_SCENARIOS; seed++) {
    const options = chaosScenario(seed);
    it(`seed ${seed}, ${options.plan.length} faults: every request has its tokens, to the bit, and nothing stays behind`, async () => {
      const notices: string[] = [];
      const how = { env: process.env, onNotice: (line: string) => void notices.push(line) };
      const { rows, totals } = await runChaos(options, { ...how, signal: new AbortController().signal });
      const story = JSON.stringify({ seed, ranks: options.ranks, set: options.set, rows, totals, notices }, null, 1);
      const { requests, bit_equal, degraded, failed } = totals;
      expect({ bit_equal, degraded, failed }, story).to.deep.equal({ bit_equal: requests, degraded: 0, failed: 0 });
      expect(
        rows.map(({ recovered }) => recovered),
        story,
      ).to.not.include(false);
    });
  }
});
