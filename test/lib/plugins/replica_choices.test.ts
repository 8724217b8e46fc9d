import { expect } from 'chai';
import { join } from 'node:path';
import { asRank } from '../../../base/ids.js';
import { CommError } from '../../../comm/base/errors.js';
import { placementFrom, withoutRanks, type Placement } from '../../../experts/placement/placement.js';
import type { GatherCounts } from '../../../experts/placement/replica_choice.js';
import { PluginError } from '../../../lib/plugins/errors.js';
import { loadPlugins } from '../../../lib/plugins/load_plugins.js';
import type { PluginApi } from '../../../lib/plugins/plugin.js';
import { PluginRegistry } from '../../../lib/plugins/plugin_registry.js';
import { replicaChooserNamed, type ChoiceTools } from '../../../lib/plugins/replica_choices.js';
import { repoRoot } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';

type Make = Parameters<PluginApi['registerReplicaChoice']>[1];

/** Slots 0, 3 and 4 hold expert 0; expert 1 is in slot 1, 2 in 2 and 5. */
const PLACEMENT = placementFrom(0, 3, 3, [Int32Array.of(0, 1, 2, 0, 0, 2)]);
const CHOICES = Int32Array.of(0, 1, 2, -1);
const gather = (counts_E: Int32Array) => Promise.resolve([counts_E, counts_E, counts_E]);

const TOOLS = { gather, timeoutMs: 60_000 };

async function chooserOf(make: unknown, tools: Partial<ChoiceTools> = {}) {
  const registry = new PluginRegistry();
  await registry.fill('a.mjs', (api) => api.registerReplicaChoice('mine', make as Make), {});
  return replicaChooserNamed('mine', registry, { rank: 1 }, { ...TOOLS, ...tools });
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

  it('that use their array again or write over the placement change nothing but what they choose', async () => {
    const again = new Int32Array(4);
    const chooser = await chooserOf(() => ({
      choose(topkIdx: Int32Array, { phy2log, log2phy }: Placement) {
        again.set(topkIdx.map((expert) => (expert < 0 ? -1 : log2phy[0]![expert]![0]!)));
        for (const slots of [...phy2log, ...log2phy[0]!]) slots.fill(0);
        return again;
      },
    }));
    const first = await chooser.choose(CHOICES, PLACEMENT, 0);
    again.fill(7);
    expect([...first]).to.deep.equal([0, 1, 2, -1]);
    expect([...PLACEMENT.phy2log[0]!]).to.deep.equal([0, 1, 2, 0, 0, 2]);
  });

  /** A choice that asks with what it is given, and what it ends with. */
  const askingWith = async (asked: unknown[], more: object = { asksAll: true }, tools: Partial<ChoiceTools> = {}) => {
    const make = (_: unknown, gatherCounts: (...given: unknown[]) => Promise<unknown>): object => ({
      ...more,
      async choose() {
        await gatherCounts(...asked);
        return Int32Array.of(0, 1, 2, -1);
      },
    });
    return (await chooserOf(make, tools)).choose(CHOICES, PLACEMENT, 0, new AbortController().signal);
  };

  it('that ask with what can not be, or did not say that they ask, are refused; the signal is the step’s', async () => {
    const counts = Int32Array.of(1, 1, 1);
    const signals: unknown[] = [];
    const heard: GatherCounts = (counts_E, signal) => (signals.push(signal), gather(counts_E));
    await askingWith([counts, 5], { asksAll: true }, { gather: heard });
    expect(signals)
      .to.have.lengthOf(1)
      .and.satisfy(([signal]: unknown[]) => signal instanceof AbortSignal);
    for (const [asked, more, message] of [
      [
        [new Float64Array(3)],
        { asksAll: true },
        /asked with Float64Array of 3 in MoE layer 0; give an Int32Array of 3/,
      ],
      [[counts.subarray(1)], { asksAll: true }, /asked with Int32Array of 2 in MoE layer 0/],
      [[], { asksAll: true }, /asked with undefined/],
      [[counts], {}, /asked all ranks in MoE layer 0; make an object with asksAll: true/],
    ] as const) {
      const error = await errorOf(PluginError, () => askingWith([...asked], more));
      expect(error.message)
        .to.match(/PLUGIN_FAILED: plug-in a\.mjs, replica choice "mine": /)
        .and.match(message);
    }
  });

  it('that ask in vain are no fault of their plug-in', async () => {
    const lost = new CommError('PEER_LOST', 'rank 2 is gone', { rank: asRank(2) });
    const tools = { gather: () => Promise.reject(lost) };
    const counts = Int32Array.of(1, 1, 1);
    expect(await errorOf(CommError, () => askingWith([counts], { asksAll: true }, tools))).to.equal(lost);
  });

  it('that never choose end with the plug-in’s name, or with the step that is given up', async () => {
    const never = { choose: () => new Promise(() => undefined) };
    const late = await chooserOf(() => never, { timeoutMs: 20 });
    const error = await errorOf(PluginError, () => Promise.resolve(late.choose(CHOICES, PLACEMENT, 0)));
    expect(error.message).to.match(/replica choice "mine": did not choose 20 ms long in MoE layer 0; it must not wait/);
    const given = new AbortController();
    const chooser = await chooserOf(() => never);
    const choosing = Promise.resolve(chooser.choose(CHOICES, PLACEMENT, 0, given.signal));
    given.abort(new CommError('ABORTED', 'given up'));
    expect((await errorOf(CommError, () => choosing)).code).to.equal('ABORTED');
  });

  it('the example: the next rank upwards that holds the expert, also where ranks are lost', async () => {
    const { registry } = await loadPlugins([
      { path: join(repoRoot(), 'examples/plugins/fewest_hops.mjs'), options: {} },
    ]);
    const chosen = async (rank: number, placement = PLACEMENT) => [
      ...(await replicaChooserNamed('fewest_hops', registry, { rank }, TOOLS).choose(CHOICES, placement, 0)),
    ];
    expect(await chosen(0)).to.deep.equal([0, 1, 5, -1].map((slot) => (slot === 5 ? 2 : slot)));
    expect(await chosen(1)).to.deep.equal([3, 1, 2, -1]);
    expect(await chosen(2)).to.deep.equal([4, 1, 5, -1]);
    expect(await chosen(1, withoutRanks(PLACEMENT, [0]))).to.deep.equal([3, -1, 2, -1]);
  });
});
