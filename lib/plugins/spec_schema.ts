/** What a model's specification is as data, for those that families of others make: each field as spec.ts says it, and nothing besides. */
import * as z from 'zod';
import type { ModelSpec } from '../model/spec/spec.js';

/** As config.json's are bounded: every number of things becomes arrays. */
const MAX_SIZE = 2 ** 24;
const MAX_LAYERS = 4096;

const count = z.int().positive().max(MAX_SIZE);
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
  z.strictObject({ kind: z.literal('moe'), mixer }),
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
    ({ numExperts, groups }) =>
      groups === null || (numExperts % groups.numGroups === 0 && groups.topkGroups <= groups.numGroups),
    'groups must divide the experts, and topkGroups be at most numGroups',
  );
const moe = z.strictObject({
  gate,
  hasSelectionBias: boolean,
  hasRouterBias: boolean,
  activation: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('swiglu') }),
    z.strictObject({ kind: z.literal('clamped_swiglu'), limit: number, alpha: number }),
  ]),
  hasExpertBias: boolean,
  intermediateSize: count,
  sharedIntermediateSize: whole,
  hasSharedGate: boolean,
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

/** Channels of a head that may turn. */
const headOf = ({ attention, rope }: Pick<ModelSpec, 'attention' | 'rope'>): number => {
  if (attention.kind === 'gqa') return attention.headDim;
  return Math.min(attention.qkRopeHeadDim, attention.indexer?.headDim ?? rope.dim);
};

/** A specification as data. */
export const specSchema = z
  .strictObject({
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
    layers: z.array(layer).max(MAX_LAYERS).readonly(),
    moe,
    stored: z.strictObject({
      prefix: z.string(),
      replace: z.array(z.tuple([z.string(), z.string()]).readonly()).readonly(),
      experts: z.enum(['rows', 'columns']),
    }),
    quantization: quantization.nullable(),
  })
  .refine((spec) => spec.rope.dim % 2 === 0 && spec.rope.dim <= headOf(spec), {
    path: ['rope', 'dim'],
    message: "it must be even, and at most a head's channels",
  })
  .refine(({ layers }) => layers.some(({ kind }) => kind === 'moe'), {
    path: ['layers'],
    message: 'one of them at least must be an MoE layer',
  }) satisfies z.ZodType<ModelSpec>;
