/** Keys whose values name something that plug-ins may bring. */
import { WIRE_DTYPES } from '../../comm/codec/wire_dtype.js';
import { PLANNERS } from '../../experts/placement/planners/index.js';
import { REPLICA_CHOICES } from '../../experts/placement/replica_choice.js';
import { TIER_POLICIES } from '../../experts/tiers/tier_policy.js';

/** The value of `experts.gate` that asks for no plug-in. */
export const OWN_GATE = 'model';

/** Ways to choose an instance for a request (lib/cluster/routing). */
export const ROUTING_POLICIES = [
  'kv',
  'round_robin',
  'random',
  'least_load',
  'min_expected_latency',
  'min_observed_latency',
  'length',
  'slo',
] as const;

/** The value of `router.decode_policy` that asks for no other one. */
export const SAME_POLICY = 'same';

/** What plug-ins bring that a configuration chooses by name. */
export type PluginKind = 'gate' | 'planner' | 'replica choice' | 'tier policy' | 'codec' | 'routing policy';

/** By key: what plug-ins may bring there, and what is there without any. */
export const PLUGIN_NAMES = {
  'experts.gate': { kind: 'gate', builtIn: [OWN_GATE] },
  'experts.replica_choice': { kind: 'replica choice', builtIn: REPLICA_CHOICES },
  'experts.tier_policy': { kind: 'tier policy', builtIn: TIER_POLICIES },
  'load_balance.planner': { kind: 'planner', builtIn: PLANNERS },
  'comm.wire.dispatch': { kind: 'codec', builtIn: WIRE_DTYPES },
  'comm.wire.combine': { kind: 'codec', builtIn: WIRE_DTYPES },
  'router.policy': { kind: 'routing policy', builtIn: ROUTING_POLICIES },
  'router.decode_policy': { kind: 'routing policy', builtIn: [SAME_POLICY, ...ROUTING_POLICIES] },
} as const satisfies Readonly<Record<string, { readonly kind: PluginKind; readonly builtIn: readonly string[] }>>;

/** Names of a kind that plug-ins brought. */
export type BroughtNames = ReadonlyMap<PluginKind, readonly string[]>;
