/** Descriptors that kernels take: the fields of the AssemblyScript classes of the same names, in the same order. */

/** `address`, `i32` and `f32` take four bytes, `f64` eight, at a multiple of eight. */
export type FieldType = 'address' | 'i32' | 'f32' | 'f64';
/** The fields of a structure by name, in the order in which they lie in memory. */
export type Layout = Readonly<Record<string, FieldType>>;

/** norm.as.ts */
export const NORM = {
  eps: 'f64',
  weight: 'address',
  bias: 'address',
} as const satisfies Layout;

/** router.as.ts */
export const ROUTER = {
  normEps: 'f64',
  normMin: 'f64',
  routedScalingFactor: 'f64',
  jitterEps: 'f64',
  bias: 'address',
  numExperts: 'i32',
  numTopk: 'i32',
  scoring: 'i32',
  numGroups: 'i32',
  topkGroups: 'i32',
  isGroupMax: 'i32',
  normTopkProb: 'i32',
} as const satisfies Layout;

/** route_layer.as.ts */
export const ROUTE_LAYER = {
  norm: 'address',
  gate: 'address',
  gateBias: 'address',
  router: 'address',
  hiddenSize: 'i32',
} as const satisfies Layout;

/** route_layer.as.ts: where it writes. */
export const ROUTED = {
  normed: 'address',
  logits: 'address',
  topkIdx: 'address',
  topkWeights: 'address',
  scratch: 'address',
  scratchBytes: 'address',
} as const satisfies Layout;

/** ffn_layer.as.ts */
export const FFN_LAYER = {
  norm: 'address',
  gate: 'address',
  up: 'address',
  down: 'address',
  residual: 'f32',
  hiddenSize: 'i32',
} as const satisfies Layout;

/** activation.as.ts */
export const FFN_FORM = {
  biases: 'address',
  activation: 'i32',
  limit: 'f32',
  alpha: 'f32',
} as const satisfies Layout;

/** head.as.ts */
export const HEAD = {
  norm: 'address',
  matrix: 'address',
  bias: 'address',
  hiddenSize: 'i32',
} as const satisfies Layout;

/** lane.as.ts */
export const LANE = {
  queries: 'address',
  queryTokenBytes: 'address',
  queryHeadBytes: 'address',
  numTokens: 'i32',
  numHeads: 'i32',
  position: 'i32',
  window: 'i32',
  sinks: 'address',
  width: 'i32',
  softmaxScale: 'f32',
  blocks: 'address',
  blockSize: 'i32',
  form: 'i32',
  keyOffset: 'address',
  keyBytes: 'address',
  valueOffset: 'address',
  valueBytes: 'address',
  valueWidth: 'i32',
  valueDim: 'i32',
  storedKeys: 'address',
  out: 'address',
  outTokenBytes: 'address',
  outHeadBytes: 'address',
  scratch: 'address',
  dtype: 'i32',
} as const satisfies Layout;

/** stored_keys.as.ts */
export const STORED_KEYS = {
  firstDim: 'i32',
  restDim: 'i32',
  restWordAt: 'address',
  restAt: 'address',
  isNarrow: 'i32',
} as const satisfies Layout;

/** step.as.ts */
export const STEP = {
  x: 'address',
  numTokens: 'i32',
  parts: 'address',
  numParts: 'i32',
  angles: 'address',
  chosen: 'address',
  scratch: 'address',
  scratchBytes: 'address',
} as const satisfies Layout;

/** step.as.ts: the tokens of one sequence. */
export const PART = {
  rowStart: 'i32',
  numTokens: 'i32',
  position: 'i32',
  form: 'i32',
  blocks: 'address',
  state: 'address',
  keeps: 'address',
  numKeeps: 'i32',
} as const satisfies Layout;

/** mixers/state.as.ts */
export const KEEP = {
  numTokens: 'i32',
  state: 'address',
} as const satisfies Layout;

/** mixers/convolution.as.ts */
export const CONVOLUTION = {
  weights: 'address',
  bias: 'address',
  width: 'i32',
  channels: 'i32',
  stride: 'i32',
} as const satisfies Layout;

/** mixers/short_conv_layer.as.ts */
export const SHORT_CONV_LAYER = {
  norm: 'address',
  input: 'address',
  output: 'address',
  inputBias: 'address',
  outputBias: 'address',
  convolution: 'address',
  hiddenSize: 'i32',
  stateOffset: 'address',
} as const satisfies Layout;

/** mixers/delta_rule_layer.as.ts */
export const DELTA_RULE_LAYER = {
  norm: 'address',
  input: 'address',
  rates: 'address',
  output: 'address',
  convolution: 'address',
  logDecay: 'address',
  timeBias: 'address',
  outNorm: 'address',
  hiddenSize: 'i32',
  numKeyHeads: 'i32',
  numValueHeads: 'i32',
  keyHeadDim: 'i32',
  valueHeadDim: 'i32',
  stateOffset: 'address',
} as const satisfies Layout;

/** gqa_layer.as.ts */
export const GQA_LAYER = {
  norm: 'address',
  qNorm: 'address',
  kNorm: 'address',
  normsVectors: 'i32',
  q: 'address',
  k: 'address',
  v: 'address',
  output: 'address',
  qBias: 'address',
  kBias: 'address',
  vBias: 'address',
  outputBias: 'address',
  isGated: 'i32',
  clip: 'f32',
  residual: 'f32',
  sinks: 'address',
  window: 'i32',
  hiddenSize: 'i32',
  numHeads: 'i32',
  numKvHeads: 'i32',
  headDim: 'i32',
  ropeDim: 'i32',
  ropeLayout: 'i32',
  softmaxScale: 'f32',
  blockSize: 'i32',
  cacheOffset: 'address',
  kvDtype: 'i32',
} as const satisfies Layout;

/** mla_layer.as.ts */
export const MLA_LAYER = {
  norm: 'address',
  qNorm: 'address',
  kvNorm: 'address',
  qDown: 'address',
  q: 'address',
  kvDown: 'address',
  kvUp: 'address',
  output: 'address',
  hiddenSize: 'i32',
  numHeads: 'i32',
  kvLoraRank: 'i32',
  nopeDim: 'i32',
  ropeDim: 'i32',
  valueDim: 'i32',
  ropeLayout: 'i32',
  softmaxScale: 'f32',
  residual: 'f32',
  indexQuery: 'address',
  indexKey: 'address',
  indexWeights: 'address',
  indexNorm: 'address',
  indexHeads: 'i32',
  indexDim: 'i32',
  indexLayout: 'i32',
  indexTopk: 'i32',
  blockSize: 'i32',
  cacheOffset: 'address',
  kvDtype: 'i32',
  isNarrow: 'i32',
} as const satisfies Layout;

/** Numbers that kernels know alternatives by, in the order of the constants of the same names. */
export const ROPE_LAYOUTS = ['interleaved', 'half'] as const;
/** Numbers of the scoring functions of a gate, as {@link ROPE_LAYOUTS}. */
export const SCORINGS = ['softmax', 'sigmoid', 'sparsemixer'] as const;
/** Numbers of what networks do between their projections (activation.as.ts), as {@link ROPE_LAYOUTS}. */
export const ACTIVATIONS = ['swiglu', 'clamped_swiglu'] as const;
/** Numbers of the ways in which keys and values lie in a block (lane.as.ts), as {@link ROPE_LAYOUTS}. */
export const CACHE_FORMS = ['rows', 'panels'] as const;
/** Numbers of the forms of latent attention, as {@link ROPE_LAYOUTS}. */
export const MLA_FORMS = ['absorbed', 'naive'] as const;
