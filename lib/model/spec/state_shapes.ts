/** Tensors of layers without keys and values. */
import type { DeltaRuleMixer, ShortConvMixer } from './spec.js';
import { deltaRuleName, shortConvName } from './tensor_names.js';
import { bias, filter, matrix, norm, type TensorShape } from './tensor_shape.js';

/** Of one layer. */
export function* shortConvShapes(
  { width, hasBias }: ShortConvMixer,
  layer: number,
  hidden: number,
): Generator<TensorShape, void> {
  const name = (part: string): string => shortConvName(layer, part);
  yield matrix(name('in_proj.weight'), 3 * hidden, hidden);
  yield filter(name('conv.weight'), hidden, width);
  yield matrix(name('out_proj.weight'), hidden, hidden);
  if (!hasBias) return;
  yield bias(name('in_proj.bias'), 3 * hidden);
  yield bias(name('conv.bias'), hidden);
  yield bias(name('out_proj.bias'), hidden);
}

/** Of one layer. */
export function* deltaRuleShapes(mixer: DeltaRuleMixer, layer: number, hidden: number): Generator<TensorShape, void> {
  const name = (part: string): string => deltaRuleName(layer, part);
  const { numValueHeads, valueHeadDim, width } = mixer;
  const [convolved, values] = [convolvedChannels(mixer), numValueHeads * valueHeadDim];
  if (mixer.projections === 'by_head') {
    yield matrix(name('in_proj_qkvz.weight'), convolved + values, hidden);
    yield matrix(name('in_proj_ba.weight'), 2 * numValueHeads, hidden);
  } else {
    yield matrix(name('in_proj_qkv.weight'), convolved, hidden);
    yield matrix(name('in_proj_z.weight'), values, hidden);
    yield matrix(name('in_proj_b.weight'), numValueHeads, hidden);
    yield matrix(name('in_proj_a.weight'), numValueHeads, hidden);
  }
  yield filter(name('conv1d.weight'), convolved, width);
  yield bias(name('A_log'), numValueHeads);
  yield bias(name('dt_bias'), numValueHeads);
  yield norm(name('norm.weight'), valueHeadDim);
  yield matrix(name('out_proj.weight'), hidden, values);
}

/** Queries, keys and values of a token: what goes through the convolution of a delta rule. */
export const convolvedChannels = ({ numKeyHeads, numValueHeads, keyHeadDim, valueHeadDim }: DeltaRuleMixer): number =>
  2 * numKeyHeads * keyHeadDim + numValueHeads * valueHeadDim;
