import { expect } from 'chai';
import { join } from 'node:path';
import { placementFrom, withoutRanks } from '../../../experts/placement/placement.js';
import { PluginError } from '../../../lib/plugins/errors.js';
import { loadPlugins } from '../../../lib/plugins/load_plugins.js';
import type { PluginApi } from '../../../lib/plugins/plugin.js';
import { PluginRegistry } from '../../../lib/plugins/plugin_registry.js';
import { replicaChooserNamed } from '../../../lib/plugins/replica_choices.js';
import { repoRoot } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';

type Make = Parameters<PluginApi['registerReplicaChoice']>[1];

/** Slots 0, 3 and 4 hold expert 0; expert 1 is in slot 1, 2 in 2 and 5. */
const PLACEMENT = placementFrom(0, 3, 3, [Int32Array.of(0, 1, 2, 0, 0, 2)]);
const CHOICES = Int32Array.of(0, 1, 2, -1);
const gather = (counts_E: Int32Array) => Promise.resolve([counts_E, counts_E, counts_E]);

async function chooserOf(make: unknown) {
  const registry = new PluginRegistry();
  await registry.fill('a.mjs', (api) => api.registerReplicaChoice('mine', make as Make), {});
  return replicaChooserNamed('mine', registry, { rank: 1 }, gather);
}

const refusalOf = async (choose: (topkIdx: Int32Array) => unknown): Promise<string> =>
  (await errorOf(PluginError, async () => (await chooserOf(() => ({ choose }))).choose(CHOICES, PLACEMENT, 0))).message;

describe('replica choices of plug-ins', () => {
  it('choose at once or later, by the counts of all ranks too, and what they write over is their own', async () => {
    const chooser = await chooserOf((_: unknown, gatherCounts: typeof gather) => ({
      asksAll: true,
      async choose(topkIdx: Int32Array) {
        const all = await gatherCounts(Int32Array.of(1, 1, 1));
        topkIdx.fill(9);
        return Int32Array.of(all.length, 1, 5, -1);
      },
    }));
    expect(chooser.asksAll).to.equal(true);
    const choices = CHOICES.slice();
    expect([...(await chooser.choose(choices, PLACEMENT, 0))]).to.deep.equal([3, 1, 5, -1]);
    expect([...choices]).to.deep.equal([...CHOICES]);
  });

  it('that give another expert, no slot or no table are refused with the choice, its plug-in and what it gave', async () => {
    for (const [choose, message] of [
      [() => Int32Array.of(1, 1, 2, -1), /gave slot 1 for choice 0, expert 0, in MoE layer 0; give one of 0, 3, 4/],
      [() => Int32Array.of(0, -1, 2, -1), /gave slot -1 for choice 1, expert 1, in MoE layer 0; give one of 1/],
      [() => Int32Array.of(0, 1, 6, -1), /gave slot 6 for choice 2, expert 2/],
      [
        () => Int32Array.of(0, 1, 2, 0),
        /gave slot 0 for choice 3, expert -1, in MoE layer 0; give -1, since there is none/,
      ],
      [
        () => Int32Array.of(0, 1, 2),
        /gave Int32Array of 3 in MoE layer 0; give an Int32Array of 4, a slot for each choice/,
      ],
      [() => [0, 1, 2, -1], /gave an array of 4 in MoE layer 0/],
      [() => undefined, /gave undefined in MoE layer 0/],
      [() => Promise.reject(new Error('later')), /threw in MoE layer 0: later; mend it/],
    ] as const) {
      expect(await refusalOf(choose))
        .to.match(/^PLUGIN_FAILED: plug-in a\.mjs, replica choice "mine": /)
        .and.match(message);
    }
    const made = await errorOf(PluginError, () => chooserOf(() => ({ chose: 1 })));
    expect(made.message).to.match(/made \{"chose":1\}; make an object with a function choose/);
    const threw = await errorOf(PluginError, () =>
      chooserOf(() => {
        throw new Error('no');
      }),
    );
    expect(threw.message).to.match(/threw on rank 1: no/);
  });

  it('the example: the next rank upwards that holds the expert, also where ranks are lost', async () => {
    const { registry } = await loadPlugins([
      { path: join(repoRoot(), 'examples/plugins/fewest_hops.mjs'), options: {} },
    ]);
    const chosen = async (rank: number, placement = PLACEMENT) => [
      ...(await replicaChooserNamed('fewest_hops', registry, { rank }, gather).choose(CHOICES, placement, 0)),
    ];
    expect(await chosen(0)).to.deep.equal([0, 1, 5, -1].map((slot) => (slot === 5 ? 2 : slot)));
    expect(await chosen(1)).to.deep.equal([3, 1, 2, -1]);
    expect(await chosen(2)).to.deep.equal([4, 1, 5, -1]);
    expect(await chosen(1, withoutRanks(PLACEMENT, [0]))).to.deep.equal([3, -1, 2, -1]);
  });
});
