import { expect } from 'chai';
import { snakeJson } from '../../../../lib/commands/generate/snake_json.js';
import { statsJson } from '../../../../lib/commands/generate/stats_json.js';
import type { EngineStats } from '../../../../lib/head/engine.js';
import { generateIds } from '../../../kit/engine/engines.js';
import { startLocalEngine } from '../../../kit/engine/local_engine.js';
import { tinyModel } from '../../../kit/paths.js';

/** As the statistics of `generate --json` call what an engine counts. */
const TOLD_AS: Readonly<Record<keyof EngineStats, string>> = {
  ...{ numRanks: 'ranks', rankStates: 'rank_states', epoch: 'epoch', backend: 'backend', compute: 'compute' },
  ...{ resident: 'resident', numSteps: 'steps', numPromptTokens: 'prompt_tokens', numOutputTokens: 'output_tokens' },
  ...{ lostRanks: 'lost_ranks', numDegradedTokens: 'degraded_tokens', numSkippedChoices: 'skipped_choices' },
  ...{ stepMs: 'step_ms', phasesMs: 'phases_ms' },
  ...{ rankPhasesMs: 'rank_phases_ms', dispatchBytes: 'bytes_dispatched', combineBytes: 'bytes_combined' },
  ...{ waitMs: 'wait_ms', expertLoad: 'expert_load', rankLoad: 'rank_load', makespan: 'makespan' },
  ...{ balancedness: 'balancedness', windowLoad: 'window_load', balanceOverTime: 'balance_over_time' },
  ...{ ranks: 'rank_stats', loadReports: 'load_reports', spares: 'spares', numPreempted: 'preempted' },
  ...{ numSharedTokens: 'shared_tokens', numPrefixQueries: 'num_prefix_queries', numPrefixHits: 'num_prefix_hits' },
  ...{ numEvictedBlocks: 'num_evicted_blocks', numMoved: 'num_moved', numMovedTokens: 'num_moved_tokens' },
  ...{ numArrived: 'num_arrived', numArrivedTokens: 'num_arrived_tokens', numRefusedPins: 'num_refused_pins' },
  ...{ tiers: 'tiers', rebalancing: 'rebalancing', scaling: 'scaling', speeds: 'rank_speeds' },
  ...{ arrivals: 'arrivals', pool: 'pool' },
};
const TIMING = { elapsedMs: 1000, firstTokenMs: 10 };

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

/** Numbers, texts and nulls of a value, at any depth. */
const numLeaves = (value: unknown): number => {
  if (ArrayBuffer.isView(value)) return (value as Float64Array).length;
  return isObject(value) ? Object.values(value).reduce((sum: number, each) => sum + numLeaves(each), 0) : 1;
};

describe('the statistics of generate --json', function () {
  this.timeout(60_000);

  it('have all that an engine counts, and nothing is lost on the way', async () => {
    const local = await startLocalEngine(tinyModel('tiny-deepseek-v3'), {
      numRanks: 2,
      set: ['load_balance.enabled=true', 'load_balance.step_interval=4', 'load_balance.window_size=4'],
    });
    try {
      await generateIds(local.engine, { promptTokenIds: [5, 17, 3], maxNewTokens: 8 });
      const stats = local.engine.stats();
      const json = statsJson({ stats: () => stats }, TIMING) as Record<string, unknown>;
      expect(Object.keys(TOLD_AS).sort()).to.deep.equal(Object.keys(stats).sort());
      for (const [key, name] of Object.entries(TOLD_AS)) {
        expect(json, key).to.have.property(name);
        if (['resident', 'loadReports'].includes(key)) continue; // without digests, and what an option has already
        expect(numLeaves(json[name]), key).to.equal(numLeaves(stats[key as keyof EngineStats]));
      }
      expect(json).to.deep.include({ steps: stats.numSteps, makespan: stats.makespan, phases_ms: stats.phasesMs });
      expect(json.rebalancing).to.include.keys('rebalances', 'rebalanced_at', 'skipped', 'moved_experts', 'last_error');
      expect(JSON.stringify(json)).not.to.match(/"[a-z]+[A-Z]\w*":|expert_digests/);
    } finally {
      await local.close();
    }
  });

  it('are in snake_case at every depth, with lists for typed arrays', () => {
    expect(snakeJson({ numKvBlocks: [{ maxLoad: Float64Array.of(1, 2) }], aB: null }, { aB: 'c' })).to.deep.equal({
      num_kv_blocks: [{ max_load: [1, 2] }],
      c: null,
    });
  });
});
