/** Policies of tiers by name: those that are there, and those of plug-ins, whose choices are checked. */
import {
  createTierPolicy,
  type ExpertUse,
  type TierPolicy,
  type TierPolicyName,
} from '../../experts/tiers/tier_policy.js';
import { failed, given, kindOf } from './calls.js';
import type { PluginRegistry } from './plugin_registry.js';

/** A rank's own. A plug-in's is asked with copies. @throws PluginError PLUGIN_FAILED, when it is asked: it throws, or chooses nothing that is there */
export function tierPolicyNamed(name: string, { tierPolicies }: Pick<PluginRegistry, 'tierPolicies'>): TierPolicy {
  const owner = tierPolicies.get(name);
  if (owner === undefined) return createTierPolicy(name as TierPolicyName);
  return (resident, wanted) => {
    const where = `for expert ${wanted.expert} of layer ${wanted.layer}`;
    const chosen: unknown = given(owner, where, () => owner.value(resident.map(shownUse), shownUse(wanted)));
    if (Number.isInteger(chosen) && (chosen as number) >= 0 && (chosen as number) < resident.length)
      return chosen as number;
    throw failed(owner, `gave ${kindOf(chosen)} ${where}; give the index of one of ${resident.length} experts`);
  };
}

/** What it writes over is its own. */
const shownUse = ({ layer, expert, numUses, frequency, lastUse }: ExpertUse): ExpertUse => ({
  ...{ layer, expert, numUses, frequency, lastUse },
});
