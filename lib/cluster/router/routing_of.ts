/** From the settings of a router to what routes by them. */
import { SAME_POLICY } from '../../config/plugin_names.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { modelNameOf } from '../../hub/cache/model_name.js';
import type { PluginRegistry } from '../../plugins/plugin_registry.js';
import { Prompts } from '../../server/openai/requests/prompts.js';
import { chatSettingsOf } from '../../tokenizer/chat_template.js';
import type { Tokenizer } from '../../tokenizer/tokenizer.js';
import type { TokenizerThread } from '../../tokenizer/tokenizer_thread.js';
import { routingPolicyNamed } from '../routing/policies/by_name.js';
import type { ReplicationOptions } from '../routing/pool/replication.js';
import { RoutingTable } from '../routing/routing_table.js';
import type { ReadableModel } from './passage/prompt_reader.js';

/** Prompts aren't longer for anybody; whether one fits, its instance says. */
const MAX_PROMPT_TOKENS = 2 ** 20;

/** Blocks of prompts whose requests are counted: 64 digits and some numbers each. */
const MAX_HOT_BLOCKS = 2 ** 16;

/** Policies that don't ask what is cached, or how long a prompt is. */
const BLIND: ReadonlySet<string> = new Set(['round_robin', 'random', 'least_load', 'min_observed_latency']);

/** Whether the policy is better with tokens than with texts. */
export const needsTokens = ({
  policy,
  decode_policy: decode,
}: Pick<ExpertwireConfig['router'], 'policy' | 'decode_policy'>): boolean =>
  [policy, decode].some((name) => name !== SAME_POLICY && !BLIND.has(name));

/** @throws PluginError PLUGIN_FAILED where a plug-in's policy fails its trial */
export function routingTableOf(
  router: ExpertwireConfig['router'],
  registry: Pick<PluginRegistry, 'routingPolicies'>,
): RoutingTable {
  return new RoutingTable({
    policy: routingPolicyNamed(router.policy, registry, router),
    usesEvents: router.kv_events,
    ttlMs: router.kv_ttl_ms,
    maxBlocks: router.max_index_blocks,
    lengthBuckets: router.length_buckets,
    sessions: { ttlMs: router.session_ttl_ms, maxSessions: router.max_sessions },
    localPrefillTokens: router.local_prefill_tokens,
    replication: replicationOf(router),
  });
}

function replicationOf({
  replication,
  max_index_blocks: maxBlocks,
}: ExpertwireConfig['router']): ReplicationOptions | null {
  if (!replication.enabled) return null;
  return {
    halfLifeMs: replication.half_life_ms,
    maxBlocks: Math.min(maxBlocks, MAX_HOT_BLOCKS),
    maxDepth: replication.max_blocks,
    heatPerReplica: replication.requests_per_replica,
    maxReplicas: replication.max_replicas,
    maxAtOnce: replication.max_at_once,
  };
}

/** The model of the configuration, as its instances call it. */
export function readableModel(
  config: Pick<ExpertwireConfig, 'model' | 'server' | 'generate'>,
  tokenizer: Tokenizer,
  longTexts: TokenizerThread,
): ReadableModel {
  const reading = { tokenizer, limits: { maxModelLen: MAX_PROMPT_TOKENS } };
  return {
    name: config.server.served_model_name ?? modelNameOf(config.model),
    prompts: new Prompts(reading, longTexts, chatSettingsOf(config.generate)),
  };
}
