/**
 * DeepSpeed's MoE layer (Rajbhandari et al. 2022) in a Llama's blocks: top-1 gates weigh by the softmax's own probability, others by shares of their sum; layers may have
 * different numbers of experts (pyramid), and a network beside them (residual). The fields of config.json are DeepSpeed's and Megatron-DeepSpeed's arguments.
 * Why: docs/decisions/families.md#deepspeeds-layer-in-llamas-blocks
 */
import * as z from 'zod';
import { COMMON_FIELDS, commonSpec, count, requireConfig, requireExperts } from '../spec/hf_config.js';
import { ropeFields, ropeOf } from '../spec/rope_config.js';
import { FULL_ATTENTION, OWN_NAMES, PLAIN_EXPERTS, type LayerSpec, type ModelSpec } from '../spec/spec.js';
import { family } from './blocks/family.js';
import { softmaxGate } from './blocks/gates.js';
import { GQA_FIELDS, gqaOf } from './blocks/gqa.js';

/** The smallest sum that weights are divided by: float32's epsilon. */
const EPSILON = 2 ** -23;

/** Of Megatron-DeepSpeed's own models, whose blocks may be others. */
const OTHER_BLOCKS = {
  normalization: z.literal('rmsnorm').optional(),
  position_embedding_type: z.enum(['rope', 'rotary']).optional(),
  swiglu: z.literal(true).optional(),
  add_bias_linear: z.literal(false).optional(),
  mlp_bias: z.literal(false).optional(),
  layernorm_epsilon: z.literal(null).optional(),
  layer_norm_epsilon: z.literal(null).optional(),
} as const;

const schema = z.object({
  ...COMMON_FIELDS,
  ...ropeFields(),
  ...GQA_FIELDS,
  ...OTHER_BLOCKS,
  num_key_value_heads: count.nullish(),
  max_position_embeddings: count.default(2048),
  rms_norm_eps: z.number().nonnegative().default(1e-6),
  intermediate_size: count,
  /** One for all layers with experts, or one for each of them, where 1 is a plain network. */
  num_experts: z.union([count, z.array(count).min(1)]),
  /** Every so many layers has experts, the last of them. */
  expert_interval: count.default(2),
  num_experts_per_tok: count.default(1),
  mlp_type: z.enum(['standard', 'residual']).default('standard'),
  /** Tokens that a capacity has no room for would be lost; without that, capacities count in training alone. */
  drop_tokens: z.literal(false).default(false),
  /** A second expert that is drawn depends on chance. */
  top2_2nd_expert_sampling: z.literal(false).default(false),
});

type Fields = z.infer<typeof schema>;

/** A model from its config.json. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const deepspeedMoe = family('deepspeed_moe', schema, specOf);

function specOf(c: Fields): Omit<ModelSpec, 'modelType'> {
  const { num_experts_per_tok: numTopk, intermediate_size: intermediateSize } = c;
  const listed = countsOf(c);
  const counts = listed.some((count) => count > 1) ? listed.filter((count) => count > 1) : [numTopk];
  requireExperts(Math.max(...counts), c.num_hidden_layers);
  softmaxGate(Math.min(...counts), numTopk, false, ['num_experts', 'num_experts_per_tok']);
  const attention = gqaOf({ ...c, num_key_value_heads: c.num_key_value_heads ?? c.num_attention_heads });
  const isNormed = numTopk > 1;
  return {
    ...commonSpec(c),
    rope: ropeOf(c, { headDim: attention.headDim, layout: 'half', maxPositions: c.max_position_embeddings }),
    attention,
    layers: layersOf(c, listed),
    moe: {
      ...PLAIN_EXPERTS,
      gate: {
        ...softmaxGate(Math.max(...counts), numTopk, isNormed, ['num_experts', 'num_experts_per_tok']),
        normMin: isNormed ? EPSILON : 0,
      },
      intermediateSize,
      ...(c.mlp_type === 'residual' && { sharedIntermediateSize: intermediateSize, hasResidualMix: true }),
    },
    stored: {
      ...OWN_NAMES,
      replace: [
        ['.mlp.gate.', '.mlp.deepspeed_moe.gate.wg.'],
        ['.mlp.experts.', '.mlp.deepspeed_moe.experts.deepspeed_experts.'],
        ['.mlp.shared_experts.', '.mlp.mlp.'],
      ],
    },
  };
}

/** Experts of each layer that has some. @throws ModelError INVALID_MODEL_CONFIG */
function countsOf({ num_experts: given, expert_interval: interval, num_hidden_layers: numLayers }: Fields): number[] {
  const numMoe = Math.floor(numLayers / interval);
  const list = typeof given === 'number' ? [given] : given;
  requireConfig(
    list.length === 1 || list.length === numMoe,
    `num_experts has ${list.length} entries, and ${numMoe} of the ${numLayers} layers have experts (expert_interval ${interval}); give one number, or ${numMoe}`,
  );
  return Array.from({ length: Math.max(1, numMoe) }, (_, i) => list[list.length === 1 ? 0 : i]!);
}

function layersOf(
  { num_hidden_layers: numLayers, expert_interval: interval, intermediate_size: intermediateSize }: Fields,
  counts: readonly number[],
): LayerSpec[] {
  return Array.from({ length: numLayers }, (_, i): LayerSpec => {
    const numExperts = (i + 1) % interval === 0 ? counts[(i + 1) / interval - 1]! : 1;
    if (numExperts === 1) return { kind: 'dense', intermediateSize, mixer: FULL_ATTENTION };
    return { kind: 'moe', numExperts, mixer: FULL_ATTENTION };
  });
}
