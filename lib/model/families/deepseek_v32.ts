/** DeepSeek-V3.2 (DeepSeek-AI, 2025): DeepSeek-V3 with sparse attention by an indexer; and GLM-5 (Z.ai, 2026), whose layers may share what one of them chose. */
import * as z from 'zod';
import { COMMON_FIELDS, commonSpec, count, requireConfig } from '../spec/hf_config.js';
import { ropeFields } from '../spec/rope_config.js';
import { PLAIN_EXPERTS, type IndexerSpec, type ModelSpec } from '../spec/spec.js';
import { family } from './blocks/family.js';
import { V3_GATE_FIELDS, v3Gate } from './blocks/gates.js';
import { layersOf } from './blocks/layers.js';
import { MLA_FIELDS, mlaOf } from './blocks/mla.js';

const INDEXER_TYPES = z.array(z.enum(['full', 'shared']));

const FIELDS = {
  ...COMMON_FIELDS,
  ...ropeFields(),
  ...MLA_FIELDS,
  ...V3_GATE_FIELDS,
  intermediate_size: count,
  moe_intermediate_size: count,
  first_k_dense_replace: z.int().nonnegative().default(3),
  mlp_layer_types: z.array(z.enum(['dense', 'sparse'])).nullish(),
  moe_layer_freq: z.literal(1).default(1),
  rope_interleave: z.literal(true).optional(),
  n_shared_experts: z.int().nonnegative().max(1024).default(1),
  norm_topk_prob: z.boolean().default(true),
  routed_scaling_factor: z.number().default(2.5),
  index_topk: count.default(2048),
  index_head_dim: count.default(128),
} as const;

const schema = z.object({
  ...FIELDS,
  max_position_embeddings: count.default(163_840),
  q_lora_rank: count.default(1536),
  n_group: count.default(8),
  topk_group: count.default(4),
  index_n_heads: count.default(64),
  indexer_rope_interleave: z.literal(false).optional(),
});

const glmSchema = z.object({
  ...FIELDS,
  max_position_embeddings: count.default(202_752),
  rms_norm_eps: z.number().nonnegative().default(1e-5),
  q_lora_rank: count.default(2048),
  n_group: count.default(1),
  topk_group: count.default(1),
  index_n_heads: count.default(32),
  indexer_rope_interleave: z.literal(true).optional(),
  indexer_types: INDEXER_TYPES.nullish(),
  /** `F` and `S`, or their names. */
  index_topk_pattern: z.union([z.string(), INDEXER_TYPES]).nullish(),
  index_topk_freq: z.int().default(1),
  index_skip_topk_offset: z.int().default(2),
});

const ALIASES = { n_routed_experts: 'num_local_experts' };

/** A model from its config.json. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const deepseekV32 = family(
  'deepseek_v32',
  schema,
  (c) => specOf(c, 'half', new Array<boolean>(c.num_hidden_layers).fill(true)),
  ALIASES,
);

/** @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const glmMoeDsa = family('glm_moe_dsa', glmSchema, (c) => specOf(c, 'interleaved', ownIndexers(c)), ALIASES);

type Fields = z.infer<z.ZodObject<typeof FIELDS>> &
  Pick<z.infer<typeof schema>, 'max_position_embeddings' | 'q_lora_rank' | 'n_group' | 'topk_group' | 'index_n_heads'>;

function specOf(c: Fields, layout: IndexerSpec['layout'], isOwn: readonly boolean[]): Omit<ModelSpec, 'modelType'> {
  const types = c.mlp_layer_types;
  requireConfig(
    !types || types.length === c.num_hidden_layers,
    `mlp_layer_types has ${types?.length} entries, and num_hidden_layers is ${c.num_hidden_layers}`,
  );
  requireConfig(
    c.qk_rope_head_dim <= c.index_head_dim,
    `index_head_dim ${c.index_head_dim} must be at least qk_rope_head_dim ${c.qk_rope_head_dim}, which are rotated of it`,
  );
  requireConfig(isOwn[0] === true, 'the first layer must have an indexer of its own');
  const { attention, rope } = mlaOf(c, 'interleaved');
  const { index_n_heads: numHeads, index_head_dim: headDim, index_topk: topk } = c;
  const isMoe = (i: number): boolean => (types ? types[i] === 'sparse' : i >= c.first_k_dense_replace);
  return {
    ...commonSpec(c),
    attention: { ...attention, indexer: { numHeads, headDim, topk, layout, isOwn } },
    rope,
    layers: layersOf(c.num_hidden_layers, c.intermediate_size, isMoe),
    moe: {
      ...PLAIN_EXPERTS,
      gate: v3Gate(c),
      hasSelectionBias: true,
      intermediateSize: c.moe_intermediate_size,
      sharedIntermediateSize: c.moe_intermediate_size * c.n_shared_experts,
    },
  };
}

/** Which layers choose, by their types, by a pattern, or every so many behind the first. */
function ownIndexers(c: z.infer<typeof glmSchema>): boolean[] {
  const pattern = c.indexer_types ?? c.index_topk_pattern;
  if (pattern) {
    requireConfig(
      pattern.length === c.num_hidden_layers,
      `${c.indexer_types ? 'indexer_types' : 'index_topk_pattern'} has ${pattern.length} entries, and num_hidden_layers is ${c.num_hidden_layers}`,
    );
    return Array.from(pattern, (type) => type === 'full' || type === 'F');
  }
  const every = Math.max(c.index_topk_freq, 1);
  return Array.from(
    { length: c.num_hidden_layers },
    (_, i) => Math.max(i - c.index_skip_topk_offset + 1, 0) % every === 0,
  );
}
