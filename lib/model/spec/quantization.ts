/**
 * What a model folder says of how its weights are quantised. The tensors themselves tell most of it (lib/model/stored); what they don't tell is here, and what can't be run is
 * refused by its name. Why: docs/decisions/formats.md#tensors-tell-their-format
 */
import * as z from 'zod';
import { shown } from '../../../base/foreign_text.js';
import { ModelError } from './errors.js';

/** What a checkpoint's tensors don't tell of its format. */
export interface Quantization {
  /** As `quantization_config` calls it. */
  readonly method: QuantMethod;
  /** Rows and columns that share a scale of blocks. */
  readonly blockSize: readonly [number, number];
  /** What stored zero points lack: 1 in the first format of GPTQ. */
  readonly zeroOffset: 0 | 1;
  /** Bits of an integer; null: not said, or not the same for all weights. */
  readonly numBits: number | null;
  /** Columns that share a scale; Infinity: all of a row; null as {@link numBits}. */
  readonly groupSize: number | null;
  /** Whether zero points belong to weights. */
  readonly hasZeros: boolean;
  /** Whether a tensor says which group a column is of. */
  readonly hasOrder: boolean;
}

/** Methods whose formats can be read. */
const METHODS = ['fp8', 'mxfp4', 'compressed-tensors', 'modelopt', 'awq', 'gptq'] as const;
/** One of them. */
export type QuantMethod = (typeof METHODS)[number];

/** Of checkpoints that say nothing: blocks as DeepSeek-V3 has them. */
export const UNSAID: Omit<Quantization, 'method'> = {
  blockSize: [128, 128],
  zeroOffset: 1,
  numBits: null,
  groupSize: null,
  hasZeros: false,
  hasOrder: false,
};

/** Formats of compressed-tensors. Each module has one; `mixed-precision`: they differ. */
const COMPRESSED_FORMATS = [
  'dense',
  'float-quantized',
  'int-quantized',
  'naive-quantized',
  'pack-quantized',
  'nvfp4-pack-quantized',
  'mxfp4-pack-quantized',
  'mxfp8-quantized',
  'mixed-precision',
] as const;

/** Names in hf_quant_config.json, and `quant_algo` of modelopt in config.json. */
const MODELOPT_ALGORITHMS = ['FP8', 'FP8_PER_CHANNEL_PER_TOKEN', 'FP8_PB_WO', 'NVFP4', 'MIXED_PRECISION'] as const;

const block = z.tuple([z.int().positive(), z.int().positive()]);

/** −1: all of a row. */
const groupSize = z.union([z.literal(-1), z.int().positive()]);

/** A group of modules of compressed-tensors. */
const group = z.object({
  format: z.enum(COMPRESSED_FORMATS).nullish(),
  weights: z
    .object({
      block_structure: block.nullish(),
      num_bits: z.int().positive().nullish(),
      type: z.string().nullish(),
      symmetric: z.boolean().nullish(),
      group_size: groupSize.nullish(),
      actorder: z.union([z.boolean(), z.enum(['group', 'weight', 'dynamic', 'static'])]).nullish(),
    })
    .nullish(),
});

/** A name in any case; null is as good as none. */
const formatName = <T extends string>(names: readonly T[]) =>
  z.preprocess((name) => (typeof name === 'string' ? name.toLowerCase() : name), z.enum(names).nullish());

const SCHEMAS = {
  fp8: z.object({
    fmt: z.enum(['e4m3', 'float8_e4m3fn']).default('e4m3'),
    weight_block_size: block.nullish(),
    expert_dtype: z.literal('fp8').nullish(),
  }),
  mxfp4: z.object({}),
  'compressed-tensors': z.object({
    format: z.enum(COMPRESSED_FORMATS).nullish(),
    config_groups: z.record(z.string(), group).default({}),
    sparsity_config: z.object({ format: z.literal('dense').default('dense') }).nullish(),
    transform_config: z.object({ config_groups: z.strictObject({}).default({}) }).nullish(),
  }),
  modelopt: z.object({ quant_algo: z.enum(MODELOPT_ALGORITHMS) }),
  awq: z.object({
    bits: z.literal(4).nullish(),
    w_bit: z.literal(4).nullish(),
    q_group_size: groupSize.nullish(),
    version: formatName(['gemm']),
    format: formatName(['gemm']),
    group_size: groupSize.nullish(),
  }),
  gptq: z.object({
    bits: z.literal([2, 4, 8]).nullish(),
    group_size: groupSize.nullish(),
    desc_act: z.boolean().nullish(),
    checkpoint_format: formatName(['gptq', 'gptq_v2']),
    format: formatName(['gptq', 'gptq_v2']),
    dynamic: z.record(z.string(), z.unknown()).nullish(),
  }),
} as const satisfies Record<QuantMethod, z.ZodType>;

