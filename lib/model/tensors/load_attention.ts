/** Attention weights from a checkpoint. */
import { toTensor, type Tensor2D } from '../../../compute/tfjs/tf.js';
import { floatsOf, transposedFloats } from '../../../compute/base/weight_matrix.js';
import type { Attention } from './attention.js';
import { Gqa, type Projection } from './gqa.js';
import { Mla } from './mla.js';
import { Norm } from './norm.js';
import { Rope } from './rope.js';
import { type GqaSpec, type MlaForm, type MlaSpec, type ModelSpec, windowOf } from '../spec/spec.js';
import { attentionName } from '../spec/tensor_names.js';
import { readNorm } from '../weights/norm_reader.js';
import type { DenseReader } from '../weights/weight_reader.js';

/** Of rows as wide as a head's queries, of latent attention their part that is rotated. */
export const ropeOf = ({ rope, attention }: Pick<ModelSpec, 'rope' | 'attention'>): Rope =>
  new Rope(rope, attention.kind === 'mla' ? rope.dim : attention.headDim);

/** Reads one layer's attention of either form. `mlaForm` counts for latent attention alone. @throws WeightError as the reader */
export function loadAttention(
  reader: DenseReader,
  spec: ModelSpec,
  layer: number,
  rope: Rope,
  mlaForm: MlaForm,
): Promise<Attention> {
  const { attention } = spec;
  return attention.kind === 'mla'
    ? loadMla(reader, spec, attention, layer, rope, mlaForm)
    : loadGqa(reader, spec, attention, layer, rope);
}

async function loadMla(
  reader: DenseReader,
  spec: ModelSpec,
  mla: MlaSpec,
  layer: number,
  rope: Rope,
  form: MlaForm,
): Promise<Attention> {
  const { numHeads, qLoraRank, kvLoraRank, qkNopeHeadDim, qkRopeHeadDim, vHeadDim, latentNormEps } = mla;
  const { hiddenSize } = spec;
  const latentNorm = async (part: string, width: number): Promise<Norm> =>
    new Norm(await readNorm(reader, spec, name(part), width, latentNormEps));
  const name = (part: string): string => attentionName(layer, part);
  const qWidth = numHeads * (qkNopeHeadDim + qkRopeHeadDim);
  const qIn = qLoraRank ?? hiddenSize;
  const q = transposedFloats(await reader.matrix(name(qLoraRank === null ? 'q_proj' : 'q_b_proj'), [qWidth, qIn]));
  const kvWidth = kvLoraRank + qkRopeHeadDim;
  const kv = transposedFloats(await reader.matrix(name('kv_a_proj_with_mqa'), [kvWidth, hiddenSize]));
  const channels = range(0, qkNopeHeadDim + qkRopeHeadDim);
  const ofHeads = (own: readonly number[]): number[] =>
    range(0, numHeads).flatMap((head) => own.map((channel) => head * channels.length + channel));
  const select = (matrix: Float32Array, numRows: number, width: number, columns: readonly number[]): Tensor2D =>
    toTensor(pickColumns(matrix, width, columns), [numRows, columns.length]);
  const selectDoubled = (matrix: Float32Array, numRows: number, width: number, columns: readonly number[]): Tensor2D =>
    toTensor(rope.doubled(pickColumns(matrix, width, columns), columns.length), [numRows, 2 * columns.length]);
  const weights = {
    qDown:
      qLoraRank === null
        ? null
        : {
            weight: await loadMatrix(reader, name('q_a_proj'), qLoraRank, hiddenSize),
            norm: await latentNorm('q_a_layernorm', qLoraRank),
          },
    qNope: select(q, qIn, qWidth, ofHeads(channels.slice(0, qkNopeHeadDim))),
    qRope: selectDoubled(q, qIn, qWidth, ofHeads(channels.slice(qkNopeHeadDim))),
    kvDown: select(kv, hiddenSize, kvWidth, range(0, kvLoraRank)),
    kRope: selectDoubled(kv, hiddenSize, kvWidth, range(kvLoraRank, kvWidth)),
    kvNorm: await latentNorm('kv_a_layernorm', kvLoraRank),
    kvUp: floatsOf(await reader.matrix(name('kv_b_proj'), [numHeads * (qkNopeHeadDim + vHeadDim), kvLoraRank])),
    output: await loadMatrix(reader, name('o_proj'), hiddenSize, numHeads * vHeadDim),
  };
  return new Mla(mla, weights, rope, form);
}

async function loadGqa(
  reader: DenseReader,
  spec: ModelSpec,
  gqa: GqaSpec,
  layer: number,
  rope: Rope,
): Promise<Attention> {
  const { hiddenSize, layers } = spec;
  const { numHeads, numKvHeads, headDim, qkNorm, hasQkvBias, hasOutputBias, hasSinks, hasOutputGate } = gqa;
  const [width, kvWidth] = [numHeads * headDim, numKvHeads * headDim];
  const name = (part: string): string => attentionName(layer, part);
  const vector = async (part: string, shape: readonly [number, number]): Promise<Tensor2D> =>
    toTensor(await reader.vector(name(part), shape[0] * shape[1]), shape);
  const projection = async (part: string, out: number, inner: number, hasBias: boolean): Promise<Projection> => ({
    weight: await loadMatrix(reader, name(part), out, inner),
    bias: hasBias ? await vector(`${part}.bias`, [1, out]) : null,
  });
  const norm = async (part: string, ofVector: number): Promise<Norm | null> =>
    qkNorm === null
      ? null
      : new Norm(await readNorm(reader, spec, name(part), qkNorm === 'head' ? headDim : ofVector, spec.normEps));
  const weights = {
    q: await projection('q_proj', hasOutputGate ? 2 * width : width, hiddenSize, hasQkvBias),
    k: await projection('k_proj', kvWidth, hiddenSize, hasQkvBias),
    v: await projection('v_proj', kvWidth, hiddenSize, hasQkvBias),
    output: await projection('o_proj', hiddenSize, width, hasOutputBias),
    qNorm: await norm('q_norm', width),
    kNorm: await norm('k_norm', kvWidth),
    sinks: hasSinks ? await vector('sinks', [numKvHeads, numHeads / numKvHeads]) : null,
    window: windowOf(layers[layer]!),
  };
  return new Gqa(gqa, weights, rope);
}

/** Stored [out, in], as a tensor [in, out]. */
export async function loadMatrix(reader: DenseReader, name: string, out: number, inner: number): Promise<Tensor2D> {
  return toTensor(transposedFloats(await reader.matrix(name, [out, inner])), [inner, out]);
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** Some columns of a row-major matrix of `width` columns, in the order given. */
function pickColumns(matrix: Float32Array, width: number, columns: readonly number[]): Float32Array {
  const numRows = matrix.length / width;
  const picked = new Float32Array(numRows * columns.length);
  for (let row = 0; row < numRows; row++) {
    for (let c = 0; c < columns.length; c++) picked[row * columns.length + c] = matrix[row * width + columns[c]!]!;
  }
  return picked;
}
