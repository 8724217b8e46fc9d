/** What a model's specification is as data, for those that families of others make: each field as spec.ts says it, and nothing besides. */
import * as z from 'zod';
import { count, expertsProblem, MAX_LAYERS, MAX_SIZE } from '../model/spec/hf_config.js';
import type { ModelSpec } from '../model/spec/spec.js';

const whole = z.int().nonnegative().max(MAX_SIZE);
const number = z.number();
const positive = z.number().positive();
const eps = z.number().nonnegative();
const boolean = z.boolean();

const factors = z.strictObject({ ofPairs: z.array(positive).readonly(), attentionFactor: number });
const yarn = z.strictObject({
  kind: z.literal('yarn'),
  factor: positive,
  originalMaxPositions: count,
  betaFast: positive,
  betaSlow: positive,
  mscale: number.nullable(),
  mscaleAllDim: number.nullable(),
  truncate: boolean,
  attentionFactor: number.nullable(),
});
const scaling = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('linear'), factor: positive }),
  z.strictObject({ kind: z.literal('proportional'), numTurning: whole, factor: positive }),
  z.strictObject({
    kind: z.literal('llama3'),
    factor: positive,
    lowFreqFactor: positive,
    highFreqFactor: positive,
    originalMaxPositions: count,
  }),
  z.strictObject({
    kind: z.literal('longrope'),
    originalMaxPositions: count,
    short: factors,
    long: factors,
    inForce: z.enum(['short', 'long']),
  }),
  yarn,
]);
const layout = z.enum(['interleaved', 'half']);
const rope = z.strictObject({ dim: count, theta: positive, layout, scaling: scaling.nullable() });

const indexer = z.strictObject({
  numHeads: count,
  headDim: count,
  topk: count,
  layout,
  isOwn: z.array(boolean).readonly(),
});
const mla = z.strictObject({
  kind: z.literal('mla'),
  numHeads: count,
  qLoraRank: count.nullable(),
  kvLoraRank: count,
  qkNopeHeadDim: count,
  qkRopeHeadDim: count,
  vHeadDim: count,
  latentNormEps: eps,
  indexer: indexer.nullable(),
  softmaxScale: positive,
});
const gqa = z
  .strictObject({
    kind: z.literal('gqa'),
    numHeads: count,
    numKvHeads: count,
    headDim: count,
    qkNorm: z.enum(['head', 'vector']).nullable(),
    hasQkvBias: boolean,
    hasOutputBias: boolean,
    clip: positive.nullable(),
    hasSinks: boolean,
    hasOutputGate: boolean,
    softmaxScale: positive,
  })
  .refine(({ numHeads, numKvHeads }) => numHeads % numKvHeads === 0, 'numKvHeads must divide numHeads');

const mixer = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('attention'), window: count.nullable() }),
  z.strictObject({ kind: z.literal('short_conv'), width: count, hasBias: boolean }),
  z
    .strictObject({
      kind: z.literal('delta_rule'),
      numKeyHeads: count,
      numValueHeads: count,
      keyHeadDim: count,
      valueHeadDim: count,
      width: count,
      projections: z.enum(['by_head', 'apart']),
    })
    .refine(
      ({ numKeyHeads, numValueHeads }) => numValueHeads % numKeyHeads === 0,
      'numKeyHeads must divide numValueHeads',
    ),
]);
const layer = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('dense'), intermediateSize: count, mixer }),
  z.strictObject({ kind: z.literal('moe'), numExperts: count.optional(), mixer }),
]);

const groups = z.strictObject({ numGroups: count, topkGroups: count, score: z.enum(['top2_sum', 'max']) });
const gate = z
  .strictObject({
    numExperts: count,
    numTopk: count,
    scoring: z.union([
      z.enum(['softmax', 'sigmoid']),
      z.strictObject({ kind: z.literal('sparsemixer'), jitterEps: eps }),
    ]),
    groups: groups.nullable(),
    normTopkProb: boolean,
    normEps: eps,
    normMin: eps,
    routedScalingFactor: number,
  })
  .refine(({ numExperts, numTopk }) => numTopk <= numExperts, 'numTopk must be at most numExperts')
  .refine(
    ({ numExperts, numTopk, groups }) =>
      groups === null ||
      (numExperts % groups.numGroups === 0 &&
        groups.topkGroups <= groups.numGroups &&
        numTopk <= (numExperts / groups.numGroups) * groups.topkGroups),
    'groups must divide the experts, topkGroups be at most numGroups, and numTopk fit in topkGroups groups',
  );