/**
 * @param config `quantization_config` of config.json, or what {@link withQuantConfig} made of another file
 * @returns null: the weights are not quantised, or only their tensors say so
 * @throws ModelError UNSUPPORTED_MODEL with the name of the method or of the field's value that isn't implemented
 */
export function quantizationOf(config: unknown): Quantization | null {
  if (config === undefined || config === null) return null;
  const given = config as { readonly quant_method?: unknown };
  const method = METHODS.find((name) => name === given.quant_method);
  if (method === undefined) throw unsupported('quant_method', given.quant_method, METHODS);
  switch (method) {
    case 'fp8':
      return { method, ...UNSAID, blockSize: parse(method, config).weight_block_size ?? UNSAID.blockSize };
    case 'compressed-tensors':
      return { method, ...UNSAID, ...compressed(Object.values(parse(method, config).config_groups)) };
    case 'gptq': {
      const { bits, group_size: size, desc_act: isOrdered, ...said } = parse(method, config);
      const zeroOffset = (said.checkpoint_format ?? said.format ?? 'gptq') === 'gptq' ? 1 : 0;
      if (Object.keys(said.dynamic ?? {}).length > 0) return { method, ...UNSAID, zeroOffset }; // modules have bits and groups of their own
      const ofAll = { numBits: bits ?? null, groupSize: sizeOf(size), hasOrder: isOrdered === true };
      return { method, ...UNSAID, zeroOffset, ...ofAll };
    }
    case 'awq': {
      const { group_size: size, q_group_size: formerly } = parse(method, config);
      return { method, ...UNSAID, groupSize: sizeOf(size ?? formerly) };
    }
    case 'mxfp4':
    case 'modelopt':
      parse(method, config);
      return { method, ...UNSAID };
  }
}

/** What all groups of modules say alike; tensors tell where they differ. */
function compressed(groups: readonly z.infer<typeof group>[]): Partial<Quantization> {
  const all = groups.flatMap(({ weights }) => weights ?? []);
  const integers = all.filter(({ type }) => type === 'int');
  const isAll = (is: (weights: (typeof all)[number]) => boolean): boolean => integers.length > 0 && integers.every(is);
  const [bits, size] = [integers[0]?.num_bits ?? null, all[0]?.group_size];
  return {
    blockSize: all.find((weights) => weights.block_structure)?.block_structure ?? UNSAID.blockSize,
    numBits: integers.every((weights) => weights.num_bits === bits) ? bits : null,
    groupSize: all.every((weights) => weights.group_size === size) ? sizeOf(size) : null,
    hasZeros: isAll(({ symmetric }) => symmetric === false),
    hasOrder: isAll(({ actorder }) => actorder === 'group' || actorder === 'dynamic' || actorder === true),
  };
}

const sizeOf = (size: number | null | undefined): number | null => (size === -1 ? Infinity : (size ?? null));

/** config.json with what hf_quant_config.json, which NVIDIA's tools write beside it, says of weights; config.json's own word counts first. */
export function withQuantConfig(
  config: Readonly<Record<string, unknown>>,
  quantConfig: Readonly<Record<string, unknown>> | undefined,
): Readonly<Record<string, unknown>> {
  const { quant_algo: name = null } = (quantConfig?.quantization ?? {}) as { readonly quant_algo?: unknown };
  if (name === null || config.quantization_config != null) return config;
  return { ...config, quantization_config: { quant_method: 'modelopt', quant_algo: name } };
}

function parse<M extends QuantMethod>(method: M, config: unknown): z.infer<(typeof SCHEMAS)[M]> {
  const result = SCHEMAS[method].safeParse(config);
  if (result.success) return result.data as z.infer<(typeof SCHEMAS)[M]>;
  const issue = result.error.issues[0]!;
  let value: unknown = config;
  for (const key of issue.path) value = (value as Record<PropertyKey, unknown> | undefined)?.[key];
  const field = issue.path.join('.');
  if (issue.code === 'invalid_value') throw unsupported(field, value, issue.values);
  throw unsupported(field, value, [issue.message]);
}

function unsupported(field: string, value: unknown, supported: readonly unknown[]): ModelError {
  const got = value === undefined ? 'missing' : shown(value);
  const message =
    `the weights are quantised: quantization_config.${field} is ${got}, which isn't implemented; ` +
    `what is: ${supported.map(String).join(', ')}; choose such a checkpoint, or an unquantised one`;
  return new ModelError('UNSUPPORTED_MODEL', message);
}
