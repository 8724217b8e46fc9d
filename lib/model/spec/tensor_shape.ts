/** What a checkpoint's tensor is called and how large it is. */

/** `matrix` [out, in] of a linear layer; `embedding` [V, H]; `norm` and `bias` are vectors, of which sinks are one; `filter` [channels, 1, width] of a convolution. */
export type TensorKind = 'matrix' | 'embedding' | 'norm' | 'bias' | 'filter';

/** One tensor of a checkpoint; `shape` is as on disk. */
export interface TensorShape {
  readonly name: string;
  readonly kind: TensorKind;
  readonly shape: readonly number[];
}

/** [out, inner] */
export const matrix = (name: string, out: number, inner: number): TensorShape => ({
  name,
  kind: 'matrix',
  shape: [out, inner],
});
/** [size] */
export const norm = (name: string, size: number): TensorShape => ({ name, kind: 'norm', shape: [size] });
/** [size] */
export const bias = (name: string, size: number): TensorShape => ({ name, kind: 'bias', shape: [size] });
/** [channels, 1, width] */
export const filter = (name: string, channels: number, width: number): TensorShape => ({
  name,
  kind: 'filter',
  shape: [channels, 1, width],
});
