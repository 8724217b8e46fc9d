/** Bytes that a step takes beside weights and KV cache: from limits, before a weight is read. Pure. */
import { ffnScratchBytes } from '../../../compute/wasm/experts/kernel_expert.js';
import { padded } from '../../../compute/wasm/memory/resident_dtype.js';
import type { AttentionSpec, IndexerSpec, MixerSpec, MlaSpec, ModelSpec } from '../spec/spec.js';
import { convolvedChannels } from '../spec/state_shapes.js';

/** Of one rank. */
export interface StepLimits {
  /** Of all sequences of a step. */
  readonly numTokens: number;
  /** That compute with the kernels. */
  readonly numThreads: number;
  /** Tokens of the longest sequence. */
  readonly numKeys: number;
}

/** Hidden states of so many tokens, and what a layer computes from them. */
export function activationBytes({ hiddenSize, layers, moe, attention }: ModelSpec, numTokens: number): number {
  const widest = Math.max(...denseWidths(layers), moe.gate.numTopk * moe.intermediateSize);
  const mixerWidth = Math.max(...layers.map(({ mixer }) => mixerFloats(mixer, hiddenSize)));
  const headWidth = attention.kind === 'mla' ? attention.kvLoraRank + attention.qkRopeHeadDim : attention.headDim;
  const numWidths = attention.kind === 'gqa' && attention.hasOutputGate ? 5 : 3;
  const ofMixers = Math.max(numWidths * attention.numHeads * headWidth, mixerWidth);
  return 4 * numTokens * (8 * hiddenSize + 3 * widest + ofMixers);
}

/** Of a token, in a layer with a state: rows beside those of the hidden states (short_conv_layer.as.ts, delta_rule_layer.as.ts). */
function mixerFloats(mixer: MixerSpec, hiddenSize: number): number {
  switch (mixer.kind) {
    case 'attention':
      return 0;
    case 'short_conv':
      return padded(3 * hiddenSize) + padded(hiddenSize);
    case 'delta_rule': {
      const { numValueHeads, valueHeadDim } = mixer;
      const [convolved, values] = [convolvedChannels(mixer), numValueHeads * valueHeadDim];
      return padded(convolved + values) + padded(convolved + 16) + padded(values) + 2 * padded(numValueHeads);
    }
  }
}

/** In a memory of the kernels: threads have areas of their own. */
export function stepBytes(spec: ModelSpec, limits: StepLimits): number {
  const { numTokens, numThreads } = limits;
  const networks = [...denseWidths(spec.layers), spec.moe.sharedIntermediateSize];
  const ofNetworks = networks.map((intermediate) => ffnScratchBytes({ intermediate }, numTokens, numThreads));
  return activationBytes(spec, numTokens) + Math.max(attentionBytes(spec.attention, limits), ...ofNetworks);
}

/** What attention takes of the kernels' scratch memory beside the rows of the step (gqa_layer.as.ts, mla_layer.as.ts). */
export function attentionBytes(attention: AttentionSpec, limits: StepLimits): number {
  if (attention.kind === 'mla') return mlaBytes(attention, limits);
  const width = roundUp4(attention.headDim);
  return limits.numThreads * laneBytes(limits.numKeys, width, width);
}

/** With an indexer, tokens that see more keys than it chooses attend to those alone. */
function mlaBytes(mla: MlaSpec, limits: StepLimits): number {
  const { indexer } = mla;
  if (indexer === null) return Math.max(absorbedBytes(mla, limits), naiveBytes(mla, limits));
  const dense = { ...limits, numKeys: Math.min(indexer.topk, limits.numKeys) };
  const perToken = (indexer.numHeads + 1) * roundUp4(indexer.headDim) + roundUp4(indexer.numHeads);
  const forms = Math.max(absorbedBytes(mla, dense), naiveBytes(mla, dense), chosenBytes(mla, indexer, limits));
  return 4 * limits.numTokens * (perToken + indexer.topk) + forms;
}

/** Tokens whose keys are gathered at once, and keys that are scored at once (mla_chosen.as.ts, mla_indexer.as.ts). */
const GATHERED_TOKENS = 4;
const SCORED_KEYS = 1024;

function chosenBytes(
  { numHeads, kvLoraRank, qkNopeHeadDim, qkRopeHeadDim, vHeadDim }: MlaSpec,
  { topk, headDim }: IndexerSpec,
  { numTokens, numThreads, numKeys }: StepLimits,
): number {
  if (numKeys <= topk) return 0;
  const latentWidth = roundUp4(kvLoraRank);
  const cacheWidth = latentWidth + roundUp4(qkRopeHeadDim);
  const perHead = roundUp4(qkNopeHeadDim + qkRopeHeadDim) + cacheWidth + padded(kvLoraRank);
  const perToken = roundUp4(numKeys) + numHeads * perHead + topk * cacheWidth + padded(numHeads * vHeadDim) + 4;
  const perThread = Math.max(laneBytes(SCORED_KEYS, roundUp4(headDim), 0), laneBytes(topk, cacheWidth, latentWidth));
  return 4 * Math.min(GATHERED_TOKENS, numTokens) * perToken + numThreads * perThread;
}

/** Tokens whose queries are in the latent space at once (mla_absorbed.as.ts). */
const LATENT_TOKENS = 32;

function absorbedBytes(
  { numHeads, kvLoraRank, qkRopeHeadDim }: MlaSpec,
  { numTokens, numThreads, numKeys }: StepLimits,
): number {
  const latentWidth = roundUp4(kvLoraRank);
  const cacheWidth = latentWidth + roundUp4(qkRopeHeadDim);
  const count = Math.min(LATENT_TOKENS, numTokens);
  return (
    4 * count * numHeads * (cacheWidth + padded(kvLoraRank)) + numThreads * laneBytes(numKeys, cacheWidth, latentWidth)
  );
}

/** Keys that are expanded at once (mla_naive.as.ts). */
const EXPANDED_KEYS = 64;

function naiveBytes(
  { kvLoraRank, qkNopeHeadDim, qkRopeHeadDim, vHeadDim }: MlaSpec,
  { numThreads, numKeys }: StepLimits,
): number {
  const [queryWidth, valueWidth] = [roundUp4(qkNopeHeadDim + qkRopeHeadDim), roundUp4(vHeadDim)];
  const latents = 4 * Math.min(EXPANDED_KEYS, numKeys) * padded(kvLoraRank);
  const perThread = Math.max(latents, laneBytes(numKeys, queryWidth, valueWidth));
  return 4 * numKeys * (queryWidth + valueWidth) + numThreads * perThread;
}

/** Rows of a lane, scores beyond a row's keys, tables, and the least that has room for stored keys and values (lane.as.ts). */
const LANE_ROWS = 16;
const SLACK = 48;
const TABLE_BYTES = 704;
const LEAST_LOADED = 1024;

const laneBytes = (numKeys: number, width: number, valueWidth: number): number =>
  TABLE_BYTES + 4 * (LANE_ROWS * (width + valueWidth + numKeys + SLACK) + Math.max(4 * width, LEAST_LOADED));

const denseWidths = (layers: ModelSpec['layers']): number[] =>
  layers.map((layer) => (layer.kind === 'dense' ? layer.intermediateSize : 0));

const roundUp4 = (n: number): number => 4 * Math.ceil(n / 4);
