/** Policies by the names that `router.policy` takes: those that are there, and those of plug-ins. */
import type { ExpertwireConfig } from '../../../config/schema.js';
import { SAME_POLICY, type ROUTING_POLICIES } from '../../../config/plugin_names.js';
import type { PluginRegistry } from '../../../plugins/plugin_registry.js';
import { checkedRoutingPolicy } from '../../../plugins/routing_policies.js';
import type { RoutingPolicy } from '../../base/routed_request.js';
import { byLeg } from './by_leg.js';
import { kv } from './kv.js';
import { length } from './length.js';
import { leastLoad, minExpectedLatency, minObservedLatency, random, roundRobin } from './plain.js';
import { slo } from './slo.js';
import { sticky } from './sticky.js';

/** What policies are made with. */
export type PolicySettings = Pick<
  ExpertwireConfig['router'],
  'decode_policy' | 'seed' | 'kv_overlap_weight' | 'temperature' | 'slo' | 'session_header'
>;

type PolicyName = (typeof ROUTING_POLICIES)[number];

const POLICIES: Readonly<Record<PolicyName, (settings: PolicySettings) => RoutingPolicy>> = {
  kv: ({ seed, temperature, kv_overlap_weight: overlapWeight }) => kv({ overlapWeight, temperature, seed }),
  round_robin: () => roundRobin,
  random: ({ seed }) => random(seed),
  least_load: () => leastLoad,
  min_expected_latency: () => minExpectedLatency,
  min_observed_latency: () => minObservedLatency,
  length: ({ seed }) => length(seed),
  slo: ({ slo: { ttft_ms: ttftMs, tbt_ms: tbtMs } }) => slo({ ttftMs, tbtMs }),
};

/**
 * The policy of a checked configuration; what is behind a prompt that another instance computes goes by `decode_policy`. Sessions stay where they are, if a header
 * names them.
 * @throws PluginError PLUGIN_FAILED where a plug-in's fails its trial
 */
export function routingPolicyNamed(
  name: string,
  { routingPolicies }: Pick<PluginRegistry, 'routingPolicies'>,
  settings: PolicySettings,
): RoutingPolicy {
  const named = (each: string): RoutingPolicy => {
    const brought = routingPolicies.get(each);
    return brought === undefined ? POLICIES[each as PolicyName](settings) : checkedRoutingPolicy(brought);
  };
  const { decode_policy: decodeName, session_header: header } = settings;
  const first = named(name);
  const policy = decodeName === SAME_POLICY ? first : byLeg(first, named(decodeName));
  return header === null ? policy : sticky(policy);
}
