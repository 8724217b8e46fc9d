import { expect } from 'chai';
import { join } from 'node:path';
import { ExpertError } from '../../../compute/base/errors.js';
import { createPlacement } from '../../../experts/placement/placement.js';
import type { ExpertLoad, Plan } from '../../../experts/placement/planners/planner.js';
import type { PlanTopology } from '../../../experts/placement/planners/topology.js';
import { PluginError } from '../../../lib/plugins/errors.js';
import { loadPlugins } from '../../../lib/plugins/load_plugins.js';
import type { PluginApi } from '../../../lib/plugins/plugin.js';
import { PluginRegistry } from '../../../lib/plugins/plugin_registry.js';
import { plannerNamed } from '../../../lib/plugins/planners.js';
import { PlannerThread } from '../../../lib/head/rebalancing/planner_thread.js';
import { EngineError } from '../../../lib/protocol/errors.js';
import { repoRoot } from '../../kit/paths.js';
import { withPlugins } from '../../kit/plugin_folder.js';
import { errorOf } from '../../kit/rejects.js';
import { randomFrom } from '../../refs/random.js';

type Fill = Parameters<PluginApi['registerPlanner']>[1];

const LOAD = [Float64Array.of(3, 1, 2, 0)];
const TOPOLOGY = { numRanks: 2, numSlots: 5 };

async function registryWith(fill: Fill): Promise<PluginRegistry> {
  const registry = new PluginRegistry();
  await registry.fill('a.mjs', (api) => api.registerPlanner('mine', fill), {});
  return registry;
}

async function refusalOf(
  fill: () => unknown,
  load: ExpertLoad = LOAD,
  topology: PlanTopology = TOPOLOGY,
): Promise<string> {
  const planner = plannerNamed('mine', await registryWith(fill as Fill));
  try {
    planner.plan(load, topology, null);
  } catch (error) {
    expect(error).to.be.instanceOf(PluginError);
    return (error as PluginError).message;
  }
  return expect.fail('nothing was thrown');
}

const tables = (...slots: readonly number[]) => [Int32Array.from(slots)];

describe('planners of plug-ins', () => {
  it('plan what they give, and what they write over is their own', async () => {
    const current = createPlacement('linear', { numLayers: 1, numExperts: 4, numRanks: 2 });
    const registry = await registryWith(({ current, load_LE }) => {
      current!.phy2log[0]!.fill(-1);
      (load_LE[0] as Float64Array).fill(0);
      return tables(0, 1, 2, 3, 0, -1);
    });
    const { placement, report } = plannerNamed('mine', registry).plan(LOAD, TOPOLOGY, current);
    expect([...placement.phy2log[0]!]).to.deep.equal([0, 1, 2, 3, 0, -1]);
    expect([...current.phy2log[0]!]).to.deep.equal([0, 1, 2, 3]);
    expect(report.numMovedSlots).to.equal(2);
  });

  it('that give what no placement can be are refused with the planner, its plug-in and what it gave', async () => {
    for (const [fill, message] of [
      [() => null, /gave null; give an array of 1 tables, one for each layer/],
      [() => [], /gave an array of 0; give an array of 1 tables/],
      [() => Promise.resolve([]), /gave a promise; it must give its result at once/],
      [() => [[0, 1, 2, 3, -1, -1]], /gave an array of 6 for layer 0; give an Int32Array of 6, the slots of all ranks/],
      [() => tables(0, 1, 2, 3), /gave Int32Array of 4 for layer 0; give an Int32Array of 6/],
      [
        () => tables(0, 1, 2, 4, 3, -1),
        /put expert 4 into slot 0 of rank 1 in layer 0; there are experts 0 … 3, and -1 for none/,
      ],
      [() => tables(0, 1, 2, -2, 3, -1), /put expert -2 into slot 0 of rank 1/],
      [() => tables(0, 1, 0, 2, 3, -1), /put expert 0 into slot 2 of rank 0 in layer 0, which holds it already/],
      [() => tables(0, 1, -1, 2, -1, 3), /put expert 3 into slot 2 of rank 1 in layer 0; that rank has 2 slots/],
      [() => tables(0, 1, -1, 2, -1, -1), /gave no slot to expert 3 in layer 0; give each expert one/],
      [
        () => {
          throw new TypeError('x is undefined');
        },
        /threw: x is undefined; mend it/,
      ],
    ] as const) {
      expect(await refusalOf(fill))
        .to.match(/^PLUGIN_FAILED: plug-in a\.mjs, planner "mine": /)
        .and.match(message);
    }
  });

  it('plan in a thread, which loads them by itself; what fails there is told under their name', () =>
    withPlugins(
      {
        'a.mjs': `export default (api, { slots }) => api.registerPlanner('mine', () => [Int32Array.from(slots)]);`,
        'b.mjs': `throw new Error('not today');`,
      },
      async (path) => {
        const current = createPlacement('linear', { numLayers: 1, numExperts: 4, numRanks: 2 });
        const planned = async (name: string, slots: readonly number[]): Promise<Plan> => {
          const thread = new PlannerThread('mine', [{ path: path(name), options: { slots } }]);
          return thread.plan(LOAD, TOPOLOGY, current).finally(() => thread.close());
        };
        expect([...(await planned('a.mjs', [0, 1, 2, 3, 0, -1])).placement.phy2log[0]!]).to.deep.equal([
          0, 1, 2, 3, 0, -1,
        ]);
        const wrong = await errorOf(EngineError, () => planned('a.mjs', [0, 1]));
        expect(wrong.message).to.match(
          /^REBALANCE_FAILED: PLUGIN_FAILED: plug-in \S+a\.mjs, planner "mine": gave Int32Array of 2 /,
        );
        const missing = await errorOf(EngineError, () => planned('b.mjs', []));
        expect(missing.message).to.match(/^REBALANCE_FAILED: INVALID_PLUGIN: plug-in \S+b\.mjs: .*not today/);
      },
    ));

  it('that nobody brought are refused', () => {
    expect(() => plannerNamed('mine', new PluginRegistry())).to.throw(ExpertError, "no planner 'mine'");
  });

  it('the example: any load, ranks and slots, every expert somewhere and the hottest rank no hotter than by chance', async () => {
    const { registry } = await loadPlugins([
      { path: join(repoRoot(), 'examples/plugins/greedy_planner.mjs'), options: {} },
    ]);
    const planner = plannerNamed('greedy', registry);
    const random = randomFrom(7);
    for (let round = 0; round < 200; round++) {
      const [numRanks, numExperts] = [1 + Math.floor(8 * random()), 1 + Math.floor(40 * random())];
      const numSlots = numExperts + Math.floor(random() * 2 * numExperts);
      const load = [Float64Array.from({ length: numExperts }, () => Math.floor(100 * random() ** 4))];
      const { report } = planner.plan(load, { numRanks, numSlots }, null);
      const linear = plannerNamed('linear', registry).plan(load, { numRanks, numSlots }, null);
      expect(report.after.even).to.be.at.least(linear.report.after.even - 0.15, `${numRanks} ranks, ${numSlots} slots`);
    }
  });
});