const moe = z.strictObject({
  gate,
  hasSelectionBias: boolean,
  hasRouterBias: boolean,
  activation: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('swiglu') }),
    z.strictObject({ kind: z.literal('clamped_swiglu'), limit: positive, alpha: number }),
  ]),
  hasExpertBias: boolean,
  intermediateSize: count,
  sharedIntermediateSize: whole,
  hasSharedGate: boolean,
  hasResidualMix: boolean.optional(),
});

const quantization = z.strictObject({
  method: z.enum(['fp8', 'mxfp4', 'compressed-tensors', 'modelopt', 'awq', 'gptq']),
  blockSize: z.tuple([count, count]).readonly(),
  zeroOffset: z.union([z.literal(0), z.literal(1)]),
  numBits: count.nullable(),
  groupSize: z.union([count, z.literal(Infinity)]).nullable(),
  hasZeros: boolean,
  hasOrder: boolean,
});

const fields = z.strictObject({
  modelType: z.string(),
  hiddenSize: count,
  vocabSize: count,
  maxPositions: count,
  norm: z.enum(['rms', 'layer']),
  normEps: eps,
  normOffset: z.union([z.literal(0), z.literal(1)]),
  multipliers: z.strictObject({ embedding: number, residual: number, logits: number }),
  tieWordEmbeddings: boolean,
  hasHeadBias: boolean,
  eosTokenIds: z.array(z.int().nonnegative()).max(1024).readonly(),
  rope,
  attention: z.discriminatedUnion('kind', [mla, gqa]),
  layers: z
    .array(layer)
    .max(MAX_LAYERS)
    .refine((layers) => layers.some(({ kind }) => kind === 'moe'), 'one layer at least must be of experts')
    .readonly(),
  moe,
  stored: z.strictObject({
    prefix: z.string(),
    replace: z.array(z.tuple([z.string(), z.string()]).readonly()).readonly(),
    experts: z.enum(['rows', 'columns']),
  }),
  quantization: quantization.nullable(),
});

type Whole = z.output<typeof fields>;

/** What can't be of rotations: a kernel would turn channels of other heads. */
function ropeProblem({ rope: { dim, scaling }, attention }: Whole): string | null {
  if (dim % 2 !== 0) return 'dim must be even';
  if (attention.kind === 'mla' && dim !== attention.qkRopeHeadDim) {
    return `dim must be qkRopeHeadDim, ${attention.qkRopeHeadDim}`;
  }
  if (attention.kind === 'gqa' && dim > attention.headDim) return `dim must be at most headDim, ${attention.headDim}`;
  if (scaling?.kind === 'proportional' && scaling.numTurning > dim / 2) return 'numTurning must be at most dim / 2';
  const isWhole =
    scaling?.kind !== 'longrope' || [scaling.short, scaling.long].every(({ ofPairs }) => ofPairs.length === dim / 2);
  return isWhole ? null : 'ofPairs must have dim / 2 factors';
}

/** What can't be of the keys that an indexer chooses. */
function indexerProblem({ attention, layers, rope }: Whole): string | null {
  const indexer = attention.kind === 'mla' ? attention.indexer : null;
  if (indexer === null) return null;
  if (indexer.headDim < rope.dim) return `headDim must be at least rope.dim, ${rope.dim}`;
  if (indexer.isOwn.length !== layers.length) return `isOwn must tell of each of the ${layers.length} layers`;
  return indexer.isOwn[0] === true ? null : 'the first layer must have its own';
}

/** A specification as data. */
export const specSchema = fields.superRefine((spec, context) => {
  const problems = [
    { path: ['rope'], message: ropeProblem(spec) },
    { path: ['attention', 'indexer'], message: indexerProblem(spec) },
    { path: ['moe', 'gate', 'numExperts'], message: expertsProblem(spec.moe.gate.numExperts, spec.layers.length) },
  ];
  for (const { path, message } of problems) if (message !== null) context.addIssue({ code: 'custom', path, message });
}) satisfies z.ZodType<ModelSpec>;
