/** Gates that several families have. */
import * as z from 'zod';
import { PLAIN_GATE, type GateSpec } from '../../../../compute/base/gate_spec.js';
import { count, requireConfig, requireExperts } from '../../spec/hf_config.js';

/** The gate of a softmax. @param names of both numbers in the family's config.json. @throws ModelError INVALID_MODEL_CONFIG */
export function softmaxGate(numExperts: number, numTopk: number, normTopkProb: boolean, names: ExpertNames): GateSpec {
  requireChoices(numTopk, numExperts, names);
  return { ...PLAIN_GATE, numExperts, numTopk, normTopkProb };
}

/** No token chooses more experts than there are. @throws ModelError INVALID_MODEL_CONFIG */
export function requireChoices(numTopk: number, numExperts: number, [experts, topk]: ExpertNames): void {
  requireConfig(numTopk <= numExperts, `${topk} ${numTopk} must be at most ${experts} ${numExperts}`);
}

/** What config.json calls the number of experts and of choices per token. */
type ExpertNames = readonly [experts: string, topk: string];

/** DeepSeek-V3's gate; families after it give the fields other defaults. */
export const V3_GATE_FIELDS = {
  n_routed_experts: count,
  num_experts_per_tok: count,
  n_group: count.nullish(),
  topk_group: count.nullish(),
  topk_method: z.literal('noaux_tc').default('noaux_tc'),
  scoring_func: z.literal('sigmoid').default('sigmoid'),
  norm_topk_prob: z.boolean().nullish(),
  routed_scaling_factor: z.number().nullish(),
} as const;

type V3GateFields = Omit<z.infer<z.ZodObject<typeof V3_GATE_FIELDS>>, 'topk_method' | 'scoring_func'> & {
  readonly num_hidden_layers: number;
};

/** A sigmoid each, a bias that counts for the choice alone, groups by their two best experts. @throws ModelError INVALID_MODEL_CONFIG */
export function v3Gate(c: V3GateFields): GateSpec {
  return {
    ...PLAIN_GATE,
    numExperts: c.n_routed_experts,
    numTopk: c.num_experts_per_tok,
    scoring: 'sigmoid',
    groups: { ...groupsOf(c), score: 'top2_sum' },
    normTopkProb: c.norm_topk_prob === true,
    normEps: 1e-20,
    routedScalingFactor: c.routed_scaling_factor ?? 1,
  };
}

/** Groups that must divide the experts and hold the choices. @throws ModelError INVALID_MODEL_CONFIG */
export function groupsOf(c: V3GateFields): { readonly numGroups: number; readonly topkGroups: number } {
  requireExperts(c.n_routed_experts, c.num_hidden_layers);
  const [numGroups, topkGroups] = [c.n_group ?? 1, c.topk_group ?? 1];
  const groupSize = c.n_routed_experts / numGroups;
  requireConfig(
    Number.isInteger(groupSize),
    `n_routed_experts ${c.n_routed_experts} must divide by n_group ${numGroups}`,
  );
  requireConfig(
    topkGroups <= numGroups && c.num_experts_per_tok <= groupSize * topkGroups,
    `num_experts_per_tok ${c.num_experts_per_tok} must fit in topk_group ${topkGroups} of ${numGroups} groups`,
  );
  return { numGroups, topkGroups };
}
