/** The facts of a model in words: a name, and what there is to say. Pure. */
import { countsText } from '../../../experts/placement/expert_counts.js';
import { bytes } from '../../metrics/charts.js';
import { MODEL_PARTS, type ModelPart } from '../../model/spec/parameters.js';
import type { AttentionSpec, MixerSpec, ModelSpec } from '../../model/spec/spec.js';
import { cacheBlockBytes, stateFloatsOf } from '../../model/spec/cache_layout.js';
import { expertCountsOf, moeLayersOf, numAttentionLayersOf, windowOf } from '../../model/spec/spec.js';
import type { ModelFacts } from './inspection.js';

/** A line of a table. */
export type Line = readonly [name: string, text: string];

/** Parameters, layers, experts, attention, context. */
export function modelLines(facts: ModelFacts): Line[] {
  const { spec, limits, kvDtype } = facts;
  return [
    ...parameterLines(facts),
    ['layers', layersText(spec)],
    ['experts', expertsText(spec)],
    ['attention', attentionText(spec.attention, spec)],
    ...statesLines(spec),
    ['context', `${spec.maxPositions} tokens${ropeText(spec)}; vocabulary ${spec.vocabSize}${tiedText(spec)}`],
    [
      'KV cache',
      `${bytes(kvBytesPerToken(facts))} per token${kvDtype === 'f32' ? '' : ` in ${kvDtype}`}, ${limits.numKvBlocks} blocks of ${limits.blockSize} tokens`,
    ],
  ];
}

/** 30532122624 → '30.53 B'. */
export function count(numbers: number): string {
  const [size, unit] = ([[1e12, ' T'], [1e9, ' B'], [1e6, ' M'], [1e3, ' K']] as const).find(([s]) => numbers >= s) ?? [1, '']; // prettier-ignore
  return unit === '' ? String(numbers) : `${(numbers / size).toPrecision(4)}${unit}`;
}

/** What the kernels keep of a token, over all layers. */
export const kvBytesPerToken = ({
  spec,
  kvDtype,
  limits: { blockSize },
}: Pick<ModelFacts, 'spec' | 'kvDtype' | 'limits'>): number =>
  (numAttentionLayersOf(spec) * cacheBlockBytes(spec.attention, kvDtype, blockSize)) / blockSize;

/** Of a sequence, over all layers; 0: all layers have keys and values. */
export const stateBytes = ({ layers, hiddenSize }: ModelSpec): number => 4 * stateFloatsOf(layers, hiddenSize);

const PART_NAMES: Readonly<Record<ModelPart, string>> = {
  ...{ embedding: 'embedding', head: 'head', attention: 'attention', states: 'layers with a state', norms: 'norms' },
  ...{ dense_networks: 'dense networks', shared_experts: 'shared experts', gates: 'gates' },
  routed_experts: 'routed experts',
};

function parameterLines({ parameters }: ModelFacts): Line[] {
  const { total, active, activeWithoutEmbedding, parts } = parameters;
  const shown = MODEL_PARTS.filter((part) => parts[part] > 0).toSorted((a, b) => parts[b] - parts[a]);
  return [
    [
      'parameters',
      `${count(total)}, of which a token uses ${count(active)} (${count(activeWithoutEmbedding)} without the embedding)`,
    ],
    ['', shown.map((part) => `${PART_NAMES[part]} ${count(parts[part])}`).join(', ')],
  ];
}

function layersText(spec: ModelSpec): string {
  const numMoe = moeLayersOf(spec).length;
  const dense = spec.layers.flatMap((layer) => (layer.kind === 'dense' ? [layer.intermediateSize] : []));
  const hidden = `hidden states ${spec.hiddenSize} wide`;
  if (dense.length === 0) return `${spec.layers.length}, all with experts; ${hidden}`;
  const widths = [...new Set(dense)].join(', ');
  return `${spec.layers.length}: ${numMoe} with experts, ${dense.length} with one network (${widths} wide); ${hidden}`;
}

function expertsText(spec: ModelSpec): string {
  const { moe } = spec;
  const { numTopk } = moe.gate;
  const numExperts = countsText(expertCountsOf(spec));
  const shared = moe.sharedIntermediateSize === 0 ? '' : `; shared by all tokens: ${moe.sharedIntermediateSize} wide`;
  return `${numExperts} in ${/^\d+$/.test(numExperts) ? 'each layer' : 'the layers'}, ${numTopk} for a token, ${moe.intermediateSize} wide${shared}`;
}

function attentionText(attention: AttentionSpec, spec: ModelSpec): string {
  const windows = spec.layers.map(windowOf).filter((window) => window !== null);
  const windowed = windows.length === 0 ? '' : `; ${windows.length} layers see ${Math.max(...windows)} tokens`;
  if (attention.kind === 'gqa') {
    const { numHeads, numKvHeads, headDim } = attention;
    return `grouped queries: ${numHeads} heads, ${numKvHeads} of keys and values, ${headDim} wide${windowed}`;
  }
  const { numHeads, kvLoraRank, qkRopeHeadDim, indexer } = attention;
  const sparse = indexer === null ? '' : `; an indexer chooses ${indexer.topk} tokens`;
  return `latent: ${numHeads} heads, ${kvLoraRank} + ${qkRopeHeadDim} values per token${sparse}${windowed}`;
}

const MIXERS: Readonly<Record<Exclude<MixerSpec['kind'], 'attention'>, string>> = {
  short_conv: 'short convolutions',
  delta_rule: 'a gated delta rule',
};

function statesLines(spec: ModelSpec): Line[] {
  const kinds = spec.layers.flatMap(({ mixer }) => (mixer.kind === 'attention' ? [] : [MIXERS[mixer.kind]]));
  if (kinds.length === 0) return [];
  const size = `${bytes(stateBytes(spec))} per sequence`;
  return [['states', `${kinds.length} layers with ${[...new Set(kinds)].join(', ')} in place of attention; ${size}`]];
}

const ropeText = ({ rope }: ModelSpec): string =>
  rope.scaling === null ? '' : `, rotations scaled by ${rope.scaling.kind}`;

const tiedText = ({ tieWordEmbeddings }: ModelSpec): string =>
  tieWordEmbeddings ? ', the embedding is the head too' : '';
