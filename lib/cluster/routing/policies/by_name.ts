/** Policies by the names that `router.policy` takes: those that are there, and those of plug-ins. */
import type { ExpertwireConfig } from '../../../config/schema.js';
import { ROUTING_POLICIES } from '../../../config/plugin_names.js';
import type { PluginRegistry } from '../../../plugins/plugin_registry.js';
import { checkedRoutingPolicy } from '../../../plugins/routing_policies.js';
import type { RoutingPolicy } from '../../base/routed_request.js';
import { kv } from './kv.js';
import { length } from './length.js';
import { leastLoad, minExpectedLatency, minObservedLatency, random, roundRobin } from './plain.js';
import { slo } from './slo.js';
import { sticky } from './sticky.js';

/** What policies are made with. */
export type PolicySettings = Pick<
  ExpertwireConfig['router'],
  'seed' | 'kv_overlap_weight' | 'temperature' | 'slo' | 'session_header'
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
 * The policy of a checked configuration; sessions stay where they are, if a header names them.
 * @throws PluginError PLUGIN_FAILED where a plug-in's fails its trial
 */
export function routingPolicyNamed(
  name: string,
  { routingPolicies }: Pick<PluginRegistry, 'routingPolicies'>,
  settings: PolicySettings,
): RoutingPolicy {
  const brought = routingPolicies.get(name);
  const policy = brought === undefined ? POLICIES[name as PolicyName](settings) : checkedRoutingPolicy(brought);
  return settings.session_header === null ? policy : sticky(policy);
}
