import { expect } from 'chai';
import type { ExpertUse, TierPolicy } from '../../../experts/tiers/tier_policy.js';
import { PluginError } from '../../../lib/plugins/errors.js';
import { PluginRegistry } from '../../../lib/plugins/plugin_registry.js';
import { tierPolicyNamed } from '../../../lib/plugins/tier_policies.js';
import { errorOf } from '../../kit/rejects.js';

const use = (expert: number): ExpertUse => ({ layer: 3, expert, numUses: 1, frequency: 1, lastUse: expert });
const RESIDENT = [use(4), use(7)];
const WANTED = use(9);

async function policyOf(policy: unknown): Promise<TierPolicy> {
  const registry = new PluginRegistry();
  await registry.fill('a.mjs', (api) => api.registerTierPolicy('mine', policy as TierPolicy), {});
  return tierPolicyNamed('mine', registry);
}

describe('policies of tiers by name', () => {
  it('are those that are there, and those of plug-ins, which see what is there and what is wanted', async () => {
    expect(tierPolicyNamed('lru', new PluginRegistry())(RESIDENT, WANTED)).to.equal(0);
    const policy = await policyOf((resident: readonly ExpertUse[], wanted: ExpertUse) =>
      resident.findIndex(({ expert }) => expert === wanted.expert - 2),
    );
    expect(policy(RESIDENT, WANTED)).to.equal(1);
  });

  it('of plug-ins write over nothing but what is their own', async () => {
    const policy = await policyOf((resident: { frequency: number }[], wanted: { lastUse: number }) => {
      resident[0]!.frequency = wanted.lastUse = 99;
      return resident.length - 1;
    });
    expect(policy(RESIDENT, WANTED)).to.equal(1);
    expect([RESIDENT[0], WANTED]).to.deep.equal([use(4), use(9)]);
  });

  it('that choose what isn’t there, throw or give a promise are told by name, with the expert that was wanted', async () => {
    for (const [policy, message] of [
      [() => 2, /a\.mjs.*"mine".*gave 2 for expert 9 of layer 3; give the index of one of 2 experts/],
      [() => -1, /gave -1/],
      [() => 0.5, /gave 0\.5/],
      [() => undefined, /gave undefined|gave nothing/],
      [() => Promise.resolve(0), /gave a promise for expert 9 of layer 3/],
      [
        () => {
          throw new Error('of this test');
        },
        /threw for expert 9 of layer 3: .*of this test; mend it/,
      ],
    ] as const) {
      const chosen = await policyOf(policy);
      const error = await errorOf(PluginError, () => chosen(RESIDENT, WANTED));
      expect(error.code).to.equal('PLUGIN_FAILED');
      expect(error.message).to.match(message);
    }
  });

  it('that are no functions, or have a name that is there, are refused', async () => {
    expect((await errorOf(PluginError, () => policyOf({}))).message).to.include('give a function');
    const registry = new PluginRegistry();
    const taken = registry.fill('a.mjs', (api) => api.registerTierPolicy('lru', () => 0), {});
    expect((await errorOf(PluginError, () => taken)).message).to.include('choose another name');
  });
});
