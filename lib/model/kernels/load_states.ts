/** Layers without keys and values from a checkpoint, in a kernel memory. */
import type { NormWeights } from '../../../compute/base/norm_weights.js';
import { KernelMatrix } from '../../../compute/wasm/memory/kernel_matrix.js';
import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import type { WeightLoader } from '../../../compute/wasm/memory/weight_loader.js';
import type { DeltaRuleMixer, ModelSpec, ShortConvMixer, StateMixer } from '../spec/spec.js';
import { convolvedChannels } from '../spec/state_shapes.js';
import { deltaRuleName, shortConvName } from '../spec/tensor_names.js';
import type { DenseWeights } from '../weights/weight_reader.js';
import { KernelDeltaRule, projectionRows, rateRows, type StoredRows } from './kernel_delta_rule.js';
import type { KernelMixer } from './kernel_mixer.js';
import { KernelShortConv } from './kernel_short_conv.js';

/** Where a layer is read from, and where it goes. */
export interface StateSource {
  readonly reader: DenseWeights;
  readonly weights: WeightLoader;
  readonly memory: KernelMemory;
  readonly spec: ModelSpec;
  /** In the model. */
  readonly layer: number;
  /** Bytes from a state to this layer's part. */
  readonly stateOffset: number;
  /** Before the layer, of H channels. */
  readonly inputNorm: NormWeights;
}

/** @throws WeightError as the reader; ExpertError OUT_OF_MEMORY, NOT_FINITE */
export const loadStateMixer = (source: StateSource, mixer: StateMixer): Promise<KernelMixer> =>
  mixer.kind === 'short_conv' ? loadShortConv(source, mixer) : loadDeltaRule(source, mixer);

async function loadShortConv(source: StateSource, mixer: ShortConvMixer): Promise<KernelMixer> {
  const { reader, spec, layer, stateOffset, inputNorm } = source;
  const { hiddenSize: hidden } = spec;
  const name = (part: string): string => shortConvName(layer, part);
  const bias = async (part: string, size: number): Promise<Float32Array | null> =>
    mixer.hasBias ? reader.vector(name(part), size) : null;
  return new KernelShortConv(spec, mixer, stateOffset, {
    input: await stored(source, name('in_proj.weight'), 3 * hidden, hidden),
    output: await stored(source, name('out_proj.weight'), hidden, hidden),
    inputBias: await bias('in_proj.bias', 3 * hidden),
    outputBias: await bias('out_proj.bias', hidden),
    convolution: {
      filter: await reader.filter(name('conv.weight'), hidden, mixer.width),
      bias: await bias('conv.bias', hidden),
    },
    inputNorm,
  });
}

async function loadDeltaRule(source: StateSource, mixer: DeltaRuleMixer): Promise<KernelMixer> {
  const { reader, spec, layer, stateOffset, inputNorm } = source;
  const { numValueHeads, valueHeadDim, width } = mixer;
  const name = (part: string): string => deltaRuleName(layer, part);
  return new KernelDeltaRule(spec, mixer, stateOffset, {
    input: await joined(source, name, projectionRows(mixer)),
    rates: await joined(source, name, rateRows(mixer)),
    output: await stored(source, name('out_proj.weight'), spec.hiddenSize, numValueHeads * valueHeadDim),
    convolution: { filter: await reader.filter(name('conv1d.weight'), convolvedChannels(mixer), width), bias: null },
    logDecay: await reader.vector(name('A_log'), numValueHeads),
    timeBias: await reader.vector(name('dt_bias'), numValueHeads),
    // Stored as it is, where the other norms are differences from 1 too.
    outNorm: { weight: await reader.vector(name('norm.weight'), valueHeadDim), bias: null, eps: spec.normEps },
    inputNorm,
  });
}

const stored = ({ reader, weights, memory }: StateSource, name: string, rows: number, columns: number) =>
  weights.matrix(memory, reader.stored(name, [rows, columns], reader.residentDtype(name)), reader.residentDtype(name));

/** One matrix of rows of several, or of one in another order; kept as what holds all of them. */
async function joined(
  { reader, weights, memory, spec }: StateSource,
  name: (part: string) => string,
  parts: readonly StoredRows[],
): Promise<KernelMatrix> {
  const numRows = parts.reduce((sum, { rows }) => sum + rows, 0);
  const dtype = reader.residentDtype(name(parts[0]!.part));
  const matrix = new KernelMatrix(memory, numRows, spec.hiddenSize, dtype);
  for (const { part, rows, ranges } of parts)
    await weights.fill(matrix, reader.stored(name(part), [rows, spec.hiddenSize], dtype), ranges);
  return matrix;
}
