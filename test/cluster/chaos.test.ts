/** Jobs of real processes under faults of many seeds: kills, stops, cut and silent links, slow ranks, ranks that join and leave, one after another and at once. */
import { expect } from 'chai';
import { setTimeout as delay } from 'node:timers/promises';
import { runChaos } from '../../bench/chaos/run_chaos.js';
import { EngineError } from '../../lib/protocol/errors.js';
import { writeCertificates } from '../kit/comm/certificates.js';
import { chaosScenario } from '../kit/engine/chaos_scenarios.js';
import { generateIds, startEngine } from '../kit/engine/engines.js';
import { moe7mCases } from '../kit/model/goldens.js';
import { moe7m } from '../kit/paths.js';
import { withTempFolder } from '../kit/temp_folder.js';
import { kill, Processes, until } from '../kit/processes/processes.js';

/** `npm run soak` sets more; one that failed is run alone with its seed as the first. */
const NUM_SCENARIOS = Number(process.env.SOAK_CHAOS ?? 1);
const FIRST_SEED = Number(process.env.SOAK_FROM ?? 1);
/** From the moment at which all processes of a job are there, while they load, to one at which it has begun. */
const KILLED_AFTER_MS = [0, 100, 200, 400, 800].slice(0, 2 + NUM_SCENARIOS);

const processes = new Processes();

describe('a job of real processes under faults', function () {
  this.timeout(300_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  for (let seed = FIRST_SEED; seed < FIRST_SEED + NUM_SCENARIOS; seed++) {
    it(`seed ${seed}: every request has its tokens, to the bit, and nothing stays behind`, () =>
      withTempFolder(async (dir) => {
        const options = chaosScenario(seed, await writeCertificates(dir, 'ranks'));
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
      }));
  }

  it('a rank that is killed while a job starts ends it by its name, or is made good', async () => {
    const { prompt_token_ids: promptTokenIds, greedy_token_ids: greedy } = moe7mCases()[0]!;
    for (const ms of KILLED_AFTER_MS) {
      const starting = startEngine({ model: moe7m(), ranks: 3, set: ['comm.on_peer_loss=recover'] });
      const spawned = (): number[] =>
        processes.running().flatMap(({ pid, argv }) => (argv.includes('--spawned') ? [pid] : []));
      await until(
        () => spawned().length === 3,
        () => 'fewer than three ranks',
      );
      await delay(ms);
      kill(spawned()[1]!, 'SIGKILL');
      const outcome = await starting.catch((error: unknown) => error);
      if (outcome instanceof Error) {
        expect(outcome).to.be.instanceOf(EngineError);
        expect(outcome.message).to.match(/^RANK_LOST: rank 1 \(process \d+\) was killed by SIGKILL/);
      } else {
        const engine = outcome as Awaited<typeof starting>;
        const { tokenIds } = await generateIds(engine, { promptTokenIds });
        await engine.close();
        expect(tokenIds).to.deep.equal(greedy);
      }
      processes.expectNone();
    }
  });
});
